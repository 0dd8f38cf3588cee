//! A change of owner on one device: loans and returns, every file step at which it may die, and who must be there.
//!
//! Tests only; see [`super`].

//! Tests of the console's pages as a whole: what every page must be, what device text may never do, what adds up.
//!
//! The sample fleet ([`sample`]) is written once into the build folder as a gallery of files, to be looked at in a
//! browser; the same pages are read back by a small reader of HTML ([`html`]). Nothing here needs a server. Read next:
//! `pages`, `contrast`, `golden`.

#[cfg(test)]
mod contrast;
#[cfg(test)]
mod exceptions;
#[cfg(test)]
mod fleet;
#[cfg(test)]
mod golden;
#[cfg(test)]
mod html;
#[cfg(test)]
mod identities;
#[cfg(test)]
mod knowledge;
#[cfg(test)]
mod many;
#[cfg(test)]
mod orders;
#[cfg(test)]
mod overview;
#[cfg(test)]
mod pages;
#[cfg(test)]
mod releases;
#[cfg(test)]
mod sample;

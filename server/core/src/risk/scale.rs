//! What a probability of the model's weighs, found once for a whole fleet.
//!
//! Figures of a model are ten-thousandths, so there are some ten thousand weights at most and a fleet asks for a few dozen, a
//! hundred thousand times each. One device is weighed by the model itself, a fleet by [`Remembered`]; both say the same, because
//! the second asks the first. Nothing is judged here. Read next: [`super::hazard`], which weighs.

use alloc::vec::Vec;
use core::cell::Cell;

use super::hazard::of_ten_thousandths;
use super::model::Model;

/// A way to learn what a probability weighs.
pub(super) trait Scale {
    /// The model that it is of.
    fn model(&self) -> &Model;
    /// Hazard of a probability in ten-thousandths, in micro-nepers.
    fn hazard(&self, ten_thousandths: u32) -> u32;
}

impl Scale for Model {
    fn model(&self) -> &Model {
        self
    }

    fn hazard(&self, ten_thousandths: u32) -> u32 {
        of_ten_thousandths(ten_thousandths, self)
    }
}

/// The highest probability in ten-thousandths.
const MOST: usize = 10_000;
/// No weight: they end far below.
const UNASKED: u32 = u32::MAX;

/// A model with the weights that were asked for.
#[derive(Debug)]
pub(super) struct Remembered<'a> {
    model: &'a Model,
    weights: Vec<Cell<u32>>,
}

impl<'a> Remembered<'a> {
    pub(super) fn new(model: &'a Model) -> Self {
        Self { model, weights: alloc::vec![Cell::new(UNASKED); MOST + 1] }
    }
}

impl Scale for Remembered<'_> {
    fn model(&self) -> &Model {
        self.model
    }

    fn hazard(&self, ten_thousandths: u32) -> u32 {
        let place = usize::try_from(ten_thousandths).ok().and_then(|place| self.weights.get(place));
        let Some(known) = place else { return self.model.hazard(ten_thousandths) };
        if known.get() == UNASKED {
            known.set(self.model.hazard(ten_thousandths));
        }
        known.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::risk::model::RISK_V1;

    #[test]
    fn a_weight_that_is_remembered_is_the_weight() {
        // Goal: asked once or twice, from memory or not, a probability weighs the same. Method: every one of them and some beyond.
        let remembered = Remembered::new(&RISK_V1);
        for p in (0..=10_050).chain([u32::MAX]) {
            let weight = of_ten_thousandths(p, &RISK_V1);
            assert_eq!((remembered.hazard(p), remembered.hazard(p)), (weight, weight), "{p}");
        }
    }
}

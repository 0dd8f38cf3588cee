//! Putting lists in order by one sort for items of every kind.
//!
//! The standard library compiles a sort of 4 kB for each kind, which is most of what such a list costs a device
//! (docs/decisions/0006-agent-size.md). This one is compiled once, sorts in place, and never takes more than
//! n log n steps, whoever sends the list; it is twice as slow. It must not be used where every packet or every piece
//! of an image is sorted. For the same reason maps are filled by `insert` here, not by `collect`, which sorts first.
//! Read next: [`crate::inventory`], one of its users.

/// Sorts a list; equal items keep no order among themselves.
pub fn sort<T: Ord>(items: &mut [T]) {
    sort_by(items, |one, other| one < other);
}

/// Sorts a list by what stands before what.
pub fn sort_by<T>(items: &mut [T], before: impl Fn(&T, &T) -> bool) {
    let length = items.len();
    heap_sort(&mut Items { items, before }, length);
}

/// A list as the sort sees it: places that are compared and exchanged.
trait Places {
    fn is_before(&self, one: usize, other: usize) -> bool;
    fn exchange(&mut self, one: usize, other: usize);
}

struct Items<'a, T, B> {
    items: &'a mut [T],
    before: B,
}

impl<T, B: Fn(&T, &T) -> bool> Places for Items<'_, T, B> {
    fn is_before(&self, one: usize, other: usize) -> bool {
        match (self.items.get(one), self.items.get(other)) {
            (Some(one), Some(other)) => (self.before)(one, other),
            _ => false,
        }
    }

    fn exchange(&mut self, one: usize, other: usize) {
        self.items.swap(one, other);
    }
}

fn heap_sort(places: &mut dyn Places, length: usize) {
    for root in (0..length / 2).rev() {
        sink(places, root, length);
    }
    for end in (1..length).rev() {
        places.exchange(0, end);
        sink(places, 0, end);
    }
}

/// Lets an item down to where nothing below it, and before `end`, comes after it.
fn sink(places: &mut dyn Places, mut root: usize, end: usize) {
    loop {
        let mut last = root;
        for child in [2 * root + 1, 2 * root + 2] {
            if child < end && places.is_before(last, child) {
                last = child;
            }
        }
        if last == root {
            return;
        }
        places.exchange(root, last);
        root = last;
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::String;
    use alloc::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_list_ends_as_the_standard_library_would_leave_it(
            words in prop::collection::vec("[a-c]{0,3}", 0..40),
            numbers in prop::collection::vec(0_u8..9, 0..200),
        ) {
            // Goal: in order, and nothing lost or doubled. Method: many short words and small numbers, so that many are
            // equal, beside the library's sort; upwards, and downwards by a rule.
            let (mut ours, mut theirs): (Vec<String>, _) = (words.clone(), words);
            sort(&mut ours);
            theirs.sort_unstable();
            prop_assert_eq!(ours, theirs);
            let (mut ours, mut theirs) = (numbers.clone(), numbers);
            sort_by(&mut ours, |one, other| one > other);
            theirs.sort_unstable_by(|one, other| other.cmp(one));
            prop_assert_eq!(ours, theirs);
        }
    }
}

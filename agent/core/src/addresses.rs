//! A bounded table of what is known of addresses: hostile traffic names more of them than there is room for.
//!
//! Sorted by address, so that looking up costs no hash and its order tells nothing. Where there is no room the entry of
//! the least age goes; what age means is its owner's to say. Read next: [`crate::flow::names`], [`crate::neighbour`].

use alloc::vec::Vec;
use core::net::IpAddr;

/// Places by which the table grows at once.
const GROWTH: usize = 32;

/// The table.
#[derive(Clone, Debug)]
pub struct Addresses<T> {
    entries: Vec<(IpAddr, T)>,
}

impl<T> Default for Addresses<T> {
    fn default() -> Self {
        Self { entries: Vec::new() }
    }
}

impl<T> Addresses<T> {
    /// What is known of an address.
    #[must_use]
    pub fn at(&self, address: IpAddr) -> Option<&T> {
        self.entries.get(self.find(address).ok()?).map(|(_, known)| known)
    }

    /// The same, to be changed.
    pub fn at_mut(&mut self, address: IpAddr) -> Option<&mut T> {
        let place = self.find(address).ok()?;
        self.entries.get_mut(place).map(|(_, known)| known)
    }

    /// Takes an address in. Of `most` that are there already, the one of the least `age` goes.
    pub fn insert<A: Ord>(&mut self, (address, known): (IpAddr, T), most: usize, age: impl Fn(&T) -> A) {
        if let Some(held) = self.at_mut(address) {
            *held = known;
            return;
        }
        if self.entries.len() >= most {
            let oldest = self.entries.iter().enumerate().min_by_key(|(_, (_, known))| age(known));
            if let Some(place) = oldest.map(|(place, _)| place) {
                self.entries.remove(place);
            }
        }
        if self.entries.len() == self.entries.capacity() {
            self.entries.reserve_exact(GROWTH);
        }
        if let Err(place) = self.find(address) {
            self.entries.insert(place, (address, known));
        }
    }

    /// How many addresses are known.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether none is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Bytes of memory held.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.entries.capacity() * size_of::<(IpAddr, T)>()
    }

    fn find(&self, address: IpAddr) -> Result<usize, usize> {
        self.entries.binary_search_by(|(held, _)| held.cmp(&address))
    }
}

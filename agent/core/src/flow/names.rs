//! Names of peers: what the DNS answers that were seen lead to.
//!
//! An address has the name that was asked for when it was last the answer. Bounded; where there is no room the address
//! goes that was named longest ago. It never asks anyone. Read next: [`crate::profile::key`] for what a name is good for.

use alloc::sync::Arc;
use core::net::IpAddr;

use cordon_proto::limits;

use crate::addresses::Addresses;

#[derive(Clone, Debug)]
struct Entry {
    name: Arc<str>,
    /// Number of the answer.
    told: u64,
}

/// The names.
#[derive(Clone, Debug, Default)]
pub struct Names {
    entries: Addresses<Entry>,
    told: u64,
}

impl Names {
    /// The name of an address.
    #[must_use]
    pub fn of(&self, address: IpAddr) -> Option<Arc<str>> {
        self.entries.at(address).map(|entry| entry.name.clone())
    }

    /// Takes an answer: `name` leads to all of `addresses`.
    pub fn learn(&mut self, name: &str, addresses: impl FnOnce(&mut dyn FnMut(IpAddr))) {
        let mut shared: Option<Arc<str>> = None;
        self.told += 1;
        let told = self.told;
        addresses(&mut |address| match self.entries.at_mut(address) {
            Some(entry) => {
                entry.told = told;
                if *entry.name != *name {
                    entry.name = shared.get_or_insert_with(|| Arc::from(name)).clone();
                }
            }
            None => {
                let name = shared.get_or_insert_with(|| Arc::from(name)).clone();
                self.entries
                    .insert((address, Entry { name, told }), limits::ADDRESS_NAMES, |entry| entry.told);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use core::net::Ipv4Addr;

    fn address(number: u32) -> IpAddr {
        IpAddr::V4(Ipv4Addr::from(number))
    }

    #[test]
    fn an_address_has_the_name_it_was_last_the_answer_to() {
        // Goal: shared addresses bear the newest name. Method: two answers with one address in common.
        let mut names = Names::default();
        names.learn("a.example", |take| [1, 2].map(address).into_iter().for_each(take));
        names.learn("b.example", |take| take(address(2)));
        let told = |number| names.of(address(number)).map(|name| format!("{name}"));
        assert_eq!(
            (told(1).as_deref(), told(2).as_deref(), told(3)),
            (Some("a.example"), Some("b.example"), None)
        );
    }

    #[test]
    fn names_are_bounded_and_the_longest_unnamed_goes() {
        // Goal: answers without end cost no memory. Method: one more than fits, with the first named again.
        let mut names = Names::default();
        let most = u32::try_from(limits::ADDRESS_NAMES).expect("small");
        for number in 0..most {
            names.learn("x.example", |take| take(address(number)));
        }
        names.learn("x.example", |take| take(address(0)));
        names.learn("y.example", |take| take(address(most)));
        assert_eq!(names.entries.len(), limits::ADDRESS_NAMES);
        assert!(names.of(address(0)).is_some() && names.of(address(most)).is_some());
        assert!(names.of(address(1)).is_none());
    }
}

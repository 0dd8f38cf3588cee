//! The interlock: whether the device is in clinical use, as its own software or a person at the device says.
//!
//! Who holds it must keep holding it: standby and service end when the lease runs out or its owner is gone. In use is
//! the other way round: it ends by its owner's word, and where the owner died or fell silent it becomes *unknown* when
//! the lease has run out, never free. What unknown means is the class's: in use where the maker asks for the
//! application; in use until a person at the device releases it; in use until nobody has said anything for a while; or
//! nothing. A hold needs no key and acts at once; nothing here can loosen the maker's class. Read next:
//! [`crate::update::gate`].

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use cordon_proto::checkin::InterlockState;
use cordon_proto::limits;
use cordon_proto::time::Millis;
use cordon_proto::update::release::{InterlockClass, Needs};

/// One connection to the interlock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Connection(pub u64);

/// The operating system's user behind a connection; root is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner(pub u32);

/// What an owner can say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// A patient is attached, or a customer is served.
    InUse,
    /// Not in use.
    Standby,
    /// In a person's hands for service.
    Service,
}

/// One owner's word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Who.
    pub owner: Owner,
    /// What.
    pub claim: Claim,
    /// Until when, on the monotonic clock.
    pub until: Millis,
    /// Whether its connection is still there.
    pub connected: bool,
}

/// What may stand in for a word where nobody gives one, as far as the class lets it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Silence {
    /// A person at the device has released it, not long ago, and nobody has said otherwise since.
    pub released: bool,
    /// Nobody has said anything for [`limits::INTERLOCK_IDLE_S`].
    pub idle: bool,
}

/// Why a hold is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HoldError {
    /// As many leases as the device keeps.
    #[error("{} leases are held already; release one", limits::INTERLOCK_LEASES)]
    TooMany,
}

/// All leases of one device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interlock {
    leases: BTreeMap<Connection, Lease>,
    /// When somebody last began or ended to say something; the beginning of this run at first.
    spoken: Millis,
    /// Until when a person's release stands.
    released_until: Millis,
}

impl Lease {
    /// What this lease says now.
    #[must_use]
    pub fn state(&self, now: Millis) -> InterlockState {
        if now >= self.until {
            return InterlockState::Unknown;
        }
        match self.claim {
            Claim::InUse => InterlockState::InUse,
            Claim::Standby if self.connected => InterlockState::Standby,
            Claim::Service if self.connected => InterlockState::Service,
            Claim::Standby | Claim::Service => InterlockState::Unknown,
        }
    }
}

impl Interlock {
    /// The interlock of a run that begins now: nobody has said anything, and nobody has been silent for long.
    #[must_use]
    pub fn new(now: Millis) -> Self {
        Self { spoken: now, released_until: now, ..Self::default() }
    }

    /// Takes or renews the lease of a connection for `ttl_s` seconds, held within the limits page.
    ///
    /// What the same owner held on connections that are gone is thereby over: the software was restarted and speaks
    /// again.
    ///
    /// # Errors
    /// Too many leases.
    pub fn hold(
        &mut self,
        connection: Connection,
        owner: Owner,
        (claim, ttl_s): (Claim, u32),
        now: Millis,
    ) -> Result<(), HoldError> {
        if !self.leases.contains_key(&connection) {
            self.forget_gone(owner);
            if self.leases.len() >= limits::INTERLOCK_LEASES {
                return Err(HoldError::TooMany);
            }
        }
        self.spoken = now;
        // Whoever is in use, or was, is a newer word than the person's.
        if claim == Claim::InUse {
            self.released_until = now;
        }
        let until = now.plus(held_ms(ttl_s));
        self.leases.insert(connection, Lease { owner, claim, until, connected: true });
        Ok(())
    }

    /// A person at the device says that it may restart, for so many seconds, as far as nobody else says anything.
    pub fn release_by_hand(&mut self, for_s: u32, now: Millis) {
        self.released_until = now.plus(held_ms(for_s));
    }

    /// Ends the lease of a connection, and what the same owner (or anyone, for root) held on connections that are
    /// gone. A lease that somebody still holds is never ended by another.
    pub fn release(&mut self, connection: Connection, owner: Owner, now: Millis) {
        self.leases.remove(&connection);
        self.forget_gone(owner);
        self.spoken = now;
    }

    /// A connection has ended, by its owner's will or not.
    pub fn gone(&mut self, connection: Connection, now: Millis) {
        if let Some(lease) = self.leases.get_mut(&connection) {
            lease.connected = false;
            self.spoken = now;
        }
    }

    /// The state of the device: the least free of all leases, and unknown where nobody says anything.
    #[must_use]
    pub fn state(&self, now: Millis) -> InterlockState {
        let said: Vec<InterlockState> = self.leases.values().map(|lease| lease.state(now)).collect();
        let first = [
            InterlockState::InUse,
            InterlockState::Unknown,
            InterlockState::Service,
            InterlockState::Standby,
        ];
        first.into_iter().find(|state| said.contains(state)).unwrap_or(InterlockState::Unknown)
    }

    /// What may stand in for a word now. Silence counts from the last word, or from the end of the last lease.
    #[must_use]
    pub fn silence(&self, now: Millis) -> Silence {
        let ended = self.leases.values().map(|lease| lease.until).max().unwrap_or(self.spoken);
        let idle_ms = now.since(self.spoken.max(ended));
        Silence { released: now < self.released_until, idle: idle_ms >= limits::INTERLOCK_IDLE_S * 1000 }
    }

    /// The leases.
    #[cfg(test)]
    fn leases(&self) -> impl Iterator<Item = &Lease> {
        self.leases.values()
    }

    fn forget_gone(&mut self, owner: Owner) {
        self.leases.retain(|_, lease| lease.connected || (lease.owner != owner && owner != Owner(0)));
    }
}

fn held_ms(seconds: u32) -> i64 {
    i64::from(seconds.clamp(1, limits::INTERLOCK_TTL_MAX_S)) * 1000
}

/// Whether the device may reboot in this state, under the stricter of the maker's classes and the owner's own one.
#[must_use]
pub fn allows(class: InterlockClass, needs: Needs, (state, silence): (InterlockState, Silence)) -> bool {
    if needs == Needs::Service && state != InterlockState::Service {
        return false;
    }
    match state {
        InterlockState::InUse => false,
        InterlockState::Standby | InterlockState::Service => true,
        InterlockState::Unknown => match class {
            InterlockClass::None => true,
            InterlockClass::Idle => silence.idle || silence.released,
            InterlockClass::Person => silence.released,
            InterlockClass::Application => false,
        },
    }
}

/// The class in force: the strictest of the installed release's, the new one's and the owner's own; so never looser
/// than any maker's word.
#[must_use]
pub fn in_force(
    installed: InterlockClass,
    offered: InterlockClass,
    local: Option<InterlockClass>,
) -> InterlockClass {
    installed.max(offered).max(local.unwrap_or(InterlockClass::None))
}

#[cfg(test)]
mod tests;

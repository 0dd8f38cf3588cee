//! The versions of one source package through all suites, made in order.
//!
//! Never compared: each is made newer than those before it by the rules of deb-version(7). Read next: `world.rs`.

use fastrand::Rng;

use super::{Published, SUITES};

/// Where the making of versions stands.
struct Maker {
    style: Style,
    epoch: u32,
    minor: u32,
    revision: u32,
    rank: usize,
}

/// How upstream writes its versions.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Style {
    Plain,
    Three,
    Repacked,
    Candidate,
    Snapshot,
    /// Debian's own: no revision.
    Native,
}

const STYLES: [Style; 6] =
    [Style::Plain, Style::Three, Style::Repacked, Style::Candidate, Style::Snapshot, Style::Native];

/// What each suite published and, last, unstable.
pub(super) fn random(rng: &mut Rng) -> Vec<Vec<Published>> {
    let style = rng.choice(STYLES).unwrap_or(Style::Plain);
    let epoch = if rng.u8(..4) == 0 { rng.u32(1..3) } else { 0 };
    let mut maker = Maker { style, epoch, minor: rng.u32(6..12), revision: rng.u32(1..11), rank: 0 };
    let mut chains: Vec<Vec<Published>> = Vec::new();
    // What the next suite may begin with again, if nothing changed.
    let mut unchanged: Option<Published> = None;
    for (_, number) in SUITES {
        if rng.u8(..6) == 0 {
            chains.push(Vec::new());
            continue;
        }
        let kept = if rng.u8(..3) == 0 { unchanged.take() } else { None };
        let first = kept.unwrap_or_else(|| maker.step(rng));
        let (updates, newest) = maker.updates(rng, &first, number);
        // After a new upstream version in an update the next suite is newer still.
        unchanged = (!newest).then(|| first.clone());
        chains.push([vec![first], updates].concat());
    }
    let count = if rng.u8(..8) == 0 { 0 } else { rng.usize(1..4) };
    chains.push((0..count).map(|_| maker.step(rng)).collect());
    chains
}

impl Maker {
    /// The next version of unstable.
    fn step(&mut self, rng: &mut Rng) -> Published {
        match rng.u8(..8) {
            0 => {
                // An epoch: upstream's numbers begin anew.
                self.epoch += 1;
                (self.minor, self.revision) = (rng.u32(0..9), 1);
            }
            1..=3 if self.style != Style::Native => self.revision += rng.u32(1..4),
            _ => {
                self.minor += rng.u32(2..6);
                self.revision = rng.u32(1..11);
            }
        }
        let version = self.whole(self.minor, &self.revision.to_string());
        self.published(version)
    }

    /// A suite's own updates, and whether the last brings a new upstream version.
    fn updates(&mut self, rng: &mut Rng, first: &Published, number: &str) -> (Vec<Published>, bool) {
        // Nine and ten among them, now and then.
        let from = if rng.u8(..3) == 0 { 8 } else { 1 };
        let mut updates = Vec::new();
        for at in 0..rng.u32(0..4) {
            let version = format!("{}+deb{number}u{}", first.version, from + at);
            updates.push(self.published(version));
        }
        let newest = rng.u8(..6) == 0;
        if newest {
            let version = match self.style {
                Style::Native => format!("{}~deb{number}u1", self.whole(self.minor + 1, "")),
                _ => self.whole(self.minor + 1, &format!("1~deb{number}u1")),
            };
            updates.push(self.published(version));
            self.minor += 2;
        }
        (updates, newest)
    }

    fn published(&mut self, version: String) -> Published {
        self.rank += 1;
        Published { version, rank: self.rank }
    }

    fn whole(&self, minor: u32, revision: &str) -> String {
        let epoch = if self.epoch == 0 { String::new() } else { format!("{}:", self.epoch) };
        match self.style {
            Style::Plain => format!("{epoch}1.{minor}-{revision}"),
            Style::Three => format!("{epoch}0.{minor}.3-{revision}"),
            Style::Repacked => format!("{epoch}2.{minor}+dfsg-{revision}"),
            Style::Candidate => format!("{epoch}3.{minor}~rc2-{revision}"),
            Style::Snapshot => format!("{epoch}0~git{minor:04}.a1b2-{revision}"),
            Style::Native => format!("{epoch}{minor}"),
        }
    }
}

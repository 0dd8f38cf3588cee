//! What of a world is installed on one machine: dpkg's database.
//!
//! It holds the traps of the database: binaries with versions of their own, rebuilt ones (`+b1`), two versions of one
//! source, two architectures of one package, what is held, removed or only configured, a description that looks like a
//! field, a local package that is named like a source. Read next: `debsecan.rs`, which asks about it.

use std::fmt::Write as _;

use fastrand::Rng;

use super::{Published, Source, World};

/// A database.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inventory {
    /// `var/lib/dpkg/status`.
    pub status: String,
    /// Packages in it that are installed.
    pub installed: usize,
    /// Of these, binaries that their suite no longer builds.
    pub obsolete: usize,
    /// Of these, binaries whose version is not that of their source.
    pub apart: usize,
    /// Of these, packages of which no suite knows anything.
    pub local: usize,
}

/// Which packages a machine has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packages {
    /// Its suite's.
    Own,
    /// Only those left over from an older suite, whose source its own does not carry any more.
    LeftOver,
    /// Only those of a newer suite.
    Newer,
}

/// One entry of the database.
struct Entry<'a> {
    name: &'a str,
    status: &'a str,
    architecture: &'a str,
    source: Option<String>,
    version: &'a str,
}

impl World {
    /// A machine of this suite.
    #[must_use]
    pub fn inventory(&self, rng: &mut Rng, suite: usize, packages: Packages) -> Inventory {
        let mut inventory = Inventory::default();
        let mut sources: Vec<&Source> = self.sources.iter().collect();
        rng.shuffle(&mut sources);
        for source in sources {
            if rng.u8(..5) == 0 {
                continue;
            }
            let own = source.chains.get(suite).map_or(&[][..], Vec::as_slice);
            let chain = match packages {
                Packages::Own => own,
                Packages::LeftOver if own.is_empty() => source.last_before(suite),
                Packages::LeftOver => &[],
                Packages::Newer => source.first_after(suite),
            };
            if let Some(published) = rng.choice(chain) {
                inventory.take((source, chain, published), suite, rng);
            }
        }
        for at in 0..rng.usize(1..4) {
            let named = rng.choice(&self.sources).filter(|_| at == 0).map(|source| source.name.clone());
            inventory.add(Entry {
                name: &named.unwrap_or_else(|| format!("local{at}")),
                status: "install ok installed",
                architecture: "all",
                source: Some(format!("ours{at}")),
                version: "0.1",
            });
            inventory.local += 1;
        }
        inventory
    }
}

impl Inventory {
    /// The binaries of a source in one version, now and then one of them in another.
    fn take(&mut self, of: (&Source, &[Published], &Published), suite: usize, rng: &mut Rng) {
        let (source, chain, published) = of;
        for binary in &source.binaries {
            if rng.u8(..4) == 0 {
                continue;
            }
            let other = if rng.u8(..8) == 0 { rng.choice(chain) } else { None };
            let version = &other.unwrap_or(published).version;
            let named = || Some(format!("{} ({version})", source.name));
            let (own, field) = match rng.u8(..6) {
                0 => (format!("{version}+b{}", rng.u8(1..12)), named()),
                1 => (format!("9:{}", rng.u8(..)), named()),
                2 => ("0.0.1".to_owned(), named()),
                _ if binary.name == source.name => (version.clone(), None),
                _ => (version.clone(), Some(source.name.clone())),
            };
            let status = match rng.u8(..12) {
                0 => "hold ok installed",
                1 => "deinstall ok installed",
                2 => "deinstall ok config-files",
                3 => "purge ok not-installed",
                _ => "install ok installed",
            };
            let both = rng.u8(..10) == 0;
            for architecture in ["amd64", "i386"].into_iter().take(1 + usize::from(both)) {
                self.add(Entry {
                    name: &binary.name,
                    status,
                    architecture,
                    source: field.clone(),
                    version: &own,
                });
            }
            let installed = status.ends_with(" installed");
            self.obsolete += usize::from(installed && suite >= binary.gone_from);
            self.apart += usize::from(installed && own != *version);
        }
    }

    fn add(&mut self, entry: Entry<'_>) {
        let Entry { name, status, architecture, source, version } = entry;
        self.installed += usize::from(status.ends_with(" installed"));
        let source = source.map(|source| format!("Source: {source}\n")).unwrap_or_default();
        let _ = write!(
            self.status,
            "Package: {name}\nStatus: {status}\nPriority: optional\nSection: misc\n\
             Maintainer: Somebody <a@example.org>\nArchitecture: {architecture}\n{source}Version: {version}\n\
             Conffiles:\n /etc/x 0123456789abcdef\nDescription: a package\n Source: not-this (1)\n .\n Version: 7\n\n"
        );
    }
}

impl Source {
    /// What the newest of the older suites that had it published.
    fn last_before(&self, suite: usize) -> &[Published] {
        let mut chains = self.chains.iter().take(suite).rev();
        chains.find(|chain| !chain.is_empty()).map_or(&[], Vec::as_slice)
    }

    /// What the oldest of the newer suites that has it published.
    fn first_after(&self, suite: usize) -> &[Published] {
        let mut chains = self.chains.iter().skip(suite + 1);
        chains.find(|chain| !chain.is_empty()).map_or(&[], Vec::as_slice)
    }
}

//! A repository followed as a device follows it, over whatever its files are read from, with the ends of what was proved.
//!
//! Making a bundle walks over the people's own folders, verifying one over the bundle itself; both are the devices' own
//! workflow. It must never answer with a stored file: a device without a history is the one that asks for most. Read
//! next: [`super::contents`], [`super::judge`].

use std::collections::BTreeMap;

use cordon_proto::ids::TargetPath;
use cordon_proto::time::Timestamp;
use cordon_proto::update::document::Document;
use cordon_proto::update::metadata;
use cordon_proto::update::{
    Ask, AtTargets, Effect, Fault, Found, Freshness, Refresh, Request, Role, Rules, Search, Source, Trusted,
    name,
};

use crate::failure::Failure;

/// Reads a file of a repository by what a device asks for; nothing where there is none.
pub type Fetch<'a> = dyn Fn(&Request) -> Result<Option<Vec<u8>>, Failure> + 'a;

/// A repository followed to its targets role.
pub struct Walked<'a> {
    trusted: Trusted<AtTargets>,
    rules: Rules<'a>,
    reader: Reader<'a>,
    ends: BTreeMap<String, Timestamp>,
}

/// Files that were asked for, and what was read.
struct Reader<'a> {
    fetch: &'a Fetch<'a>,
    read: BTreeMap<String, Vec<u8>>,
}

impl Source for Reader<'_> {
    type Error = Failure;

    fn answer(&mut self, ask: &Ask) -> Result<Option<Vec<u8>>, Failure> {
        let Ask::Fetch(request) = ask else { return Ok(None) };
        let bytes = (self.fetch)(request)?;
        self.read.extend(bytes.iter().map(|bytes| (request.path.clone(), bytes.clone())));
        Ok(bytes)
    }

    fn apply(&mut self, _: &[Effect], _: &[u8]) -> Result<(), Failure> {
        Ok(())
    }
}

impl<'a> Walked<'a> {
    /// Follows a repository from a root that is trusted.
    ///
    /// # Errors
    /// A file is not believed, or cannot be read.
    pub fn follow(root: &[u8], rules: Rules<'a>, fetch: &'a Fetch<'a>) -> Result<Self, Failure> {
        let mut reader = Reader { fetch, read: BTreeMap::new() };
        let trusted = Refresh::run(root, &rules, &mut reader)?;
        let mut ends = BTreeMap::from([
            (Role::Root.to_string(), trusted.root().expires),
            (Role::Targets.to_string(), trusted.targets().expires),
        ]);
        // In a bundle the bundle's own end stands in for these two.
        if rules.freshness == Freshness::Own {
            ends.insert(Role::Snapshot.to_string(), trusted.snapshot().expires);
            let bytes = reader.read.get(&name::file(&Role::Timestamp)).map(Vec::as_slice).unwrap_or_default();
            ends.insert(Role::Timestamp.to_string(), end_of_timestamp(bytes, &rules)?);
        }
        Ok(Self { trusted, rules, reader, ends })
    }

    /// Finds a target through the delegations.
    ///
    /// # Errors
    /// As for [`Walked::follow`].
    pub fn find(&mut self, target: &TargetPath) -> Result<Option<Found>, Failure> {
        let found = Search::run(&self.trusted, target.as_str(), &self.rules, &mut self.reader)?;
        let end = found.iter().map(|found| (found.role.to_string(), found.document_expires));
        self.ends.extend(end);
        Ok(found)
    }

    /// What is proved.
    #[must_use]
    pub fn trusted(&self) -> &Trusted<AtTargets> {
        &self.trusted
    }

    /// When each document that was needed ends, by its role.
    #[must_use]
    pub fn ends(&self) -> &BTreeMap<String, Timestamp> {
        &self.ends
    }

    /// Every file that was read.
    #[must_use]
    pub fn read(self) -> BTreeMap<String, Vec<u8>> {
        self.reader.read
    }
}

fn end_of_timestamp(bytes: &[u8], rules: &Rules<'_>) -> Result<Timestamp, Failure> {
    let wrong = |fault: Fault| Failure::from(fault.of(Role::Timestamp));
    let document = Document::parse(bytes, rules.sizes.timestamp).map_err(wrong)?;
    Ok(metadata::Timestamp::read(document.signed()).map_err(wrong)?.expires)
}

/// What a bundle stands on ends before the bundle does.
#[derive(Clone, Debug, Default)]
pub struct Ends(BTreeMap<String, (Timestamp, &'static str)>);

impl Ends {
    /// Notes the documents of a repository; `whose` are they, and what renews them.
    pub fn documents(&mut self, whose: &str, ends: &BTreeMap<String, Timestamp>, cure: &'static str) {
        let named = ends.iter().map(|(role, end)| (format!("{whose} {role} metadata"), (*end, cure)));
        self.0.extend(named);
    }

    /// Notes one thing by its name.
    pub fn note(&mut self, what: String, end: Timestamp, cure: &'static str) {
        self.0.insert(what, (end, cure));
    }

    /// A line for each that ends before the bundle, the earliest first.
    #[must_use]
    pub fn before(&self, bundle: Timestamp) -> Vec<String> {
        let mut early: Vec<_> = self.0.iter().filter(|(_, (end, _))| *end < bundle).collect();
        early.sort_by_key(|(_, (end, _))| *end);
        let line = |(what, (end, cure)): (&String, &(Timestamp, &str))| {
            format!("{what} ends {end}, before the bundle: devices refuse it from then on; {cure}")
        };
        early.into_iter().map(line).collect()
    }
}

/// Who renews what of an owner.
pub const OWNER_RENEWS: &str = "sign the next version and publish it before you make the bundle";
/// Who renews what of a maker.
pub const MAKER_RENEWS: &str = "ask the maker for newer metadata before you make the bundle";
/// What to do about an order that ends early.
pub const ORDER_RENEWS: &str = "sign an order that lasts longer, or end the bundle sooner with --expires";

/// Warnings as lines for people.
#[must_use]
pub fn lines(warnings: &[String]) -> String {
    warnings.iter().map(|warning| format!("  warning    {warning}\n")).collect()
}

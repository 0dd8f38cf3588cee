//! What a repository's folder proves: the chain from its first root, judged as a device would judge it.
//!
//! A maker's folder is a whole repository and is verified by the devices' own workflow. A director's folder on a
//! workstation has no snapshot and timestamp (the server makes those), so its roles are verified one by one from the
//! root. Nothing else in this package reads a release or an order from a file. Read next: [`crate::order`].

use cordon_proto::canonical::Value;
use cordon_proto::ids::{Sha256, TargetPath};
use cordon_proto::time::Timestamp;
use cordon_proto::update::document::Document;
use cordon_proto::update::metadata::{Root, Snapshot, TargetFile, Targets, Timestamp as TimestampRole};
use cordon_proto::update::order::{Order, read_document};
use cordon_proto::update::release::{Listed, Release};
use cordon_proto::update::{AtTargets, Authority, Fault, Refresh, Role, Rules, Search, Trusted, deny, name};

use crate::failure::Failure;
use crate::folder::Folder;

/// Seconds a server's snapshot lives.
const SNAPSHOT_S: i64 = 7 * 86_400;
/// Seconds a server's timestamp lives.
const TIMESTAMP_S: i64 = 3 * 86_400;
/// The role that holds the orders.
pub const ORDERS: &str = "orders";

/// A root that was followed from the first one in the folder.
#[derive(Clone, Debug)]
pub struct RootChain {
    /// The newest root.
    pub root: Root,
    /// SHA-256 of the first root's bytes: what an enrolment string may carry.
    pub first: Sha256,
    /// SHA-256 of the newest root's bytes.
    pub newest: Sha256,
}

/// A document of a role, with what is known of its signatures.
#[derive(Clone, Debug)]
pub struct Signed {
    /// Its version.
    pub version: u64,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// What it lists. Believed only if it is complete.
    pub targets: Targets,
    /// Different keys of the role that signed it.
    pub signatures: u64,
    /// Whether they reach the threshold.
    pub complete: bool,
}

/// An owner's folder.
pub struct Director {
    /// The files.
    pub folder: Folder,
    /// The root.
    pub chain: RootChain,
    /// The newest targets role.
    pub targets: Targets,
}

/// A maker's folder.
pub struct Maker {
    /// The files.
    pub folder: Folder,
    /// What they prove.
    pub trusted: Trusted<AtTargets>,
}

/// Follows the roots of a folder from the lowest version on.
///
/// # Errors
/// A root does not follow from the one before it.
pub fn roots(folder: &Folder, rules: &Rules<'_>) -> Result<RootChain, Failure> {
    chain(folder, &folder.versions(&Role::Root)?, rules)
}

/// The root that the root of this version follows.
///
/// # Errors
/// It is missing, or does not follow from the one before it.
pub fn root_before(folder: &Folder, version: u64, rules: &Rules<'_>) -> Result<Root, Failure> {
    let mut versions = folder.versions(&Role::Root)?;
    versions.retain(|below| *below < version);
    let root = chain(folder, &versions, rules)?.root;
    let wanted = version.saturating_sub(1);
    if root.version == wanted {
        return Ok(root);
    }
    let detail = format!("root {version} follows root {wanted}, which is missing in this folder");
    Err(Failure::refused("missing file", detail))
}

fn chain(folder: &Folder, versions: &[u64], rules: &Rules<'_>) -> Result<RootChain, Failure> {
    let mut bytes = folder.role(&Role::Root, versions.first().copied().unwrap_or(1))?;
    let first = Sha256::of(&bytes);
    let mut trusted = Trusted::start(&bytes, rules)?;
    for version in versions.iter().skip(1) {
        bytes = folder.role(&Role::Root, *version)?;
        trusted.rotate(&bytes, rules)?;
    }
    Ok(RootChain { root: trusted.root().clone(), first, newest: Sha256::of(&bytes) })
}

/// Refuses a root that gives a role to an example key.
///
/// # Errors
/// It does, and `--example-keys` was not given.
pub fn no_example(root: &Root, example_keys: bool) -> Result<(), Failure> {
    refuse_example(deny::is_example_root(root), "this root gives a role to", example_keys)
}

fn no_example_delegate(targets: &Targets, example_keys: bool) -> Result<(), Failure> {
    refuse_example(deny::delegates_to_example(targets), "this targets role delegates to", example_keys)
}

fn refuse_example(found: bool, what: &str, example_keys: bool) -> Result<(), Failure> {
    if example_keys || !found {
        return Ok(());
    }
    let act = "make a repository of your own keys; for a demo on loopback pass --example-keys";
    let detail = format!("{what} a published example key, with which anybody can sign: {act}");
    Err(Failure::refused("example key", detail))
}

impl Director {
    /// Reads the chain down to the targets role.
    ///
    /// # Errors
    /// It is not believed, or has an example key in it.
    pub fn open(folder: Folder, rules: &Rules<'_>, example_keys: bool) -> Result<Self, Failure> {
        let chain = roots(&folder, rules)?;
        no_example(&chain.root, example_keys)?;
        let signed = newest(&folder, &Role::Targets, &chain.root.targets, rules)?;
        let targets = complete(signed, &Role::Targets, rules)?.targets;
        no_example_delegate(&targets, example_keys)?;
        Ok(Self { folder, chain, targets })
    }

    /// Who signs orders.
    ///
    /// # Errors
    /// The targets role delegates to no `orders`.
    pub fn orders_authority(&self) -> Result<&Authority, Failure> {
        let delegation = self.targets.delegations.role(ORDERS);
        let missing = || refuse(Fault::NotDelegated, &orders_role());
        Ok(&delegation.ok_or_else(missing)?.authority)
    }

    /// What the folder proves about the time: when its newest orders, contents, snapshot and timestamp were made. Only what the
    /// role's keys signed counts, so that nobody can stop the signing with a file.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn made(&self, rules: &Rules<'_>) -> Result<Vec<(Timestamp, String)>, Failure> {
        let (newest, in_force) = self.orders(rules)?;
        let signed = newest.into_iter().chain(in_force).filter(|document| document.signatures > 0);
        let mut made = Vec::new();
        for document in signed {
            let orders = orders_of(&document.targets)?;
            made.extend(orders.into_iter().map(|order| (order.issued, format!("order {}", order.id))));
        }
        made.extend(crate::content::issued(self, rules)?);
        let root = &self.chain.root;
        let timestamp = believed(&self.folder, &name::file(&Role::Timestamp), &root.timestamp, rules)?;
        let ends = timestamp.and_then(|signed| TimestampRole::read(&signed).ok());
        made.extend(
            ends.map(|role| (role.expires.plus_seconds(-TIMESTAMP_S), "the server's timestamp".to_owned())),
        );
        if let Some(version) = self.folder.versions(&Role::Snapshot)?.last() {
            let file = name::path(&Role::Snapshot, *version, true);
            let snapshot = believed(&self.folder, &file, &root.snapshot, rules)?;
            let ends = snapshot.and_then(|signed| Snapshot::read(&signed).ok());
            made.extend(
                ends.map(|role| (role.expires.plus_seconds(-SNAPSHOT_S), format!("snapshot {version}"))),
            );
        }
        Ok(made)
    }

    /// The newest document of orders, signed enough or not, and the newest one that is signed enough.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn orders(&self, rules: &Rules<'_>) -> Result<(Option<Signed>, Option<Signed>), Failure> {
        let (role, authority) = (orders_role(), self.orders_authority()?);
        let newest = newest(&self.folder, &role, authority, rules)?;
        let mut in_force = newest.clone();
        while let Some(signed) = in_force.as_ref().filter(|signed| !signed.complete) {
            let below = self.folder.versions(&role)?.into_iter().rfind(|version| *version < signed.version);
            in_force =
                below.map(|version| read(&self.folder, &role, version, (authority, rules))).transpose()?;
        }
        Ok((newest, in_force))
    }
}

/// What a folder proves about the time, as far as it can be read: a root must be changed even where an order is broken.
/// A maker's folder proves nothing, because its documents say when they end and not when they were made.
#[must_use]
pub fn made_in(folder: &Folder, rules: &Rules<'_>) -> Vec<(Timestamp, String)> {
    let director = Director::open(folder.clone(), rules, true);
    director.and_then(|director| director.made(rules)).unwrap_or_default()
}

/// The signed part of a file that this authority signed, if it is there.
fn believed(
    folder: &Folder,
    file: &str,
    authority: &Authority,
    rules: &Rules<'_>,
) -> Result<Option<Value>, Failure> {
    let Some(bytes) = folder.read(file)? else { return Ok(None) };
    let document = Document::parse(&bytes, rules.sizes.snapshot.max(rules.sizes.timestamp)).ok();
    let signed = document.filter(|document| document.demand(authority, rules.verifier).is_ok());
    Ok(signed.map(|document| document.signed().clone()))
}

/// The role of the orders.
#[must_use]
pub fn orders_role() -> Role {
    Role::Delegated(ORDERS.to_owned())
}

fn refuse(fault: Fault, role: &Role) -> Failure {
    fault.of(role.clone()).into()
}

/// The newest document of a role in a folder.
///
/// # Errors
/// A file cannot be read.
pub fn newest(
    folder: &Folder,
    role: &Role,
    authority: &Authority,
    rules: &Rules<'_>,
) -> Result<Option<Signed>, Failure> {
    let version = folder.versions(role)?.last().copied();
    version.map(|version| read(folder, role, version, (authority, rules))).transpose()
}

/// The document of a role of one version, signed enough or not.
pub(crate) fn read(
    folder: &Folder,
    role: &Role,
    version: u64,
    (authority, rules): (&Authority, &Rules<'_>),
) -> Result<Signed, Failure> {
    let wrong = |fault: Fault| refuse(fault, role);
    let bytes = folder.role(role, version)?;
    let document = Document::parse(&bytes, rules.sizes.targets).map_err(wrong)?;
    let targets = Targets::read(document.signed()).map_err(wrong)?;
    if targets.version != version {
        return Err(wrong(Fault::Version { wanted: version, found: targets.version }));
    }
    let signatures = document.count(authority, rules.verifier);
    Ok(Signed {
        version,
        bytes,
        targets,
        signatures,
        complete: document.demand(authority, rules.verifier).is_ok(),
    })
}

/// Demands a document that is there, signed enough and fresh.
///
/// # Errors
/// It is missing, signed by too few, or has expired.
pub fn complete(signed: Option<Signed>, role: &Role, rules: &Rules<'_>) -> Result<Signed, Failure> {
    let wrong = |fault: Fault| refuse(fault, role);
    let signed = signed.ok_or_else(|| wrong(Fault::NotFound))?;
    if !signed.complete {
        let file = name::path(role, signed.version, true);
        let detail = format!(
            "{file} has too few signatures ({}): add another with `cordonctl repo sign`",
            signed.signatures
        );
        return Err(Failure::refused("not signed enough", detail));
    }
    let at = signed.targets.expires;
    if rules.now >= at { Err(wrong(Fault::Expired { at })) } else { Ok(signed) }
}

/// The orders that a document lists.
///
/// # Errors
/// One of them cannot be read.
pub fn orders_of(document: &Targets) -> Result<Vec<Order>, Failure> {
    let null = Value::Null;
    let paths = paths(document)?;
    let mut listed = Vec::new();
    for (path, file) in &paths {
        listed.push(entry(path, file, &null)?);
    }
    read_document(listed, document.expires).map_err(|error| Failure::refused("unusable order", error))
}

fn paths(document: &Targets) -> Result<Vec<(TargetPath, &TargetFile)>, Failure> {
    let wrong =
        |text: &str| Failure::refused("unusable name", format!("`{text}` is not the name of a target"));
    document.targets.iter().map(|(path, file)| Ok((path.parse().map_err(|_| wrong(path))?, file))).collect()
}

/// A target as the ground's readers take it; `null` stands in for a missing `custom`.
///
/// # Errors
/// It has no SHA-256.
pub fn entry<'a>(path: &'a TargetPath, file: &'a TargetFile, null: &'a Value) -> Result<Listed<'a>, Failure> {
    let sha256 =
        file.sha256().map_err(|fault| Failure::refused("unusable target", format!("{path}: {fault}")))?;
    Ok(Listed { path, length: file.length, sha256, custom: file.custom.as_ref().unwrap_or(null) })
}

/// Reads what a document says of one release.
///
/// # Errors
/// The statement cannot be read.
pub fn release_of(path: &TargetPath, file: &TargetFile) -> Result<Release, Failure> {
    let null = Value::Null;
    let unusable = |error| Failure::refused("unusable release", format!("{path}: {error}"));
    Release::read(entry(path, file, &null)?).map_err(unusable)
}

impl Maker {
    /// Verifies the whole repository.
    ///
    /// # Errors
    /// It is not believed, or has an example key in it.
    pub fn open(mut folder: Folder, rules: &Rules<'_>, example_keys: bool) -> Result<Self, Failure> {
        let first = folder.versions(&Role::Root)?.first().copied().unwrap_or(1);
        let root = folder.role(&Role::Root, first)?;
        let trusted = Refresh::run(&root, rules, &mut folder)?;
        no_example(trusted.root(), example_keys)?;
        no_example_delegate(trusted.targets(), example_keys)?;
        Ok(Self { folder, trusted })
    }

    /// What the maker says of a release, or nothing if it is not listed.
    ///
    /// # Errors
    /// A role on the way is not believed, or the statement cannot be read.
    pub fn release(&self, path: &TargetPath, rules: &Rules<'_>) -> Result<Option<Release>, Failure> {
        let found = Search::run(&self.trusted, path.as_str(), rules, &mut self.folder.clone())?;
        found.map(|found| release_of(path, &found.file)).transpose()
    }

    /// The same, where a release must be listed.
    ///
    /// # Errors
    /// As for [`Maker::release`], or it is not listed.
    pub fn listed(&self, path: &TargetPath, rules: &Rules<'_>) -> Result<Release, Failure> {
        let missing = || {
            Failure::refused(
                "unknown release",
                format!("the maker lists no release {path}; fetch the maker's repository again"),
            )
        };
        self.release(path, rules)?.ok_or_else(missing)
    }
}

//! The parties' signed documents in a pack, judged from the first root of each, which the reader brings along.
//!
//! Every version is judged by the keys that were given the role at some time: a pack tells what was approved, also of an
//! order that is withdrawn now or of a document that has ended since, so ends are not looked at. Every document of the pack
//! has to count, and nothing else is read of it. Read next: [`super::verify`].

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use cordon_proto::canonical::Value;
use cordon_proto::ids::{Name, Sha256, TargetPath};
use cordon_proto::update::document::Document;
use cordon_proto::update::key::{Authority, KeyId};
use cordon_proto::update::metadata::{TargetFile, Targets};
use cordon_proto::update::order::Order;
use cordon_proto::update::release::Listed;
use cordon_proto::update::trust::Rules;
use cordon_proto::update::{Fault, Role, TrustError, Trusted, name};

/// The role that holds the orders.
const ORDERS: &str = "orders";
/// Roots and versions that one repository of a pack may have.
const VERSIONS: u64 = 4096;

/// The files of one repository by name.
pub(super) type Files = BTreeMap<String, Vec<u8>>;

/// An order, and by whose keys it was approved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approved {
    /// The order.
    pub order: Order,
    /// The version of the document that lists it.
    pub document: u64,
    /// The keys that signed it.
    pub signed_by: Vec<KeyId>,
    /// How many had to.
    pub threshold: u64,
}

/// Why a signed document of a pack is not believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Untrusted {
    /// The first root is not there.
    #[error("the pack holds no first root of the repository {repository}")]
    NoRoot {
        /// The repository.
        repository: String,
    },
    /// The first root is another than the reader knows.
    #[error("the first root of {repository} is {found}, not the one that was given ({wanted})")]
    OtherRoot {
        /// The repository.
        repository: String,
        /// SHA-256 of the one in the pack.
        found: String,
        /// SHA-256 of the one that was given.
        wanted: String,
    },
    /// No root was given for a maker.
    #[error("no root was given for the maker's repository {repository}: nothing of it can be believed")]
    NoAnchor {
        /// The repository.
        repository: String,
    },
    /// A document is not what its role signed.
    #[error("{repository}/{file} is not believed: {why}")]
    Document {
        /// The repository.
        repository: String,
        /// The file.
        file: String,
        /// Why.
        why: String,
    },
}

/// A file that some proven document lists.
#[derive(Clone, Debug)]
pub(super) struct Proven {
    /// The role whose document lists it.
    role: String,
    document: u64,
    /// The document's own end.
    expires: cordon_proto::time::Timestamp,
    path: TargetPath,
    file: TargetFile,
    signed_by: Vec<KeyId>,
    threshold: u64,
}

/// A document that enough keys signed.
struct Counted {
    file: String,
    targets: Targets,
    signed_by: Vec<KeyId>,
    threshold: u64,
}

/// The repository of one party.
pub(super) struct Repository<'a> {
    pub(super) name: &'a Name,
    pub(super) files: &'a Files,
    pub(super) rules: &'a Rules<'a>,
}

impl Repository<'_> {
    /// Everything that its documents list, by documents that count from this first root.
    pub(super) fn proven(&self, anchor: Sha256) -> Result<Vec<Proven>, Untrusted> {
        let tops = self.roots(anchor)?;
        let mut authorities: Vec<(Role, Authority)> =
            tops.into_iter().map(|authority| (Role::Targets, authority)).collect();
        let mut proven = Vec::new();
        let mut delegated = Vec::new();
        for counted in self.documents(&Role::Targets, &authorities)? {
            delegated.extend(counted.targets.delegations.roles.iter().cloned());
            self.listed(&Role::Targets, &counted, &mut proven)?;
        }
        authorities.clear();
        authorities.extend(
            delegated.iter().map(|role| (Role::Delegated(role.name.clone()), role.authority.clone())),
        );
        let mut seen = Vec::new();
        for role in &delegated {
            let role_name = Role::Delegated(role.name.clone());
            if seen.contains(&role_name) {
                continue;
            }
            for counted in self.documents(&role_name, &authorities)? {
                let foreign = counted.targets.targets.keys().find(|path| {
                    let mut by_name = delegated.iter().filter(|one| one.name == role.name);
                    !by_name.any(|one| one.allows(path))
                });
                if let Some(path) = foreign {
                    return Err(self.wrong(&counted.file, &alloc::format!("its role may not list {path}")));
                }
                self.listed(&role_name, &counted, &mut proven)?;
            }
            seen.push(role_name);
        }
        self.nothing_else(&seen)?;
        Ok(proven)
    }

    /// The authorities of the targets role, by all roots from the first on.
    fn roots(&self, anchor: Sha256) -> Result<Vec<Authority>, Untrusted> {
        let first = name::path(&Role::Root, 1, true);
        let repository = self.name.to_string();
        let bytes =
            self.files.get(&first).ok_or_else(|| Untrusted::NoRoot { repository: repository.clone() })?;
        let found = Sha256::of(bytes);
        if found != anchor {
            let (found, wanted) = (found.to_string(), anchor.to_string());
            return Err(Untrusted::OtherRoot { repository, found, wanted });
        }
        let wrong = |file: &str, error: TrustError| self.wrong(file, &error.to_string());
        let mut trusted = Trusted::start(bytes, self.rules).map_err(|error| wrong(&first, error))?;
        let mut authorities = Vec::from([trusted.root().targets.clone()]);
        for version in 2..VERSIONS {
            let file = name::path(&Role::Root, version, true);
            let Some(bytes) = self.files.get(&file) else { break };
            trusted.rotate(bytes, self.rules).map_err(|error| wrong(&file, error))?;
            authorities.push(trusted.root().targets.clone());
        }
        Ok(authorities)
    }

    /// The documents of a role that are there, each signed by one of the authorities that the role had.
    fn documents(&self, role: &Role, authorities: &[(Role, Authority)]) -> Result<Vec<Counted>, Untrusted> {
        let ending = alloc::format!(".{}", name::file(role));
        let mut found = Vec::new();
        for (file, bytes) in self.files {
            let version = file.strip_suffix(&ending).and_then(|version| version.parse::<u64>().ok());
            let Some(version) = version.filter(|version| name::path(role, *version, true) == *file) else {
                continue;
            };
            let wrong = |fault: Fault| self.wrong(file, &fault.to_string());
            let document = Document::parse(bytes, self.rules.sizes.targets).map_err(wrong)?;
            let of_role = authorities.iter().filter(|(of, _)| of == role).map(|(_, authority)| authority);
            let judged =
                of_role.map(|authority| document.demand(authority, self.rules.verifier).map(|()| authority));
            let counted = judged.reduce(|best, next| if best.is_ok() { best } else { next });
            let authority = counted.unwrap_or(Err(Fault::NotDelegated)).map_err(wrong)?;
            let targets = Targets::read(document.signed()).map_err(wrong)?;
            if targets.version != version {
                return Err(wrong(Fault::Version { wanted: version, found: targets.version }));
            }
            let signed_by = signers(&document, authority, self.rules);
            let threshold = authority.threshold();
            found.push(Counted { file: file.clone(), targets, signed_by, threshold });
        }
        Ok(found)
    }

    fn listed(&self, role: &Role, counted: &Counted, proven: &mut Vec<Proven>) -> Result<(), Untrusted> {
        let Counted { file, targets, signed_by, threshold } = counted;
        for (path, listed) in &targets.targets {
            let path = path.parse().map_err(|_| self.wrong(file, "it lists a name that is none"))?;
            proven.push(Proven {
                role: role.to_string(),
                document: targets.version,
                expires: targets.expires,
                path,
                file: listed.clone(),
                signed_by: signed_by.clone(),
                threshold: *threshold,
            });
        }
        Ok(())
    }

    /// A file that no role accounts for is not part of a pack.
    fn nothing_else(&self, roles: &[Role]) -> Result<(), Untrusted> {
        let tops = [Role::Root, Role::Targets];
        let endings: Vec<String> =
            tops.iter().chain(roles).map(|role| alloc::format!(".{}", name::file(role))).collect();
        let known = |file: &str| {
            endings.iter().any(|ending| {
                file.strip_suffix(ending.as_str()).is_some_and(|number| number.parse::<u64>().is_ok())
            })
        };
        match self.files.keys().find(|file| !known(file)) {
            Some(file) => Err(self.wrong(file, "no role of this repository has such a document")),
            None => Ok(()),
        }
    }

    fn wrong(&self, file: &str, why: &str) -> Untrusted {
        Untrusted::Document { repository: self.name.to_string(), file: file.into(), why: why.into() }
    }

    /// The orders among what is proven, each different one with the newest document that lists it.
    pub(super) fn orders(&self, proven: &[Proven]) -> Result<Vec<Approved>, Untrusted> {
        let null = Value::Null;
        let mut found: Vec<Approved> = Vec::new();
        for one in proven.iter().filter(|one| one.role == ORDERS) {
            let file = alloc::format!("{}.{ORDERS}.json", one.document);
            let wrong = |why: String| self.wrong(&file, &why);
            let sha256 = one.file.sha256().map_err(|fault| wrong(fault.to_string()))?;
            let custom = one.file.custom.as_ref().unwrap_or(&null);
            let listed = Listed { path: &one.path, length: one.file.length, sha256, custom };
            let order = Order::read(listed, one.expires).map_err(|why| wrong(why.to_string()))?;
            let approved = Approved {
                order,
                document: one.document,
                signed_by: one.signed_by.clone(),
                threshold: one.threshold,
            };
            match found.iter_mut().find(|known| known.order == approved.order) {
                Some(known) if known.document < approved.document => *known = approved,
                Some(_) => {}
                None => found.push(approved),
            }
        }
        Ok(found)
    }
}

impl Proven {
    /// Whether this is the maker's word for exactly this image.
    pub(super) fn is(&self, path: &TargetPath, sha256: Sha256, length: u64) -> bool {
        self.path == *path && self.file.length == length && self.file.sha256() == Ok(sha256)
    }
}

/// The keys of the authority that signed a document.
fn signers(document: &Document, authority: &Authority, rules: &Rules<'_>) -> Vec<KeyId> {
    let signed = |key: &cordon_proto::update::PublicKey| {
        let alone = Authority::new([key.clone()], 1);
        alone.is_some_and(|alone| document.count(&alone, rules.verifier) == 1)
    };
    authority.keys().iter().filter(|(_, key)| signed(key)).map(|(id, _)| id.clone()).collect()
}

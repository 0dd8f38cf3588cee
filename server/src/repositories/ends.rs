//! When the signed documents in the store end: the owner's, each order, and those of every maker.
//!
//! Read as they are stored; what cannot be read any more is left out here, because whoever took it in has verified it.
//! Read next: `cordon_server_core::expiry`.

use std::collections::BTreeSet;

use cordon_proto::ids::{Name, Text};
use cordon_proto::limits;
use cordon_proto::time::Timestamp;
use cordon_proto::update::document::Document;
use cordon_proto::update::metadata::{Root, Snapshot, Targets, Timestamp as TimestampRole};
use cordon_proto::update::{Role, name};
use cordon_server_core::expiry::{Lapse, What, Whose};

use super::{PublishError, Repositories, orders_of, rules};
use crate::store::StoreError;

impl Repositories {
    /// Everything that ends in the repositories.
    pub async fn ends(&self, now: Timestamp) -> Result<Vec<Lapse>, PublishError> {
        let mut ends = self.owners_ends(now).await?;
        let makers: BTreeSet<Name> =
            self.releases().await?.into_iter().map(|release| release.repository).collect();
        for maker in &makers {
            ends.extend(self.makers_ends(maker).await?);
        }
        Ok(ends)
    }

    async fn owners_ends(&self, now: Timestamp) -> Result<Vec<Lapse>, PublishError> {
        let (director, _) = self.director().await?;
        let mut ends = Vec::new();
        let mut say = |what, name: &str, at| ends.push(lapse((what, Whose::Owner), name, at));
        if let Some(root) = director.root.as_deref().and_then(root_of) {
            say(What::Root, &format!("the owner's root {}", root.version), root.expires);
        }
        if let Some(targets) = director.targets(&rules(now))? {
            say(What::Targets, &format!("the owner's targets {}", targets.version), targets.expires);
        }
        for role in director.delegated.keys() {
            if let Some(document) = director.delegated(role, &rules(now))? {
                say(What::Role, &format!("the owner's {role} {}", document.version), document.expires);
            }
        }
        for order in orders_of(&director, now)? {
            say(What::Order, &format!("order {}", order.id), order.expires);
            if let Some(back) = &order.back {
                say(What::WayBack, &format!("the way back of order {}", order.id), back.until);
            }
        }
        let renewed = (What::Renewed, Whose::Server);
        ends.extend(director.timestamp_expires.map(|at| lapse(renewed, "the owner's timestamp", at)));
        Ok(ends)
    }

    async fn makers_ends(&self, maker: &Name) -> Result<Vec<Lapse>, StoreError> {
        let mut ends = Vec::new();
        let mut say = |what, words: &str, at| {
            ends.push(lapse((what, Whose::Maker), &format!("{words} of {maker}"), at))
        };
        if let Some(root) = self.newest_root(maker).await? {
            say(What::Root, &format!("root {}", root.version), root.expires);
        }
        let timestamp = self.stored(maker, &name::file(&Role::Timestamp)).await?;
        let Some(timestamp) = timestamp.and_then(|signed| TimestampRole::read(signed.signed()).ok()) else {
            return Ok(ends);
        };
        say(What::Freshness, &format!("timestamp {}", timestamp.version), timestamp.expires);
        let file = name::path(&Role::Snapshot, timestamp.snapshot.version, true);
        let snapshot = self.stored(maker, &file).await?;
        let Some(snapshot) = snapshot.and_then(|signed| Snapshot::read(signed.signed()).ok()) else {
            return Ok(ends);
        };
        say(What::Freshness, &format!("snapshot {}", snapshot.version), snapshot.expires);
        for (listed, meta) in &snapshot.meta {
            let Some(stem) = listed.strip_suffix(".json") else { continue };
            let is_top = stem == "targets";
            let role = if is_top { Role::Targets } else { Role::Delegated(stem.to_owned()) };
            let document = self.stored(maker, &name::path(&role, meta.version, true)).await?;
            if let Some(document) = document.and_then(|signed| Targets::read(signed.signed()).ok()) {
                let what = if is_top { What::Targets } else { What::Role };
                say(what, &format!("{stem} {}", document.version), document.expires);
            }
        }
        Ok(ends)
    }

    /// The newest root of a maker: devices follow them one by one.
    async fn newest_root(&self, maker: &Name) -> Result<Option<Root>, StoreError> {
        let mut newest = None;
        for version in 1..=limits::ROOT_ROTATIONS {
            let file = name::path(&Role::Root, version, true);
            let Some(bytes) = self.file(maker, &file).await? else { break };
            newest = root_of(&bytes).or(newest);
        }
        Ok(newest)
    }

    async fn stored(&self, maker: &Name, file: &str) -> Result<Option<Document>, StoreError> {
        let bytes = self.file(maker, file).await?;
        Ok(bytes.and_then(|bytes| Document::parse(&bytes, limits::TUF_TARGETS_BYTES).ok()))
    }
}

fn root_of(bytes: &[u8]) -> Option<Root> {
    let document = Document::parse(bytes, limits::TUF_ROOT_BYTES).ok()?;
    Root::read(document.signed()).ok()
}

fn lapse((what, whose): (What, Whose), name: &str, at: Timestamp) -> Lapse {
    Lapse { what, name: Text::lossy(name), at, whose }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use cordon_proto::canonical::Value;
    use cordon_proto::ids::Sha256;
    use cordon_proto::update::author::{self, Signer, sign};
    use cordon_proto::update::delegation::{DelegatedRole, Delegations, Paths};
    use cordon_proto::update::metadata::{MetaFile, TargetFile};
    use cordon_proto::update::{Authority, PublicKey};
    use cordon_server_core::audit::Actor;
    use ed25519_dalek::{Signer as _, SigningKey};

    use super::*;
    use crate::online::OnlineKeys;
    use crate::people::Doer;
    use crate::repositories::Incoming;
    use crate::store::blobs::Blobs;
    use crate::store::memory::Memory;

    const NOW: Timestamp = Timestamp(1_795_251_906);
    const IMAGE: &[u8] = b"the image";

    fn days(days: i64) -> Timestamp {
        NOW.plus_seconds(days * 86_400)
    }

    fn signed(value: &Value) -> Vec<u8> {
        let key = SigningKey::from_bytes(&[5; 32]);
        let make = |message: &[u8]| key.sign(message).to_bytes().to_vec();
        let id = PublicKey::ed25519(key.verifying_key().to_bytes()).id();
        sign(value, &[Signer { key: id, sign: &make }])
    }

    /// A maker's files: each document with another end.
    fn files() -> Vec<(&'static str, Vec<u8>)> {
        let key = PublicKey::ed25519(SigningKey::from_bytes(&[5; 32]).verifying_key().to_bytes());
        let one = Authority::new([key], 1).expect("a reachable threshold");
        let root = Root {
            version: 1,
            expires: days(300),
            consistent_snapshot: true,
            root: one.clone(),
            timestamp: one.clone(),
            snapshot: one.clone(),
            targets: one.clone(),
        };
        let paths = Paths::Patterns(vec!["vp-3/*".to_owned()]);
        let role = DelegatedRole { name: "vp-3".to_owned(), authority: one, paths, terminating: true };
        let delegations = Delegations { roles: vec![role] };
        let of = |expires, targets, delegations| Targets { version: 1, expires, targets, delegations };
        let targets = signed(&author::targets(&of(days(80), BTreeMap::new(), delegations)));
        let custom = Value::parse(
            br#"{"confirm":"checkin","counter":2,"floor":0,"hardware":["C"],"interlock":"none","min_from":0,"model":"VP-3","needs":"none","recall":"none","v":1}"#,
            1024,
        );
        let file = TargetFile::new(IMAGE.len() as u64, Sha256::of(IMAGE), Some(custom.expect("JSON")));
        let listed = BTreeMap::from([("vp-3/1.0".to_owned(), file)]);
        let model = signed(&author::targets(&of(days(20), listed, Delegations::default())));
        let meta = BTreeMap::from([
            ("targets.json".to_owned(), MetaFile::of(1, &targets)),
            ("vp-3.json".to_owned(), MetaFile::of(1, &model)),
        ]);
        let snapshot = signed(&author::snapshot(&Snapshot { version: 1, expires: days(6), meta }));
        let newest = MetaFile::of(1, &snapshot);
        let timestamp = TimestampRole { version: 1, expires: days(2), snapshot: newest };
        vec![
            ("1.root.json", signed(&author::root(&root))),
            ("1.targets.json", targets),
            ("1.vp-3.json", model),
            ("1.snapshot.json", snapshot),
            ("timestamp.json", signed(&author::timestamp(&timestamp))),
        ]
    }

    #[tokio::test]
    async fn every_document_of_a_maker_has_its_end_told() {
        // Goal: a maker's lapse is seen before devices refuse. Method: a repository whose documents all end at other times.
        let repositories = Repositories::new(Arc::new(Memory::new()), Arc::new(OnlineKeys::make()));
        let (actor, maker) = (Actor::Person(Text::lossy("ines")), "halden".parse().expect("a name"));
        let folder = tempfile::tempdir().expect("a folder");
        let blobs = Blobs::open(folder.path().to_owned()).await.expect("opened");
        let image = blobs.put(64).await.expect("begun").write(IMAGE.into()).await.expect("written");
        image.finish(Some(Sha256::of(IMAGE))).await.expect("kept");
        for (file, bytes) in files() {
            let by = Doer { actor: &actor, now: NOW };
            let incoming = Incoming { repository: &maker, file, bytes: &bytes };
            repositories.publish_image(incoming, &blobs, by).await.expect(file);
        }
        let mut ends = repositories.ends(NOW).await.expect("reads");
        ends.sort_by_key(|lapse| lapse.at);
        let told: Vec<_> =
            ends.iter().map(|lapse| (lapse.what, lapse.name.to_string(), lapse.at, lapse.whose)).collect();
        let wanted = [
            (What::Freshness, "timestamp 1 of halden", days(2)),
            (What::Freshness, "snapshot 1 of halden", days(6)),
            (What::Role, "vp-3 1 of halden", days(20)),
            (What::Targets, "targets 1 of halden", days(80)),
            (What::Root, "root 1 of halden", days(300)),
        ];
        assert_eq!(told, wanted.map(|(what, name, at)| (what, name.to_owned(), at, Whose::Maker)));
    }
}

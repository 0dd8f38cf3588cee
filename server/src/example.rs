//! The throw-away keys of `keys-example` on the server's side: made for a trial, recognised everywhere else.
//!
//! Their seeds are SHA-256 of `cordon example key: NAME`, so everybody has them and whatever they sign proves nothing.
//! This is the only file of the server that can make a director's offline signature, and only with these keys. Read
//! next: `keys-example/README.md`, and `cordon_proto::update::deny`, the list that names them.

use cordon_proto::ids::Sha256;
use cordon_proto::limits;
use cordon_proto::time::Timestamp;
use cordon_proto::update::author::{self, Signer, sign};
use cordon_proto::update::delegation::{DelegatedRole, Delegations, Paths};
use cordon_proto::update::deny::is_example_root;
use cordon_proto::update::document::Document;
use cordon_proto::update::metadata::{Root, Targets};
use cordon_proto::update::{Authority, PublicKey};
use ed25519_dalek::{Signer as _, SigningKey};

use crate::store::{Cursor, Index, Key, Kind, Store, StoreError};

/// Days the example director lives.
const DAYS: i64 = 365;

/// The example director's two offline documents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExampleDirector {
    /// `1.root.json`.
    pub root: Vec<u8>,
    /// `1.targets.json`.
    pub targets: Vec<u8>,
}

/// An example key by its name.
#[must_use]
pub fn key(name: &str) -> SigningKey {
    SigningKey::from_bytes(&Sha256::of(format!("cordon example key: {name}").as_bytes()).0)
}

impl ExampleDirector {
    /// The example director as of `now`, with the roles of decision 0002.
    #[must_use]
    pub fn sign(now: Timestamp) -> Self {
        let expires = now.plus_seconds(DAYS * 86_400);
        let root = Root {
            version: 1,
            expires,
            consistent_snapshot: true,
            root: authority(&ROOT, 2),
            timestamp: authority(&["director-timestamp"], 1),
            snapshot: authority(&["director-snapshot"], 1),
            targets: authority(&TARGETS, 2),
        };
        let delegations = Delegations {
            roles: vec![
                delegated("orders", &["director-orders-1", "director-orders-2"]),
                delegated("content", &["director-content-1", "director-content-2"]),
            ],
        };
        let targets = Targets { version: 1, expires, targets: [].into(), delegations };
        Self {
            root: signed(&author::root(&root), &ROOT),
            targets: signed(&author::targets(&targets), &TARGETS),
        }
    }
}

const ROOT: [&str; 3] = ["director-root-1", "director-root-2", "director-root-3"];
const TARGETS: [&str; 3] = ["director-targets-1", "director-targets-2", "director-targets-3"];

fn public(name: &str) -> PublicKey {
    PublicKey::ed25519(key(name).verifying_key().to_bytes())
}

fn authority(names: &[&str], threshold: u64) -> Authority {
    Authority::new(names.iter().map(|name| public(name)), threshold).expect("as many keys as are asked for")
}

fn delegated(role: &str, names: &[&str]) -> DelegatedRole {
    let path = if role == "orders" { "order/*" } else { "content/*" };
    DelegatedRole {
        name: role.to_owned(),
        authority: authority(names, 2),
        paths: Paths::Patterns(vec![path.to_owned()]),
        terminating: true,
    }
}

fn signed(value: &cordon_proto::canonical::Value, names: &[&str]) -> Vec<u8> {
    let makers: Vec<_> = names
        .iter()
        .map(|name| (public(name).id(), move |message: &[u8]| key(name).sign(message).to_bytes().to_vec()))
        .collect();
    let signers: Vec<Signer<'_>> =
        makers.iter().map(|(id, make)| Signer { key: id.clone(), sign: make }).collect();
    sign(value, &signers)
}

/// The first published root that gives a role to an example key, by repository and file.
pub async fn published_root(store: &dyn Store) -> Result<Option<String>, StoreError> {
    let mut cursor = Some(Cursor::First);
    while let Some(from) = cursor {
        let page = store.scan(Index::All(Kind::RepositoryFile), from, limits::PAGE_ROWS).await?;
        for (key, row) in page.rows {
            let Key::RepositoryFile { repository, file } = key else { continue };
            if file.as_str().ends_with(".root.json") && is_example(&row.body) {
                return Ok(Some(format!("{repository}/{file}")));
            }
        }
        cursor = page.next;
    }
    Ok(None)
}

/// Whether these bytes are a root with an example key in it. What is no root gives nobody a role.
pub fn is_example(bytes: &[u8]) -> bool {
    let root =
        Document::parse(bytes, limits::TUF_ROOT_BYTES).and_then(|document| Root::read(document.signed()));
    root.is_ok_and(|root| is_example_root(&root))
}

#[cfg(test)]
mod tests {
    use crate::people::Doer;
    use std::sync::Arc;

    use cordon_proto::ids::Text;
    use cordon_server_core::audit::Actor;

    use super::*;
    use crate::online::OnlineKeys;
    use crate::repositories::Repositories;
    use crate::store::memory::Memory;

    const NOW: Timestamp = Timestamp(1_800_000_000);

    #[tokio::test]
    async fn the_example_director_can_be_published_and_is_recognised() {
        // Goal: `init --example-keys`. Method: publish both documents with the example online keys; look for them.
        let store: Arc<dyn Store> = Arc::new(Memory::new());
        assert_eq!(published_root(&*store).await.expect("read"), None);
        let repositories = Repositories::new(Arc::clone(&store), Arc::new(OnlineKeys::example()));
        let director = ExampleDirector::sign(NOW);
        let person = Actor::Person(Text::lossy("ines"));
        for (file, bytes) in [("1.root.json", &director.root), ("1.targets.json", &director.targets)] {
            repositories.publish_director(file, bytes, Doer { actor: &person, now: NOW }).await.expect(file);
        }
        let found = published_root(&*store).await.expect("read");
        assert_eq!(found.as_deref(), Some("director/1.root.json"));
        assert_eq!(ExampleDirector::sign(NOW), director, "the same bytes again");
    }

    #[tokio::test]
    async fn a_server_believes_no_feed_by_an_example_key_outside_a_trial() {
        // Goal: advisories that anybody could have signed are nobody's word. Method: settings that name such a key beside one of
        // our own, with and without the trial; then our own alone.
        let folder = crate::testing::Bench::laid().await;
        let hex = |key: &PublicKey| key.material().map(hex_of).expect("bytes");
        let own = PublicKey::ed25519(SigningKey::from_bytes(&[7; 32]).verifying_key().to_bytes());
        let (own, example) = (hex(&own), hex(&public("image-targets-1")));
        let start = async |keys: &str, is_trial: bool| {
            let planes = ["enrolment", "device", "operator"];
            let mut sets: Vec<String> =
                planes.map(|plane| format!("{plane}.listen=127.0.0.1:0")).into_iter().collect();
            sets.push(format!("feeds.keys.debian=[{keys}]"));
            sets.push(format!("allow_example_keys={is_trial}"));
            let settings = folder.path().join(crate::init::CONFIG);
            let config = crate::config::Config::load(&settings, &sets).expect("settings");
            crate::serve::assemble(Arc::new(Memory::new()), config, crate::clock::Clock::system()).await
        };
        let refused = start(&format!("\"{own}\", \"{example}\""), false).await.err().expect("refused");
        let words = refused.to_string();
        assert!(words.contains("the feed debian") && words.contains("cordonctl keys generate"), "{words}");
        assert!(start(&format!("\"{example}\""), true).await.is_ok(), "a trial on loopback");
        assert!(start(&format!("\"{own}\""), false).await.is_ok());
    }

    fn hex_of(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn what_is_no_root_gives_nobody_a_role() {
        // Goal: damage is not taken for an example. Method: rubbish, and a targets document.
        let director = ExampleDirector::sign(NOW);
        assert!(is_example(&director.root));
        assert!(!is_example(b"") && !is_example(b"{}") && !is_example(&director.targets));
    }
}

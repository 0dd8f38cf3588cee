//! The owner of the wards: signs orders with the throw-away director's keys and publishes them.
//!
//! These are the two offline keys of the role, so a document of theirs is what a genuine one is. What the maker lists is
//! known to the devices without a chain of its own. Read next: `cordon_server::example`.

use std::collections::BTreeMap;

use cordon_proto::ids::{HardwareId, Sha256, TargetPath, Text};
use cordon_proto::merkle::Tree;
use cordon_proto::time::Timestamp;
use cordon_proto::update::PublicKey;
use cordon_proto::update::author::{self, Signer, sign};
use cordon_proto::update::delegation::Delegations;
use cordon_proto::update::metadata::{TargetFile, Targets};
use cordon_proto::update::order::{Back, Order};
use cordon_proto::update::release::{Confirm, Image, InterlockClass, Needs, Recall, Release};
use cordon_proto::update::scope::Scope;
use cordon_proto::update::window::Window;
use cordon_server::people::Doer;
use cordon_server::{example, init};
use ed25519_dalek::Signer as _;

use super::seat::{Place, Seat};
use super::{name, person};

/// The model of all devices.
pub const MODEL: &str = "VP-3";
/// Its board.
pub const BOARD: &str = "C";
/// Days that an order holds.
const ORDER_DAYS: i64 = 60;
/// The role's keys.
const KEYS: [&str; 2] = ["director-orders-1", "director-orders-2"];

/// The owner, who numbers what is signed.
pub struct Owner {
    version: u64,
}

/// What devices are made with.
#[must_use]
pub fn factory() -> Release {
    release("vp-3/4.1.0", 41)
}

/// What is ordered.
#[must_use]
pub fn ordered() -> Release {
    release("vp-3/4.2.2", 42)
}

fn release(path: &str, counter: u64) -> Release {
    let image = Image { release: target(path), length: 4096, sha256: Sha256::of(path.as_bytes()) };
    Release {
        image,
        model: Text::lossy(MODEL),
        hardware: vec![Text::lossy(BOARD)],
        counter,
        floor: 40,
        min_from: 40,
        interlock: InterlockClass::Application,
        confirm: Confirm::Checkin,
        recall: Recall::None,
        needs: Needs::None,
        support: BTreeMap::new(),
        sbom: None,
        vex: None,
        mud: None,
        deltas: Vec::new(),
    }
}

fn target(path: &str) -> TargetPath {
    path.parse().expect("a valid path")
}

impl Owner {
    /// The owner whose root and targets of `init` stand in this server's store.
    pub async fn published(place: &Place, seat: &Seat, now: Timestamp) -> anyhow::Result<Self> {
        for file in ["1.root.json", "1.targets.json"] {
            let bytes = std::fs::read(place.path().join(init::EXAMPLE_DIRECTOR).join(file))?;
            let by = Doer { actor: &person(), now };
            seat.operator.repositories.publish_director(file, &bytes, by).await?;
        }
        Ok(Self { version: 0 })
    }

    /// An order of the new release for these devices, with the way back to the one before.
    #[must_use]
    pub fn order(&self, id: &str, members: &[HardwareId], now: Timestamp) -> Order {
        let mut leaves: Vec<[u8; 32]> = members.iter().map(|member| member.0).collect();
        leaves.sort_unstable();
        let count = leaves.len() as u64;
        let expires = now.plus_seconds(ORDER_DAYS * 86_400);
        Order {
            id: name(id),
            repository: name("halden"),
            image: ordered().image,
            scope: Scope::Set { root: Sha256(leaves.into_iter().collect::<Tree>().root()), count },
            issued: now,
            not_before: now,
            expires,
            windows: vec![Window::ALWAYS],
            back: Some(Back { image: factory().image, until: expires }),
            permit_s: Some(900),
            reason: Text::lossy("removes a flaw under attack"),
        }
    }

    /// Signs the next document of orders and publishes it.
    pub async fn publish(&mut self, seat: &Seat, orders: &[Order], now: Timestamp) -> anyhow::Result<()> {
        self.version += 1;
        let listed = |order: &Order| {
            let file = TargetFile::new(order.image.length, order.image.sha256, Some(order.custom()));
            (order.path().as_str().to_owned(), file)
        };
        let targets = Targets {
            version: self.version,
            expires: now.plus_seconds(ORDER_DAYS * 86_400),
            targets: orders.iter().map(listed).collect(),
            delegations: Delegations::default(),
        };
        let keys = KEYS.map(example::key);
        let makers = keys.each_ref().map(|key| move |message: &[u8]| key.sign(message).to_bytes().to_vec());
        let ids = keys.each_ref().map(|key| PublicKey::ed25519(key.verifying_key().to_bytes()).id());
        let signers: Vec<Signer<'_>> =
            ids.into_iter().zip(&makers).map(|(key, sign)| Signer { key, sign }).collect();
        let bytes = sign(&author::targets(&targets), &signers);
        let file = format!("{}.orders.json", self.version);
        let server = seat.operator.app.clock.now();
        let by = Doer { actor: &person(), now: server };
        seat.operator.repositories.publish_director(&file, &bytes, by).await?;
        seat.operator.rollouts.read_orders(server).await?;
        Ok(())
    }
}

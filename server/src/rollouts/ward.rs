//! Pumps on servers of their own, for tests of what check-ins and ticks make of a rollout.
//!
//! Tests only. Nothing is decided here: pumps enrol, the owner's documents are published, a rollout begins. Read next:
//! `review_tests`, `content_tests`, `elsewhere/tests.rs`, which use it.

use cordon_proto::ids::{Sha256, Text};
use cordon_proto::update::content::Assignment;
use cordon_server_core::device::Device;
use cordon_server_core::rollout::{Policy, RolloutKind, content_key};

use super::tests::{Desk, NOW, by, name, order, person, wave};
use super::{Rollouts, Wanted};
use crate::app::App;
use crate::http::operator::Operator;
use crate::repositories::Repositories;
use crate::testing::{Bench, Enrolled};

/// The desk from which a server's documents are published.
pub(super) fn desk_of(app: &App) -> Desk {
    let repositories = Repositories::new(app.store.clone(), app.online.clone());
    Desk { online: app.online.clone(), repositories }
}

/// A content of this version for these pumps.
pub(super) fn content(version: u64, pumps: &[&Device]) -> Assignment {
    Assignment {
        id: name("icu"),
        length: 9,
        sha256: Sha256([9; 32]),
        scope: order("any", pumps).scope,
        version,
        issued: NOW,
        expires: NOW.plus_seconds(30 * 86_400),
        reason: Text::lossy("quieter nights"),
    }
}

/// A rollout of that content to these pumps in one wave.
pub(super) fn nights(pumps: &[&Device], policy: Policy) -> Wanted {
    let key = content_key(&name("icu")).expect("short");
    let waves = vec![wave("all", key.as_str(), pumps)];
    let wanted = Wanted::new(name("nights"), "Nights".to_owned(), waves, policy);
    Wanted { kind: RolloutKind::Content, ..wanted }
}

/// A server with two enrolled pumps.
pub(super) struct TwoPumps {
    pub(super) bench: Bench,
    pub(super) pumps: Vec<Enrolled>,
    pub(super) devices: Vec<Device>,
}

/// Starts a server and enrols two pumps.
pub(super) async fn two_pumps() -> TwoPumps {
    let bench = Bench::start(&[]).await;
    bench.clock.hold_at(NOW.into());
    let mut pumps = Vec::new();
    for serial in ["VP3-1", "VP3-2"] {
        pumps.push(bench.enrol(serial).await);
    }
    let fleet = &bench.app().fleet;
    let device = |pump: &Enrolled| Device::clone(&fleet.get(pump.id).expect("enrolled").device);
    let devices = pumps.iter().map(device).collect();
    TwoPumps { bench, pumps, devices }
}

impl TwoPumps {
    /// Both devices.
    pub(super) fn both(&self) -> Vec<&Device> {
        self.devices.iter().collect()
    }

    /// Creates a rollout over what was published, and says who works with it.
    pub(super) async fn begin(&self, wanted: Wanted) -> Operator {
        let app = self.bench.app().clone();
        let Desk { repositories, .. } = desk_of(&app);
        let rollouts = Rollouts::load(app.store.clone(), repositories.clone(), NOW).await.expect("loads");
        rollouts.belong_to(&app);
        rollouts.create(wanted, by(&person())).await.expect("creates");
        Operator { app, rollouts, repositories }
    }
}

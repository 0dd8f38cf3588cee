//! What is counted, for `/metrics` in OpenMetrics and for the demo's own assertions.
//!
//! Counters only rise; gauges are set from the fleet view when somebody asks. No label names a device or a person.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::atomic::{AtomicI64, AtomicU64};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::http::StatusCode;
use cordon_proto::ids::Name;
use cordon_proto::time::Timestamp;
use cordon_server_core::siem::position::Position;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::audit_log::Standing;

type Label = (&'static str, &'static str);
type Counters<const N: usize> = Family<[Label; N], Counter>;

/// All counters of one server.
#[derive(Clone)]
pub struct Metrics {
    registry: Arc<Registry>,
    connections: Counters<1>,
    open: Family<[Label; 1], Gauge>,
    shed: Counters<2>,
    answers: Counters<2>,
    enrolments: Counters<1>,
    checkins: Counter,
    records: Counters<1>,
    receipts: Counters<1>,
    devices: Family<[Label; 1], Gauge>,
    leaves: Gauge<i64, AtomicI64>,
    store_bytes: Gauge,
    store_free: Gauge,
    store_refuses: Gauge,
    damaged: Gauge,
    backup: Gauge,
    view_age: Gauge<f64, AtomicU64>,
    stale: Counter,
    leases: Family<[Label; 1], Gauge>,
    authority_ends: Family<[(&'static str, String); 2], Gauge>,
    audit_entries: Gauge<i64, AtomicI64>,
    audit_sealed: Gauge<i64, AtomicI64>,
    audit_unsealed_s: Gauge<i64, AtomicI64>,
    audit_broken: Gauge<i64, AtomicI64>,
    feeds: FeedGauges,
    siem: SiemGauges,
}

#[derive(Clone, Default)]
struct SiemGauges {
    events: Counter,
    taken: Gauge,
    failing: Gauge,
}

impl SiemGauges {
    fn register(&self, registry: &mut Registry) {
        registry.register("siem_events", "Events that the SIEM took from this server", self.events.clone());
        registry.register(
            "siem_taken_seconds",
            "When the SIEM last took something, Unix time",
            self.taken.clone(),
        );
        registry.register(
            "siem_failing",
            "1 if the SIEM takes nothing and events wait",
            self.failing.clone(),
        );
    }
}

/// What is shown of a feed; the owner gave it its name, and there are [`cordon_proto::limits::FEEDS`] at most.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedSeen {
    /// Its name.
    pub name: Name,
    /// The word of its kind.
    pub kind: &'static str,
    /// Seconds since the day that it is of.
    pub age_s: i64,
    /// Whether it is older than its kind may be.
    pub is_stale: bool,
    /// Whether its file cannot be read, so that what it spoke of is unknown.
    pub is_missing: bool,
    /// Records that were understood.
    pub records: u64,
    /// Records that were not.
    pub refused: u64,
}

type FeedLabels = [(&'static str, String); 2];

#[derive(Clone, Default)]
struct FeedGauges {
    age: Family<FeedLabels, Gauge>,
    stale: Family<FeedLabels, Gauge>,
    missing: Family<FeedLabels, Gauge>,
    records: Family<FeedLabels, Gauge>,
    refused: Family<FeedLabels, Gauge>,
    files_refused: Family<FeedLabels, Counter>,
    /// Those that are shown: one that was removed is to go.
    shown: Arc<Mutex<BTreeSet<FeedLabels>>>,
}

impl FeedGauges {
    fn all(&self) -> [(&'static str, &'static str, &Family<FeedLabels, Gauge>); 5] {
        [
            ("feed_age_seconds", "Seconds since the day that a feed in force is of", &self.age),
            ("feed_stale", "1 if a feed is older than its kind may be", &self.stale),
            ("feed_missing", "1 if a feed's file cannot be read: what it spoke of is unknown", &self.missing),
            ("feed_records", "Records of a feed that were understood", &self.records),
            ("feed_refused_records", "Records of a feed that were not understood", &self.refused),
        ]
    }

    fn register(&self, registry: &mut Registry) {
        for (name, help, family) in self.all() {
            registry.register(name, help, family.clone());
        }
        registry.register(
            "feed_files_refused",
            "Files that were brought for a feed and not taken, by reason",
            self.files_refused.clone(),
        );
    }

    fn set(&self, feeds: &[FeedSeen]) {
        let count = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let mut gone = std::mem::take(&mut *shown);
        for feed in feeds {
            let labels = [("feed", feed.name.to_string()), ("kind", feed.kind.to_owned())];
            self.age.get_or_create(&labels).set(feed.age_s);
            self.stale.get_or_create(&labels).set(feed.is_stale.into());
            self.missing.get_or_create(&labels).set(feed.is_missing.into());
            self.records.get_or_create(&labels).set(count(feed.records));
            self.refused.get_or_create(&labels).set(count(feed.refused));
            gone.remove(&labels);
            shown.insert(labels);
        }
        for labels in &gone {
            for (_, _, family) in self.all() {
                family.remove(labels);
            }
        }
    }
}

/// The counters of one plane.
#[derive(Clone)]
pub struct PlaneMetrics {
    plane: &'static str,
    all: Metrics,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("cordon");
        let mut metrics = Self {
            registry: Arc::default(),
            connections: Family::default(),
            open: Family::default(),
            shed: Family::default(),
            answers: Family::default(),
            enrolments: Family::default(),
            checkins: Counter::default(),
            records: Family::default(),
            receipts: Family::default(),
            devices: Family::default(),
            leaves: Gauge::default(),
            store_bytes: Gauge::default(),
            store_free: Gauge::default(),
            store_refuses: Gauge::default(),
            damaged: Gauge::default(),
            backup: Gauge::default(),
            view_age: Gauge::default(),
            stale: Counter::default(),
            leases: Family::default(),
            authority_ends: Family::default(),
            audit_entries: Gauge::default(),
            audit_sealed: Gauge::default(),
            audit_unsealed_s: Gauge::default(),
            audit_broken: Gauge::default(),
            feeds: FeedGauges::default(),
            siem: SiemGauges::default(),
        };
        registry.register(
            "connections",
            "Connections whose handshake succeeded",
            metrics.connections.clone(),
        );
        registry.register("connections_open", "Connections open now", metrics.open.clone());
        registry.register("shed", "Connections and requests given up, by reason", metrics.shed.clone());
        registry.register("answers", "Answers, by plane and class of status", metrics.answers.clone());
        registry.register("enrolments", "Enrolment requests, by outcome", metrics.enrolments.clone());
        registry.register("checkins", "Check-ins answered", metrics.checkins.clone());
        registry.register(
            "telemetry_records",
            "Telemetry records, by what became of them",
            metrics.records.clone(),
        );
        registry.register("receipts", "Receipts, by what became of them", metrics.receipts.clone());
        registry.register("devices", "Devices, by state", metrics.devices.clone());
        registry.register("device_leaves", "Different device certificates seen", metrics.leaves.clone());
        metrics.register_care(&mut registry);
        metrics.register_sharing(&mut registry);
        metrics.register_audit(&mut registry);
        metrics.feeds.register(&mut registry);
        metrics.siem.register(&mut registry);
        registry.register(
            "authority_end_seconds",
            "When an authority's certificate ends, Unix time, by issuing key and tier",
            metrics.authority_ends.clone(),
        );
        metrics.registry = Arc::new(registry);
        metrics
    }
}

impl Metrics {
    /// The counters of one plane.
    #[must_use]
    pub fn plane(&self, plane: &'static str) -> PlaneMetrics {
        PlaneMetrics { plane, all: self.clone() }
    }

    /// An enrolment request ended so.
    pub fn enrolment(&self, outcome: &'static str) {
        self.enrolments.get_or_create(&[("outcome", outcome)]).inc();
    }

    /// A check-in was answered.
    pub fn checkin(&self) {
        self.checkins.inc();
    }

    /// Telemetry records met this fate: `stored`, `duplicate`, `unreadable`, `over-limit`, `mismatch`.
    pub fn records(&self, fate: &'static str, count: u64) {
        self.records.get_or_create(&[("fate", fate)]).inc_by(count);
    }

    /// A receipt met this fate: `stored`, `duplicate`, `refused`.
    pub fn receipt(&self, fate: &'static str) {
        self.receipts.get_or_create(&[("fate", fate)]).inc();
    }

    /// A device was sent away because what is known here is too old.
    pub fn stale(&self) {
        self.stale.inc();
    }

    /// Requests refused because the view was too old, since the start.
    #[must_use]
    pub fn count_stale(&self) -> u64 {
        self.stale.get()
    }

    /// Sets how old the view is, and which jobs this server has.
    pub fn view(&self, age: Duration, jobs: impl IntoIterator<Item = (&'static str, bool)>) {
        self.view_age.set(age.as_secs_f64());
        for (job, held) in jobs {
            self.leases.get_or_create(&[("job", job)]).set(held.into());
        }
    }

    /// Check-ins answered so far.
    #[must_use]
    pub fn checkins(&self) -> u64 {
        self.checkins.get()
    }

    /// Sets what is true now rather than counted.
    pub fn gauge(&self, devices: impl IntoIterator<Item = (&'static str, i64)>, leaves: usize) {
        for (state, count) in devices {
            self.devices.get_or_create(&[("state", state)]).set(count);
        }
        self.leaves.set(i64::try_from(leaves).unwrap_or(i64::MAX));
    }

    /// How the store's disk is.
    pub fn store(&self, bytes: u64, free: Option<u64>, refuses: bool) {
        self.store_bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
        self.store_free.set(free.map_or(-1, |free| i64::try_from(free).unwrap_or(i64::MAX)));
        self.store_refuses.set(i64::from(refuses));
    }

    /// So many images are damaged and wait for a new upload.
    pub fn damaged_blobs(&self, count: usize) {
        self.damaged.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// A backup was written.
    pub fn backed_up(&self, at: Timestamp) {
        self.backup.set(at.0);
    }

    fn register_sharing(&self, registry: &mut Registry) {
        registry.register(
            "view_age_seconds",
            "Seconds since what is held in memory was known to be what the shared store holds",
            self.view_age.clone(),
        );
        registry.register(
            "stale",
            "Requests of devices refused because the view was too old",
            self.stale.clone(),
        );
        registry.register("lease_held", "Whether this server has the job now", self.leases.clone());
    }

    fn register_care(&self, registry: &mut Registry) {
        let mut gauge = |name, help, gauge: &Gauge| registry.register(name, help, gauge.clone());
        gauge("store_bytes", "Bytes of the store on disk", &self.store_bytes);
        gauge("store_free_bytes", "Bytes free beside the store; -1 where nobody knows", &self.store_free);
        gauge("store_refuses_writes", "1 while the store takes no writes", &self.store_refuses);
        gauge("blobs_damaged", "Images set aside as damaged", &self.damaged);
        gauge(
            "backup_seconds",
            "When the last backup was written, Unix time; 0 for not since the start",
            &self.backup,
        );
    }

    /// Sets how the audit log stands.
    pub fn audit(&self, standing: &Standing, now: Timestamp) {
        let count = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        self.audit_entries.set(count(standing.entries));
        self.audit_sealed.set(count(standing.sealed()));
        self.audit_unsealed_s.set(standing.unsealed_s(now));
        self.audit_broken.set(i64::from(standing.fault().is_some()));
    }

    /// Sets how the feeds stand that are in force; one that is no longer named is shown no more.
    pub fn feeds(&self, feeds: &[FeedSeen]) {
        self.feeds.set(feeds);
    }

    /// The SIEM took so many events, or took nothing, and stands so now.
    pub fn siem(&self, position: &Position, events: u64) {
        self.siem.events.inc_by(events);
        self.siem.taken.set(position.taken.map_or(0, |taken| taken.0));
        self.siem.failing.set(i64::from(position.failing.is_some()));
    }

    /// A file that was brought for a feed was not taken.
    pub fn feed_refused(&self, feed: &Name, reason: &'static str) {
        let labels = [("feed", feed.to_string()), ("reason", reason.to_owned())];
        self.feeds.files_refused.get_or_create(&labels).inc();
    }

    /// Sets when an issuing certificate and the root above it end.
    pub fn authority(&self, issuing_key: &str, issuing: Timestamp, root: Timestamp) {
        for (tier, end) in [("issuing", issuing), ("root", root)] {
            let labels = [("issuer", issuing_key.to_owned()), ("tier", tier.to_owned())];
            self.authority_ends.get_or_create(&labels).set(end.0);
        }
    }

    fn register_audit(&self, registry: &mut Registry) {
        let gauges = [
            ("audit_entries", "Entries of the audit journal", &self.audit_entries),
            ("audit_sealed_entries", "Audit entries under a signed head", &self.audit_sealed),
            (
                "audit_unsealed_seconds",
                "Seconds for which there have been audit entries that no head covers",
                &self.audit_unsealed_s,
            ),
            ("audit_broken", "1 if the audit log is not as it was sealed", &self.audit_broken),
        ];
        for (name, help, gauge) in gauges {
            registry.register(name, help, gauge.clone());
        }
    }

    /// The text of `/metrics`.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("writing to memory cannot fail");
        text
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

impl PlaneMetrics {
    /// A connection is ready for requests.
    pub fn opened(&self) {
        self.all.connections.get_or_create(&[("plane", self.plane)]).inc();
        self.all.open.get_or_create(&[("plane", self.plane)]).inc();
    }

    /// It ended.
    pub fn closed(&self) {
        self.all.open.get_or_create(&[("plane", self.plane)]).dec();
    }

    /// Connections open now.
    #[must_use]
    pub fn open(&self) -> i64 {
        self.all.open.get_or_create(&[("plane", self.plane)]).get()
    }

    /// Connections whose handshake succeeded, since the start.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.all.connections.get_or_create(&[("plane", self.plane)]).get()
    }

    /// Something was given up.
    pub fn shed(&self, reason: &'static str) {
        self.all.shed.get_or_create(&[("plane", self.plane), ("reason", reason)]).inc();
    }

    /// What was given up for this reason, since the start.
    #[must_use]
    pub fn count_shed(&self, reason: &'static str) -> u64 {
        self.all.shed.get_or_create(&[("plane", self.plane), ("reason", reason)]).get()
    }

    /// A request was answered.
    pub fn answered(&self, status: StatusCode) {
        let class = match status.as_u16() {
            ..300 => "2xx",
            300..400 => "3xx",
            400..500 => "4xx",
            500.. => "5xx",
        };
        self.all.answers.get_or_create(&[("plane", self.plane), ("class", class)]).inc();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_counted_stands_in_the_text() {
        // Goal: OpenMetrics text with our names. Method: count one of each kind.
        let metrics = Metrics::default();
        let plane = metrics.plane("device");
        plane.opened();
        plane.opened();
        plane.closed();
        plane.shed("slow");
        plane.answered(StatusCode::FORBIDDEN);
        metrics.enrolment("issued");
        metrics.records("stored", 40);
        metrics.gauge([("active", 3)], 7);
        metrics.stale();
        metrics.authority("a1", Timestamp(7), Timestamp(8));
        let feed = |name: &str, age_s| FeedSeen {
            name: name.parse().expect("a name"),
            kind: "osv",
            age_s,
            is_stale: age_s > 10,
            is_missing: false,
            records: 5,
            refused: 2,
        };
        metrics.feeds(&[feed("one", 11), feed("two", 9)]);
        metrics.feeds(&[feed("one", 12)]);
        metrics.feed_refused(&feed("one", 0).name, "much-less");
        metrics.view(Duration::from_millis(250), [("rollouts", true)]);
        assert_eq!((plane.open(), plane.connections(), plane.count_shed("slow")), (1, 2, 1));
        let text = metrics.text();
        for line in [
            r#"cordon_connections_total{plane="device"} 2"#,
            r#"cordon_connections_open{plane="device"} 1"#,
            r#"cordon_shed_total{plane="device",reason="slow"} 1"#,
            r#"cordon_answers_total{plane="device",class="4xx"} 1"#,
            r#"cordon_enrolments_total{outcome="issued"} 1"#,
            r#"cordon_telemetry_records_total{fate="stored"} 40"#,
            r#"cordon_devices{state="active"} 3"#,
            "cordon_device_leaves 7",
            "cordon_view_age_seconds 0.25",
            "cordon_stale_total 1",
            r#"cordon_feed_age_seconds{feed="one",kind="osv"} 12"#,
            r#"cordon_feed_stale{feed="one",kind="osv"} 1"#,
            r#"cordon_feed_missing{feed="one",kind="osv"} 0"#,
            r#"cordon_feed_records{feed="one",kind="osv"} 5"#,
            r#"cordon_feed_refused_records{feed="one",kind="osv"} 2"#,
            r#"cordon_feed_files_refused_total{feed="one",reason="much-less"} 1"#,
            r#"cordon_authority_end_seconds{issuer="a1",tier="root"} 8"#,
            r#"cordon_lease_held{job="rollouts"} 1"#,
            "# EOF",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
        }
        assert!(!text.contains(r#"feed="two""#), "a feed that was removed is no longer shown");
    }
}

//! Benches: figures beside a peer, both measured in one run, printed with process, command line and CPU ticks.
//!
//! A missing peer ends the bench with 1: a figure without its pair says nothing. Read next: [`agent_footprint`], [`store`],
//! [`ingest`], [`handshake`], [`firmware`], [`chunk_delta`], [`version_order`], [`matching`], [`sbom`], [`inventory`],
//! [`flow_meter`], and [`rollout`], [`risk`], [`knowledge`] and [`anomaly`], which have no peer.

use clap::ValueEnum;

pub mod agent_footprint;
pub mod anomaly;
pub mod chunk_delta;
pub mod debian_pair;
pub mod firmware;
pub mod flow_meter;
pub mod footprint;
pub mod handshake;
pub mod ingest;
pub mod inventory;
pub mod knowledge;
pub mod matching;
pub mod risk;
pub mod rollout;
pub mod sbom;
pub mod store;
pub mod version_order;

/// The benches.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Name {
    /// Memory, size and idle CPU of the agent beside mender-client.
    AgentFootprint,
    /// Every engine of the store beside its own interface, one million events.
    Store,
    /// Durable batches over mutual TLS beside the raw store.
    Ingest,
    /// CPU of a full mutual-TLS handshake with its authorised request, beside nginx.
    Handshake,
    /// Verifying an image beside OpenSSL, and fetching it into its slot beside dd.
    Firmware,
    /// An image as a chunk delta beside casync and zstd, on two Debian trees. A part of `firmware`.
    Delta,
    /// What a bad release reaches before its rollout stops itself; CPU of a turn. Without a peer.
    Rollout,
    /// A comparison of two Debian versions beside rpm-version and debversion.
    VersionOrder,
    /// 1,000 packages against 200,000 ranges, and 10,000 devices against a new advisory, beside debsecan.
    Match,
    /// 100,000 devices with 20 exposures each, scored anew, beside formulas that others publish.
    Risk,
    /// Metering flows out of recordings, honest and hostile, beside softflowd.
    FlowMeter,
    /// Recorded and made-up attacks inside recorded honest traffic: what is found, how soon, and what is called for nothing.
    Anomaly,
    /// A reading of a machine and what of it travels, beside dpkg-query.
    Inventory,
    /// The greatest bill of materials and hostile ones: peak memory of reading them, beside Python's JSON parser.
    Sbom,
    /// Memory of a server with 20,000 inventories, and its answers while 200,000 ranges are read in. Without a peer.
    Knowledge,
}

/// Runs one bench.
pub fn run(name: Name, rollout: &rollout::Options) -> anyhow::Result<()> {
    match name {
        Name::AgentFootprint => agent_footprint::run(),
        Name::Store => store::run(),
        Name::Ingest => ingest::run(),
        Name::Handshake => handshake::run(),
        Name::Firmware => firmware::run(),
        Name::Delta => chunk_delta::run(),
        Name::Rollout => rollout::run(rollout),
        Name::VersionOrder => version_order::run(),
        Name::Match => matching::run(),
        Name::Risk => risk::run(),
        Name::FlowMeter => flow_meter::run(),
        Name::Anomaly => anomaly::run(),
        Name::Inventory => inventory::run(),
        Name::Sbom => sbom::run(),
        Name::Knowledge => knowledge::run(),
    }
}

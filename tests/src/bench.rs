//! Benches: figures beside a peer, both measured in one run, printed with process, command line and CPU ticks.
//!
//! A missing peer ends the bench with 1: a figure without its pair says nothing. Read next: [`agent_footprint`].

use clap::ValueEnum;

pub mod agent_footprint;
pub mod footprint;

/// The benches.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Name {
    /// Memory, size and idle CPU of the agent beside mender-client.
    AgentFootprint,
}

/// Runs one bench.
pub fn run(name: Name) -> anyhow::Result<()> {
    match name {
        Name::AgentFootprint => agent_footprint::run(),
    }
}

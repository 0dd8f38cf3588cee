//! The simulated fleet and the checks around it: demo, outside tests, tidy.
//!
//! It uses every room of the house and is used by none. Nothing here ships to a device or a server. Read next:
//! `main.rs` for the commands, `skip.rs` for how a test says that it cannot run, `tidy.rs` for the rules.

pub mod advisories;
pub mod answering;
pub mod archive;
pub mod bench;
pub mod browser;
pub mod caller;
pub mod command;
pub mod cvss;
pub mod debsecan;
pub mod demo;
pub mod faults;
pub mod fuzz;
pub mod hospital;
pub mod http_proxy;
pub mod judge;
pub mod light;
pub mod mutants;
pub mod namespace;
pub mod one_device;
pub mod oracles;
pub mod other_machines;
pub mod packages;
pub mod patched_pump;
pub mod planner;
pub mod ports;
pub mod postgres;
pub mod program;
pub mod pump;
pub mod reconnect;
pub mod recorded;
pub mod relay;
pub mod scan;
pub mod score_cases;
pub mod scripted;
pub mod sensor_soak;
pub mod servers;
pub mod site_mirror;
pub mod skip;
pub mod small_disk;
pub mod soak;
pub mod talking;
pub mod tidy;
pub mod token;
pub mod transcript;
pub mod transport;
pub mod tuf_suite;
pub mod version_order;
pub mod wards;

//! `cordon-agent`: the thin door to the library. Everything is in [`cordon_agent::main_with`].

use std::process::ExitCode;

fn main() -> ExitCode {
    cordon_agent::main_with(std::env::args_os().skip(1))
}

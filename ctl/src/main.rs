//! The program `cordonctl`: hands its arguments to the library. Nothing else may happen here; read `lib.rs` next.

use std::process::ExitCode;

fn main() -> ExitCode {
    cordonctl::run(std::env::args_os())
}

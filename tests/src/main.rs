//! `cordon-sim`: the demo, the benches, the mutants, and the hidden doors through which it becomes the other programs.
//!
//! `server`, `agent` and `ctl` run the very `main` of those programs, so that a demo from one binary is still many
//! processes. Read next: `demo` in the library.

use std::ffi::OsString;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments: Vec<OsString> = std::env::args_os().collect();
    let door = arguments.get(1).and_then(|word| word.to_str()).unwrap_or_default().to_owned();
    if !matches!(door.as_str(), "server" | "agent" | "ctl") {
        return cordon_sim::command::run(arguments);
    }
    // The other program sees its own name first, as if it had been started itself.
    arguments.remove(0);
    match door.as_str() {
        "server" => cordon_server::run(arguments),
        "agent" => cordon_agent::main_with(arguments.into_iter().skip(1)),
        _ => cordonctl::run(arguments),
    }
}

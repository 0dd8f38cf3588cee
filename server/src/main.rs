//! The program `cordon-server`: nothing but the library's `run`, which the simulator calls too.
//!
//! Read next: `command` in the library.

fn main() -> std::process::ExitCode {
    cordon_server::run(std::env::args_os())
}

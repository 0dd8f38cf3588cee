//! Breakages by the package whose file they break and whose test must notice.
//!
//! Each takes what it would mean, the file, what stands there and what instead, and the test. Read next: `table.rs`.

use super::Breakage;

/// A breakage of a rule in a file of a package.
pub const fn rule(
    name: &'static str,
    (package, file): (&'static str, &'static str),
    (find, replace): (&'static str, &'static str),
    test: &'static str,
) -> Breakage {
    Breakage { name, file, find, replace, package, test }
}

/// A breakage in the shared ground floor.
pub const fn proto(
    name: &'static str,
    file: &'static str,
    change: (&'static str, &'static str),
    test: &'static str,
) -> Breakage {
    rule(name, ("cordon-proto", file), change, test)
}

/// A breakage in the server's ground floor.
pub const fn server_core(
    name: &'static str,
    file: &'static str,
    change: (&'static str, &'static str),
    test: &'static str,
) -> Breakage {
    rule(name, ("cordon-server-core", file), change, test)
}

/// A breakage in the server.
pub const fn server(
    name: &'static str,
    file: &'static str,
    change: (&'static str, &'static str),
    test: &'static str,
) -> Breakage {
    rule(name, ("cordon-server", file), change, test)
}

/// A breakage in the workstation.
pub const fn ctl(
    name: &'static str,
    file: &'static str,
    change: (&'static str, &'static str),
    test: &'static str,
) -> Breakage {
    rule(name, ("cordon-ctl", file), change, test)
}

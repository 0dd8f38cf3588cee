//! Links the device program without unwind tables, an eighth of it (the profile `agent` aborts on a panic anyway), and
//! with one copy of functions that compiled to the same bytes.
//!
//! What is lost is the list of addresses below a panic's message, which a stripped program could not name. Every other
//! profile unwinds and keeps its tables. Cargo tells a build script no profile's name, but its optimisation, and only
//! `agent` optimises for size. Read next: `link/without-unwind-tables.ld`, the profiles in the root's Cargo.toml.

fn main() {
    const SCRIPT: &str = "link/without-unwind-tables.ld";
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed={SCRIPT}");
    if variable("OPT_LEVEL") == "z" && variable("CARGO_CFG_TARGET_OS") == "linux" {
        let folder = variable("CARGO_MANIFEST_DIR");
        println!("cargo::rustc-link-arg-bins=-Wl,-T,{folder}/{SCRIPT}");
        // Where Rust brings its own linker, lld, which alone can fold; nothing here compares addresses of functions.
        if variable("TARGET") == "x86_64-unknown-linux-gnu" {
            println!("cargo::rustc-link-arg-bins=-Wl,--icf=all");
            // What a machine can start it can also build: with an older glibc the program stays as large as it is.
            if LIBRARIES.iter().any(|path| loads_packed_relocations(path)) {
                println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
            }
        }
    }
}

/// Where a machine keeps the C library that programs for it are linked with.
const LIBRARIES: [&str; 2] = ["/lib/x86_64-linux-gnu/libc.so.6", "/lib64/libc.so.6"];

/// Whether this C library's loader understands packed relocations (glibc 2.36 on): it says so by a version's name.
fn loads_packed_relocations(library: &str) -> bool {
    const NAME: &[u8] = b"GLIBC_ABI_DT_RELR";
    std::fs::read(library).is_ok_and(|bytes| bytes.windows(NAME.len()).any(|window| window == NAME))
}

#[expect(clippy::disallowed_methods, reason = "a build script is told everything by its environment")]
fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_default()
}

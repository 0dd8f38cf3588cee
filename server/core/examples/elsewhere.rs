//! Prints digests of what the ground computes with fractions.
//!
//! `elsewhere FIRST CASES` takes so many cases from the number FIRST on. `cordon-sim soak other-machines` builds it for other
//! processors and compares. Read next: `cordon_server_core::elsewhere`.

use std::process::ExitCode;

use cordon_server_core::elsewhere::digests;

fn main() -> ExitCode {
    let numbers: Option<Vec<u64>> = std::env::args().skip(1).map(|word| word.parse().ok()).collect();
    let Some([first, cases]) = numbers.as_deref() else {
        eprintln!("usage: elsewhere FIRST CASES");
        return ExitCode::from(2);
    };
    for (name, digest) in digests(*first..first.saturating_add(*cases)) {
        println!("{name} {digest}");
    }
    ExitCode::SUCCESS
}

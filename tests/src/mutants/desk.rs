//! The breakages of the people's desk: what a bundle is judged by before the stick leaves it.
//!
//! Read next: `air_gap.rs` for the device's side of a bundle, `mutants.rs`, which tries them.

use super::Breakage;

/// Every breakage of a check at the desk that a named test must catch.
pub const DESK: &[Breakage] = &[
    Breakage {
        name: "a bundle's acts not judged",
        file: "ctl/src/bundle/judge.rs",
        find: "let cleared = cleared.map_err(|refusal| refused(&refusal))?;",
        replace: "let Ok(cleared) = cleared else { return Ok(()) };",
        package: "cordon-ctl",
        test: "tests::bundles::what_every_device_would_refuse_is_named_before_the_stick_leaves_the_desk",
    },
    Breakage {
        name: "a bundle without an owner's root called whole",
        file: "ctl/src/bundle/judge.rs",
        find: "if stick.index.file(&path).is_none_or(|listed| listed.sha256 != own) {",
        replace: "if false && stick.index.file(&path).is_none_or(|listed| listed.sha256 != own) {",
        package: "cordon-ctl",
        test: "tests::bundles::what_every_device_would_refuse_is_named_before_the_stick_leaves_the_desk",
    },
    Breakage {
        name: "early ends not told",
        file: "ctl/src/bundle/walk.rs",
        find: ".filter(|(_, (end, _))| *end < bundle)",
        replace: ".filter(|(_, (end, _))| *end > bundle)",
        package: "cordon-ctl",
        test: "tests::bundles::what_ends_before_the_bundle_is_said_to_all_who_sign_and_check",
    },
];

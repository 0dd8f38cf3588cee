//! The breakages of the people's desk and of the server's acts: a bundle's own walk, what is fetched, what a yes fills in.
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
    Breakage {
        name: "the second signer needs the own snapshot",
        file: "ctl/src/bundle/contents.rs",
        find: "Some(bundle) if is_servers(&request.path) => {",
        replace: "Some(bundle) if false && is_servers(&request.path) => {",
        package: "cordon-ctl",
        test: "tests::bundles::the_second_person_signs_although_the_server_signed_anew_in_between",
    },
    Breakage {
        name: "an older timestamp fetched over a newer",
        file: "ctl/src/repo/fetch.rs",
        find: "let _ = trusted.recall(&known, rules);",
        replace: "let _ = known;",
        package: "cordon-ctl",
        test: "tests::fetching::a_server_brings_nothing_that_is_not_signed_has_ended_or_is_older_than_what_is_there",
    },
    Breakage {
        name: "a fetched snapshot not judged",
        file: "ctl/src/repo/fetch.rs",
        find: "trusted.snapshot(&snapshot, &rules).map_err(refused)?;",
        replace: "drop(trusted);",
        package: "cordon-ctl",
        test: "tests::fetching::a_server_brings_nothing_that_is_not_signed_has_ended_or_is_older_than_what_is_there",
    },
    Breakage {
        name: "a ward of one site at another",
        file: "server/core/src/approval.rs",
        find: "let here = is_unknown(&known.site) || self.site.as_ref() == Some(&known.site);",
        replace: "let here = true;",
        package: "cordon-server-core",
        test: "approval::tests::a_yes_never_moves_a_device_that_stands_somewhere",
    },
    Breakage {
        name: "a stranger's issuing certificate tried",
        file: "server/src/ca/steps.rs",
        find: "tiers.filter(|(ca, _)| is_signed_by(&signed, ca.root()))",
        replace: "tiers.filter(|(ca, _)| true || is_signed_by(&signed, ca.root()))",
        package: "cordon-server",
        test: "ca::steps::tests::a_renewal_that_a_root_in_force_signed_is_refused_for_what_is_really_wrong",
    },
    Breakage {
        name: "nothing to seal although something failed",
        file: "server/src/ca/steps.rs",
        find: "(_, _, _) => Err(StepError::Unsealed(words)),",
        replace: "(_, _, _) => Ok(words),",
        package: "cordon-server",
        test: "ca::steps::tests::sealing_never_says_that_nothing_lies_in_plain_while_something_does",
    },
    Breakage {
        name: "why a hold was lifted not in the journal",
        file: "server/src/rollouts.rs",
        find: "entry(\"hold.end\", &format!(\"hold:{id}\"), Some(&reason), \"\")",
        replace: "entry(\"hold.end\", &format!(\"hold:{id}\"), None, \"\")",
        package: "cordon-server",
        test: "http::operator::tests::lifting_a_hold_needs_a_reason_as_setting_it_does",
    },
];

//! The breakages of the TUF client: one or more for each rule of `proto::update`, beside the general list.
//!
//! Read next: `table.rs` for the others, `mutants.rs`, which tries them.

use super::Breakage;
use super::rooms::proto;

/// A rule of the ground: what its breakage would mean, the file below `proto/src/update`, the line, the line broken, and
/// Every breakage of a TUF rule that a named test must catch.
pub const TUF: &[Breakage] = &[
    proto(
        "a next root that the trusted one did not sign",
        "proto/src/update/trust.rs",
        (
            "let document = rules.document(&Role::Root, bytes, &self.root.root)?;",
            "let document = Document::parse(bytes, rules.sizes.root).map_err(wrong)?;",
        ),
        "update::trust::tests::roots_rotate_through_expired_ones_and_every_one_is_kept",
    ),
    proto(
        "a root of any version",
        "proto/src/update/trust.rs",
        ("if root.version != wanted {", "if root.version != wanted && false {"),
        "update::trust::attacks::rollback_of_the_root_is_refused",
    ),
    proto(
        "an older timestamp",
        "proto/src/update/trust.rs",
        (
            "Some(known) => newer(known, offered).map_err(|fault| fault.of(Role::Timestamp))?,",
            "Some(_) => (offered, false),",
        ),
        "update::trust::attacks::rollback_of_the_timestamp_is_refused_even_if_the_stored_one_has_expired",
    ),
    proto(
        "a timestamp that names an older snapshot",
        "proto/src/update/trust.rs",
        ("if stated < trusted {", "if stated < trusted && false {"),
        "update::trust::attacks::rollback_of_the_snapshot_is_refused",
    ),
    proto(
        "a snapshot that names an older role",
        "proto/src/update/trust.rs",
        ("if stated.version < trusted.version {", "if stated.version < trusted.version && false {"),
        "update::trust::attacks::rollback_and_removal_of_targets_roles_are_refused",
    ),
    proto(
        "a snapshot that lost a role",
        "proto/src/update/trust.rs",
        ("return Err(Fault::Removed { file: file.clone() });", "continue;"),
        "update::trust::attacks::rollback_and_removal_of_targets_roles_are_refused",
    ),
    proto(
        "a snapshot of another version than named",
        "proto/src/update/trust.rs",
        ("if snapshot.version != named.version {", "if snapshot.version != named.version && false {"),
        "update::trust::attacks::mix_and_match_of_versions_is_refused",
    ),
    proto(
        "a role of another version than named",
        "proto/src/update/trust.rs",
        ("if targets.version != named.version {", "if targets.version != named.version && false {"),
        "update::trust::attacks::mix_and_match_of_versions_is_refused",
    ),
    proto(
        "stolen version numbers kept for ever",
        "proto/src/update/trust.rs",
        (
            "Ok(if same { Rotation::SameKeys } else { Rotation::Forget })",
            "Ok(if same || true { Rotation::SameKeys } else { Rotation::Forget })",
        ),
        "update::trust::attacks::fast_forward_is_undone_by_rotating_either_online_key",
    ),
    proto(
        "a bundle that keeps every role fresh",
        "proto/src/update/trust.rs",
        (
            "(Role::Timestamp | Role::Snapshot, Freshness::Bundle { expires }) => expires,",
            "(_, Freshness::Bundle { expires }) => expires,",
        ),
        "update::trust::attacks::a_bundle_stands_in_for_the_expiry_of_snapshot_and_timestamp_alone",
    ),
    proto(
        "a supplier that lists beyond its paths",
        "proto/src/update/trust.rs",
        (
            "targets.targets.retain(|path, _| delegation.allows(path));",
            "targets.targets.retain(|path, _| delegation.allows(path) || true);",
        ),
        "update::trust::attacks::a_malicious_delegation_reaches_only_its_own_paths",
    ),
    proto(
        "the stored timestamp forgotten",
        "proto/src/update/refresh.rs",
        ("let _ = trusted.recall(bytes, rules);", "let _ = trusted.clone().recall(bytes, rules);"),
        "update::trust::attacks::rollback_of_the_timestamp_is_refused_even_if_the_stored_one_has_expired",
    ),
    proto(
        "roots followed for ever",
        "proto/src/update/refresh.rs",
        ("if rotations + 1 < rules.sizes.rotations {", "if rotations + 1 < rules.sizes.rotations || true {"),
        "update::trust::tests::rotations_per_refresh_have_a_limit",
    ),
    proto(
        "any first root for the pinned one",
        "proto/src/update/refresh.rs",
        ("if Sha256::of(bytes) == self.pin {", "if Sha256::of(bytes) == self.pin || true {"),
        "update::trust::tests::the_first_root_is_found_by_its_hash_among_the_first_64",
    ),
    proto(
        "a terminating delegation that does not end",
        "proto/src/update/search.rs",
        ("self.waiting.clear();", "self.waiting.reserve(0);"),
        "update::trust::tests::delegations_are_searched_in_preorder_once_each_and_end_at_terminating_ones",
    ),
    proto(
        "the last delegation asked first",
        "proto/src/update/search.rs",
        ("self.waiting.extend(below.into_iter().rev());", "self.waiting.extend(below);"),
        "update::trust::tests::delegations_are_searched_in_preorder_once_each_and_end_at_terminating_ones",
    ),
    proto(
        "roles visited for ever",
        "proto/src/update/search.rs",
        (
            "if self.visited.len() >= rules.sizes.roles {",
            "if self.visited.len() >= rules.sizes.roles && false {",
        ),
        "update::trust::tests::the_number_of_visited_roles_has_a_limit",
    ),
    proto(
        "a stored role trusted by its name",
        "proto/src/update/search.rs",
        (
            "let stored = bytes.map(|bytes| self.trusted.delegated_by(&self.current, bytes, rules));",
            "let stored = bytes.map(|bytes| Ok::<_, TrustError>(super::metadata::Targets::read(super::document::Document::parse(bytes, 1 << 20).map_err(|fault| fault.of(Role::Targets))?.signed()).map_err(|fault| fault.of(Role::Targets))?));",
        ),
        "update::trust::attacks::one_role_name_under_two_delegators_is_verified_for_each",
    ),
    proto(
        "a pattern that reaches into folders",
        "proto/src/update/delegation.rs",
        ("same && segments.next().is_none()", "same"),
        "update::delegation::tests::patterns_of_the_specification",
    ),
    proto(
        "any hash bin for a path",
        "proto/src/update/delegation.rs",
        (
            "prefixes.iter().any(|prefix| digest.starts_with(prefix.as_str()))",
            "prefixes.iter().any(|prefix| digest.starts_with(prefix.as_str()) || true)",
        ),
        "update::trust::tests::hash_prefixes_spread_files_over_roles",
    ),
    proto(
        "one key id that signs twice",
        "proto/src/update/document.rs",
        (
            ".find(|signature| !claimed.insert(&signature.key))",
            ".find(|signature| !claimed.insert(&signature.key) && false)",
        ),
        "update::trust::attacks::thresholds_count_different_keys",
    ),
    proto(
        "a document of any length",
        "proto/src/update/document.rs",
        ("if bytes.len() > limit {", "if bytes.len() > limit && false {"),
        "update::trust::attacks::endless_data_is_cut_at_the_limit_in_every_role",
    ),
    proto(
        "a timestamp read as a snapshot",
        "proto/src/update/metadata.rs",
        (r#"if fields.text("_type")? != kind {"#, r#"if fields.text("_type")? != kind && false {"#),
        "update::trust::attacks::the_wrong_role_cannot_sign",
    ),
    proto(
        "another specification",
        "proto/src/update/metadata.rs",
        (r#"if numbers.first() != Some(&"1")"#, r#"if false && numbers.first() != Some(&"1")"#),
        "update::metadata::tests::heads_that_are_not_ours_are_refused",
    ),
    proto(
        "a file of another hash",
        "proto/src/update/metadata.rs",
        (
            "if self.unreadable || !same256 || !same512 { Err(Fault::Hash) } else { Ok(()) }",
            "if self.unreadable || !same256 && !same512 { Err(Fault::Hash) } else { Ok(()) }",
        ),
        "update::trust::attacks::wrong_software_is_refused_although_the_same_signers_signed_it",
    ),
    proto(
        "an end within a second",
        "proto/src/update/metadata.rs",
        (
            r#"if fields.text("expires")?.contains('.') {"#,
            r#"if fields.text("expires")?.contains('.') && false {"#,
        ),
        "update::metadata::tests::heads_that_are_not_ours_are_refused",
    ),
    proto(
        "a document by some of its hashes",
        "proto/src/update/metadata.rs",
        (
            "Some(hashes) if hashes.unknown => Err(Fault::NoKnownHash),",
            "Some(hashes) if hashes.unknown && false => Err(Fault::NoKnownHash),",
        ),
        "update::metadata::tests::a_document_is_checked_by_every_hash_that_is_stated_of_it",
    ),
    proto(
        "a lenient Ed25519",
        "proto/src/update/key.rs",
        (
            "key.verify_strict(message, &signature).is_ok()",
            "ed25519_dalek::Verifier::verify(&key, message, &signature).is_ok()",
        ),
        "update::key::tests::small_order_keys_and_malleated_signatures_are_refused",
    ),
    proto(
        "a key of another kind than its scheme",
        "proto/src/update/key.rs",
        (r#"("rsa", RSA_PSS) =>"#, "(_, RSA_PSS) =>"),
        "update::key::tests::a_key_whose_kind_and_scheme_do_not_belong_together_never_verifies",
    ),
    proto(
        "a role's name as a path",
        "proto/src/update/name.rs",
        (r#"_ => out.push_str(&format!("%{byte:02X}")),"#, "_ => out.push(char::from(byte)),"),
        "update::trust::tests::role_names_are_encoded_whole",
    ),
    proto(
        "a byte now and then is enough",
        "proto/src/update/fetch.rs",
        ("self.waited = self.waited.saturating_add(waited);", "self.waited = waited;"),
        "update::fetch::tests::a_byte_now_and_then_does_not_hold_a_device",
    ),
    proto(
        "mirrors asked for ever",
        "proto/src/update/fetch.rs",
        ("if self.failed < self.count {", "if self.failed < self.count || true {"),
        "update::fetch::tests::each_mirror_has_one_turn_and_the_one_that_served_is_first",
    ),
    Breakage {
        name: "one key in two spellings",
        file: "agent/src/verifier.rs",
        find: "key.material()",
        replace: "crate::der::public_key(&key.bytes)",
        package: "cordon-agent",
        test: "verifier::tests::one_key_has_one_spelling",
    },
    Breakage {
        name: "a download that drips for ever",
        file: "agent/src/link/http.rs",
        find: "pace.received(chunk.as_ref().map_or(0, Bytes::len), begun.elapsed());",
        replace: "pace.received(usize::MAX, begun.elapsed());",
        package: "cordon-agent",
        test: "link::tests::a_download_that_drips_is_given_up_as_a_stall",
    },
];

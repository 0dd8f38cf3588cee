//! The breakages of the sensor: directions, bounds, thresholds and what must not come out.
//!
//! Read next: `agent/core/src/sensor/tests.rs`, whose tests catch most of them; `mutants.rs`, which tries them.

use super::Breakage;

/// Every breakage of the sensor that a named test must catch.
pub const SENSOR: &[Breakage] = &[
    Breakage {
        name: "an answered handshake turns its direction",
        file: "agent/core/src/flow/packet.rs",
        find: "both if both == SYN | ACK => false,",
        replace: "both if both == SYN | ACK => true,",
        package: "cordon-agent-core",
        test: "sensor::tests::a_connection_is_told_whole_from_the_end_that_opened_it",
    },
    Breakage {
        name: "padding is payload",
        file: "agent/core/src/dissect/ip.rs",
        find: "let inside = bytes.get(..whole).unwrap_or(bytes);",
        replace: "let inside = bytes;",
        package: "cordon-agent-core",
        test: "dissect::tests::every_link_leads_to_the_same_packet",
    },
    Breakage {
        name: "a later fragment has ports",
        file: "agent/core/src/dissect/ip.rs",
        find: "fragment: word(head[6], head[7]) & 0x1fff != 0,",
        replace: "fragment: false,",
        package: "cordon-agent-core",
        test: "dissect::tests::extension_headers_are_looked_past_and_later_fragments_have_no_ports",
    },
    Breakage {
        name: "any name in a ClientHello",
        file: "agent/core/src/dissect/tls.rs",
        find: "let plain = name.iter().all(|byte| byte.is_ascii_graphic());",
        replace: "let plain = true;",
        package: "cordon-agent-core",
        test: "dissect::tests::a_client_hello_gives_the_server_it_asks_for",
    },
    Breakage {
        name: "silence is no failure",
        file: "agent/core/src/detect/scan.rs",
        find: "const ANSWER_MS: i64 = 3000;",
        replace: "const ANSWER_MS: i64 = 3_000_000;",
        package: "cordon-agent-core",
        test: "sensor::tests::every_attack_has_its_finding_in_these_words",
    },
    Breakage {
        name: "what the profile holds is a search",
        file: "agent/core/src/detect/scan.rs",
        find: "if usual || !says",
        replace: "if !says",
        package: "cordon-agent-core",
        test: "sensor::tests::what_the_profile_holds_is_no_search_and_what_it_lacks_is_new",
    },
    Breakage {
        name: "a lease that ran out is an attack",
        file: "agent/core/src/neighbour.rs",
        find: "const FORGOTTEN_MS: i64 = 24 * 3_600_000;",
        replace: "const FORGOTTEN_MS: i64 = 2400 * 3_600_000;",
        package: "cordon-agent-core",
        test: "sensor::tests::honest_work_is_no_finding",
    },
    Breakage {
        name: "names that repeat are a tunnel",
        file: "agent/core/src/detect/tunnel.rs",
        find: "const LEAST_CHARACTERS: usize = 24;",
        replace: "const LEAST_CHARACTERS: usize = 1;",
        package: "cordon-agent-core",
        test: "sensor::tests::honest_work_is_no_finding",
    },
    Breakage {
        name: "a flow between two devices is shown to one",
        file: "agent/core/src/sensor.rs",
        find: "if self.roll.watches_others() && remote != local",
        replace: "if false && remote != local",
        package: "cordon-agent-core",
        test: "sensor::tests::a_flow_between_two_devices_is_one_flow_and_shown_to_both",
    },
    Breakage {
        name: "an impossible length is read",
        file: "agent/core/src/recording/pcap.rs",
        find: "if length > limits::RECORDED_PACKET_BYTES {",
        replace: "if length > usize::MAX / 2 {",
        package: "cordon-agent-core",
        test: "recording::tests::what_cannot_be_is_refused_and_a_cut_end_is_the_end",
    },
];

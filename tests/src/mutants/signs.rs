//! The breakages of what is a sign at the machine itself, of learned volumes, and of DHCP's scans.
//!
//! Read next: `table.rs` for the others, `mutants.rs`, which tries them.

use super::Breakage;

/// A rule of the device's ground: its name, the file, the line, the line broken, and the test that must notice.
const fn ground(
    name: &'static str,
    file: &'static str,
    (find, replace): (&'static str, &'static str),
    test: &'static str,
) -> Breakage {
    Breakage { name, file, find, replace, package: "cordon-agent-core", test }
}

const SIGNS: &str = "agent/core/src/signs.rs";

/// Every breakage of these that a named test must catch.
pub const SIGNS_OF_HOSTS: &[Breakage] = &[
    ground(
        "an account that was made again is old",
        SIGNS,
        ("(known.usual && sign.comes_and_goes())", "known.usual"),
        "signs::tests::what_went_and_came_again_is_new_unless_it_was_there_at_the_beginning",
    ),
    ground(
        "an update explains nothing",
        SIGNS,
        ("self.begun &= !sign.bit();", "self.begun |= sign.bit();"),
        "signs::tests::a_confirmed_update_explains_what_it_brings_and_nothing_else",
    ),
    ground(
        "a program in memory is learned",
        "agent/core/src/signs/program.rs",
        ("program.place == Place::Writable", "program.place != Place::Stick"),
        "signs::tests::programs_of_writable_places_are_learned_and_those_of_memory_never",
    ),
    ground(
        "what is only deleted is lost",
        "agent/core/src/signs/rewrite.rs",
        ("loss.lost += went.min(came);", "loss.lost += went;"),
        "signs::tests::ransom_is_told_by_its_form_while_learning_and_backups_and_logs_are_not",
    ),
    ground(
        "summer time is an odd hour",
        "agent/core/src/signs/reboot.rs",
        ("% HOURS <= 2", "% HOURS == 1"),
        "signs::tests::a_restart_is_odd_only_after_four_weeks_and_away_from_known_hours",
    ),
    ground(
        "one window is far more than usual",
        "agent/core/src/detect/volume.rs",
        ("const ROW: u8 = 2;", "const ROW: u8 = 1;"),
        "detect::volume::tests::one_window_an_hour_never_watched_and_a_clock_that_is_set_say_nothing",
    ),
    ground(
        "two addresses are a scan by DHCP",
        "agent/core/src/detect/lease.rs",
        ("const ADDRESSES: usize = 6;", "const ADDRESSES: usize = 2;"),
        "detect::lease::tests::six_addresses_of_one_station_are_a_search_and_honest_stations_are_none",
    ),
    ground(
        "a client that names a server is one",
        "agent/core/src/detect/lease.rs",
        ("message.server.filter(|_| matches!(message.kind, 2 | 5))?", "message.server?"),
        "detect::lease::tests::a_server_that_was_not_learned_is_told_and_without_any_the_first_is_believed",
    ),
];

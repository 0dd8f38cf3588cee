//! The breakages of what readers of the engine found: gos that nobody came for, places for those that sleep, holds over dark
//! devices, waves that show nothing, what the check must see by itself, acts over stale pages, servers beside one another.
//!
//! Read next: `rollouts.rs` for the other rules of the engine, `mutants.rs`, which tries them.

use super::Breakage;
use super::rooms::{server, server_core};

/// Every breakage of these rules that a named test must catch.
pub const ENGINE: &[Breakage] = &[
    server_core(
        "the server's own absence makes devices silent",
        "server/core/src/rollout/facts.rs",
        ("let last = self.heard.max(there).map_or", "let last = self.heard.map_or"),
        "rollout::absence_tests::a_server_that_was_off_calls_nobody_silent_for_the_time_it_was_not_there",
    ),
    server_core(
        "one that falls silent again and again is believed each time",
        "server/core/src/rollout/facts.rs",
        ("mark.is_some_and(|since| tries > 1 || self", "mark.is_some_and(|since| self"),
        "rollout::absence_tests::who_was_silent_and_speaks_again_has_failed_at_nothing_until_the_second_time",
    ),
    server_core(
        "a mark of next year bars until next year",
        "server/core/src/rollout/facts.rs",
        ("*mark = mark.filter(|since| *since <= now);", ""),
        "rollout::absence_tests::marks_of_a_time_that_has_not_come_keep_nobody_from_the_go",
    ),
    server_core(
        "a second go for one that a clock ahead called silent",
        "server/core/src/rollout/progress.rs",
        ("    given <= now && silent", "    given > now && silent"),
        "rollout::absence_tests::who_rebooted_before_a_clock_went_ahead_keeps_its_go_and_gets_no_second_one",
    ),
    server_core(
        "a second go for one that a clock ahead told",
        "server/core/src/rollout/progress.rs",
        ("GoTold::At(told) => told > taken,", "GoTold::At(told) => told == taken,"),
        "rollout::absence_tests::who_was_told_by_a_clock_ahead_gets_no_other_go_before_it_speaks",
    ),
    server_core(
        "a wave of next year settles next year",
        "server/core/src/rollout/apply.rs",
        ("wave.settled_by(now).or(Some(now))", "wave.settled.or(Some(now))"),
        "rollout::absence_tests::waves_that_a_clock_ahead_began_and_settled_go_on_by_the_time_of_now",
    ),
    server_core(
        "a wave begins twice",
        "server/core/src/rollout/check.rs",
        (
            "|| watched(rollout, wave, sight), |at| at > sight.now)",
            "|| watched(rollout, wave, sight), |at| at <= sight.now)",
        ),
        "rollout::absence_tests::waves_that_a_clock_ahead_began_and_settled_go_on_by_the_time_of_now",
    ),
    server_core(
        "tries that are left count for nothing",
        "server/core/src/rollout/plan.rs",
        ("None if facts.is_silent(", "None if facts.trusted && !facts.trusted && facts.is_silent("),
        "rollout::absence_tests::who_falls_silent_with_tries_left_is_waited_for_in_that_very_tick",
    ),
    server_core(
        "a scrapped device is searched for",
        "server/core/src/rollout/offer.rs",
        ("Stage::Waiting if is_dismissed =>", "Stage::Waiting if is_dismissed && facts.trusted =>"),
        "rollout::absence_tests::who_is_out_of_service_is_named_so_and_not_as_unreached_or_held",
    ),
    server(
        "a receipt waits for a clock that was ahead",
        "server/src/rollouts/shelf.rs",
        ("begun: wave.started?.min(now),", "begun: wave.started?.max(now),"),
        "rollouts::review_tests::a_receipt_counts_in_a_wave_that_a_clock_ahead_began",
    ),
    server(
        "no tick for a pause",
        "server/src/rollouts/steps.rs",
        ("filter(|rollout| rollout.is_open());", "filter(|rollout| rollout.moves());"),
        "rollouts::review_tests::a_tick_frees_the_places_of_a_paused_rollout_that_nobody_came_for",
    ),
    server(
        "sent back from what another rollout brings",
        "server/src/rollouts/people.rs",
        ("self.goes_back_alone(rollout, by.now)?;", "drop(self.goes_back_alone(rollout, by.now));"),
        "rollouts::review_tests::nobody_is_sent_back_from_what_another_rollout_brings",
    ),
    server(
        "a stopped return is called done",
        "server/src/ui/rollouts/acts.rs",
        (
            "State::Stopped { .. } if self.page.going_back =>",
            "State::Stopped { .. } if self.page.going_back && !self.page.rights.change =>",
        ),
        "http::console::tests::rollouts::a_stopped_return_goes_on_while_its_way_back_is_open_and_is_never_called_done",
    ),
    server_core(
        "a stolen device halts a rollout",
        "server/core/src/rollout/facts.rs",
        ("        dismissed\n            || (since", "        (since"),
        "rollout::absence_tests::the_go_of_a_device_that_a_person_called_lost_is_taken_back_and_is_no_failure",
    ),
    server_core(
        "a device is asked back from a release that it has left",
        "server/core/src/rollout/offer.rs",
        (
            "confirmed(&other.id).is_some_and(|there| there > here)",
            "confirmed(&other.id).is_some_and(|there| there < here)",
        ),
        "rollout::absence_tests::a_device_that_has_gone_on_to_another_release_is_not_asked_back_and_stops_nobody",
    ),
    server_core(
        "one that refuses its own way back has left",
        "server/core/src/rollout/offer.rs",
        ("if other && runs_other && rollout.state", "if other && rollout.state"),
        "rollout::absence_tests::a_device_that_has_gone_on_to_another_release_is_not_asked_back_and_stops_nobody",
    ),
    server_core(
        "a pause keeps places for ever",
        "server/core/src/rollout/plan.rs",
        ("State::Paused { .. } => unclaimed(rollout, sight),", "State::Paused { .. } => Vec::new(),"),
        "rollout::absence_tests::a_pause_leaves_the_go_to_whoever_came_for_it_and_frees_the_other_places",
    ),
    server_core(
        "a place kept for one that never comes",
        "server/core/src/rollout/facts.rs",
        ("now.seconds_since(at) > UNCLAIMED_S || at > now", "now < at"),
        "rollout::review_tests::a_go_that_nobody_came_for_is_no_silence_and_one_that_was_told_is",
    ),
    server_core(
        "a go that nobody was told of counts as told",
        "server/core/src/rollout/progress.rs",
        ("else { GoTold::NotYet };", "else { GoTold::Unwritten };"),
        "rollout::review_tests::a_go_that_nobody_came_for_is_no_silence_and_one_that_was_told_is",
    ),
    server_core(
        "a hold hides a dark device",
        "server/core/src/rollout/facts.rs",
        ("(before && ((self.held && under_hold) ||", "(before && (self.held ||"),
        "rollout::review_tests::a_hold_does_not_hide_a_device_that_went_dark_after_its_go",
    ),
    server_core(
        "a place leaks to another rollout",
        "server/core/src/rollout/facts.rs",
        ("(since && (rests || self.elsewhere))", "(since && rests)"),
        "rollout::review_tests::a_place_is_free_again_when_another_rollout_has_the_device",
    ),
    server_core(
        "a newer release is a refusal",
        "server/core/src/rollout/offer.rs",
        (
            "is_some_and(|code| code.as_str() == \"not-newer\")",
            "is_some_and(|code| code.as_str().is_empty())",
        ),
        "rollout::review_tests::who_got_a_newer_release_from_another_rollout_refuses_nothing",
    ),
    server_core(
        "an order is followed by its name",
        "server/core/src/rollout/offer.rs",
        ("(release && bytes).then_some(order)", "(release || !bytes || bytes).then_some(order)"),
        "rollout::review_tests::an_order_that_was_signed_anew_for_another_release_is_another_order",
    ),
    server_core(
        "a refusal of the way back is lost",
        "server/core/src/rollout/offer.rs",
        (
            "State::Returning => order.back.as_ref().is_some_and(|back| now < back.until),",
            "State::Returning => now < order.expires,",
        ),
        "rollout::review_tests::a_refusal_of_the_way_back_counts_until_the_way_back_closes",
    ),
    server_core(
        "a wave that shows nothing opens the next",
        "server/core/src/rollout/tally.rs",
        ("return last || rollout", "return !last || last || rollout"),
        "rollout::review_tests::a_wave_that_shows_nothing_does_not_open_the_next",
    ),
    server_core(
        "a wave in which everybody failed settles",
        "server/core/src/rollout/tally.rs",
        ("has_shown(rollout, index, fleet, now) && open.all", "open.all"),
        "rollout::review_tests::a_wave_in_which_everybody_failed_stops_even_where_the_limit_is_wide",
    ),
    server_core(
        "no way on and no stop",
        "server/core/src/rollout/plan.rs",
        (".or_else(|| first_spent(rollout, &tallies, sight))", ""),
        "rollout::review_tests::a_wave_in_which_everybody_failed_stops_even_where_the_limit_is_wide",
    ),
    server_core(
        "the checker believes a silence",
        "server/core/src/rollout/check.rs",
        ("holds(dark, Violation::NotSilent)", "holds(dark || !dark, Violation::NotSilent)"),
        "rollout::review_tests::the_check_sees_by_itself_who_is_silent_and_whose_go_may_be_taken",
    ),
    server_core(
        "the checker lets any go be taken",
        "server/core/src/rollout/check.rs",
        (
            "holds(over || withheld, Violation::TakenWithoutCause)",
            "holds(over || !over, Violation::TakenWithoutCause)",
        ),
        "rollout::review_tests::the_check_sees_by_itself_who_is_silent_and_whose_go_may_be_taken",
    ),
    server_core(
        "what stands still frees no places",
        "server/core/src/rollout/plan.rs",
        (
            "State::Halted { .. } | State::Stopped { .. } => ended_gos(rollout, sight),",
            "State::Halted { .. } | State::Stopped { .. } => Vec::new(),",
        ),
        "rollout::absence_tests::a_stop_takes_the_go_back_from_all_who_still_wait_and_leaves_the_place_to_who_rebooted",
    ),
    server_core(
        "a word after a stop is taken for a missing go",
        "server/core/src/rollout/facts.rs",
        (
            "Some(UpdateState::Waiting | UpdateState::Armed) => misses,",
            "Some(UpdateState::Waiting | UpdateState::Armed) => misses || !misses,",
        ),
        "rollout::absence_tests::who_speaks_after_a_stop_with_the_go_in_hand_keeps_its_place",
    ),
    server_core(
        "a stop of a time to come keeps places",
        "server/core/src/rollout/facts.rs",
        (
            "let last = told.max(Some(since).filter(|since| *since <= now));",
            "let last = told.max(Some(since).filter(|_| now == now));",
        ),
        "rollout::absence_tests::a_stop_by_a_clock_ahead_keeps_no_place_until_its_time_comes",
    ),
    server_core(
        "a stopped return installs",
        "server/core/src/rollout/offer.rs",
        (
            "let installs = rollout.offers() && rollout.way_back.is_none();",
            "let installs = rollout.offers();",
        ),
        "rollout::return_tests::a_return_that_is_stopped_brings_nobody_the_release_that_the_others_left",
    ),
    server(
        "a tick plans by the time it began",
        "server/src/rollouts/steps.rs",
        (
            "let turn = Turn { now: clock(), ..turn };",
            "let turn = Turn { now: turn.now.min(clock()), ..turn };",
        ),
        "rollouts::later_tests::a_go_that_was_given_after_a_turn_began_is_not_taken_back_in_it",
    ),
    server_core(
        "what a clock ahead told is told",
        "server/core/src/rollout/progress.rs",
        ("Self::At(told) => told > now,", "Self::At(_) => false,"),
        "rollout::world_tests::two_rollouts_under_a_clock_that_goes_wrong_break_no_promise",
    ),
    server_core(
        "a return has the places of its installs too",
        "server/core/src/rollout/way_back.rs",
        ("let room = sight.room.saturating_sub(still_installing(rollout, sight));", "let room = sight.room;"),
        "rollout::world_tests::two_rollouts_at_once_break_no_promise",
    ),
    server_core(
        "one go ends twice",
        "server/core/src/rollout/check.rs",
        ("&& !ended.insert(*device)", "&& !ended.insert(*device) && ended.is_empty()"),
        "rollout::review_tests::the_check_sees_by_itself_who_is_silent_and_whose_go_may_be_taken",
    ),
    server_core(
        "a refused plan loses its stop",
        "server/core/src/rollout/check.rs",
        ("(stop, Some(violation))", "(Vec::new(), Some(violation))"),
        "rollout::review_tests::a_refused_plan_keeps_its_stop",
    ),
    server_core(
        "goes on into a stop",
        "server/core/src/rollout/plan.rs",
        (
            "let going = Rollout { state, ..rollout.clone() };",
            "let going = Rollout { state: rollout.state.clone(), ..rollout.clone() };",
        ),
        "rollout::review_tests::whether_it_would_stop_at_once_is_known_before_it_goes_on",
    ),
    server(
        "no go in a check-in",
        "server/src/rollouts/at_check_in.rs",
        ("&& self.asks_in_vain(&rollout, device, now)", "&& !self.asks_in_vain(&rollout, device, now)"),
        "rollouts::review_tests::the_go_is_in_the_answer_of_the_check_in_that_asks_for_it_and_is_stored_first",
    ),
    server(
        "resume into a stop",
        "server/src/rollouts/people.rs",
        ("if deed == Deed::Resume {", "if deed == Deed::Pause {"),
        "rollouts::review_tests::going_on_is_refused_while_the_next_tick_would_stop_it_again",
    ),
    server(
        "a stale page undoes a stop",
        "server/src/rollouts/people.rs",
        (
            "saw.is_none_or(|saw| is_seen(&rollout.state, saw))",
            "saw.is_none_or(|saw| is_seen(&rollout.state, saw) || !saw.is_empty())",
        ),
        "rollouts::review_tests::what_somebody_decided_meanwhile_is_not_undone_over_a_stale_page",
    ),
    server(
        "a stop of the same moment is undone",
        "server/src/rollouts/people.rs",
        ("!(same && saw", "!(saw"),
        "rollouts::review_tests::a_stop_that_comes_between_reading_and_committing_stands",
    ),
    server(
        "receipts of withdrawn orders are forgotten",
        "server/src/rollouts/create.rs",
        ("let signed = orders.get(&wave.1).map(Signed::from);", "let signed = None;"),
        "rollouts::review_tests::the_receipt_of_a_withdrawn_order_counts_after_a_restart",
    ),
    server(
        "created beside what is not known",
        "server/src/rollouts/create.rs",
        ("self.read_rollouts().await?;", ""),
        "rollouts::review_tests::two_servers_that_do_not_know_of_each_other_create_no_two_rollouts_of_one_device",
    ),
    server(
        "a hold of nobody",
        "server/src/http/operator/rollouts/holds.rs",
        (
            "if covered(operator, &asked) == 0 {",
            "if covered(operator, &asked) > 0 && asked.until.is_some() {",
        ),
        "http::operator::tests::a_hold_that_covers_nobody_is_refused_and_one_that_covers_somebody_says_how_many",
    ),
    server(
        "a clinical engineer sends back",
        "server/src/http/operator.rs",
        (
            "let stops = matches!(act, Some((_, \"pause\" | \"stop\")))",
            "let stops = matches!(act, Some((_, \"pause\" | \"stop\" | \"back\")))",
        ),
        "http::operator::tests::stopping_needs_less_than_changing_and_ending_a_hold_or_resuming_does_not",
    ),
    server(
        "a clinical engineer resumes",
        "server/src/http/console/acts/rollouts.rs",
        (
            "\"pause\") { Access::Stop } else { Access::Change };",
            "\"pause\") { Access::Stop } else { Access::Stop };",
        ),
        "http::console::tests::rollouts::a_clinical_engineer_stops_and_holds_and_sets_nothing_going",
    ),
    server(
        "a clinical engineer cannot stop",
        "server/src/http/console/visitor.rs",
        (
            "if self.caller.role.may(access) {",
            "if self.caller.role.may(access) && self.caller.role.may(Access::Change) {",
        ),
        "http::console::tests::rollouts::a_clinical_engineer_stops_and_holds_and_sets_nothing_going",
    ),
    server(
        "a misfit of an order unheard of",
        "server/src/http/operator/rollouts.rs",
        ("    operator.rollouts.read_orders(operator.app.clock.now()).await?;\n", ""),
        "http::operator::tests::rollouts::who_does_not_fit_is_refused_by_an_order_that_this_server_has_not_heard_of_yet",
    ),
    server(
        "a yes to what did not stand there",
        "server/src/http/console/acts/rollouts.rs",
        (
            "act_on(&name, deed, (posted.reason(), saw), by)",
            "act_on(&name, deed, (posted.reason(), None), by)",
        ),
        "http::console::tests::rollouts::a_yes_is_to_what_stood_on_the_page",
    ),
    server(
        "an automatic stop rings nobody",
        "server/src/rollouts/steps.rs",
        ("Act::Halt { .. } | Act::Stop { .. } => {\n", "Act::Halt { .. } | Act::Stop { .. } if false => {\n"),
        "rollouts::later_tests::a_rollout_that_stops_itself_is_told_to_those_who_have_the_go_at_once",
    ),
    server_core(
        "joined from another rollout",
        "server/core/src/rollout/offer.rs",
        (
            "if self.elsewhere(rollout, device.id, now).is_some() {",
            "if self.elsewhere(rollout, device.id, now).is_some() && false {",
        ),
        "rollout::offer_tests::who_is_on_its_way_elsewhere_does_not_join_and_nobody_joins_an_order_that_has_ended",
    ),
    server_core(
        "joined after the order's end",
        "server/core/src/rollout/offer.rs",
        ("now < order.expires && fits(order, device)", "fits(order, device)"),
        "rollout::offer_tests::who_is_on_its_way_elsewhere_does_not_join_and_nobody_joins_an_order_that_has_ended",
    ),
    server_core(
        "finished while somebody may join",
        "server/core/src/rollout/plan.rs",
        ("if nobody_left && !takes_in(rollout, sight) &&", "if nobody_left &&"),
        "rollout::tests::a_rollout_that_takes_in_stays_open_until_its_order_ends",
    ),
    server_core(
        "begun without a window",
        "server/core/src/rollout/opening.rs",
        ("if order.windows.is_empty() {", "if order.windows.is_empty() && false {"),
        "rollout::opening::tests::a_rollout_of_what_is_not_here_is_refused_by_the_rule_that_says_so",
    ),
    server_core(
        "begun with other bytes than listed",
        "server/core/src/rollout/opening.rs",
        (
            "if listed.sha256 != order.image.sha256 || listed.length != order.image.length {",
            "if listed.length != order.image.length {",
        ),
        "rollout::opening::tests::a_rollout_of_what_is_not_here_is_refused_by_the_rule_that_says_so",
    ),
    server_core(
        "begun without the image",
        "server/core/src/rollout/opening.rs",
        ("if !image_is_here {", "if !image_is_here && false {"),
        "rollout::opening::tests::a_rollout_of_what_is_not_here_is_refused_by_the_rule_that_says_so",
    ),
    server_core(
        "begun over another model",
        "server/core/src/rollout/opening.rs",
        ("**model != listed.model", "**model != listed.model && false"),
        "rollout::opening::tests::a_rollout_of_what_is_not_here_is_refused_by_the_rule_that_says_so",
    ),
    server(
        "a hold outlives its end",
        "server/src/rollouts/holds.rs",
        ("let passing = hold.passing(turn.now)?;", "let passing = hold.passing(hold.at)?;"),
        "rollouts::later_tests::a_hold_with_an_end_lapses_by_itself_and_says_so_in_the_journal_once",
    ),
    server(
        "a list that takes strangers in",
        "server/src/rollouts/create.rs",
        (
            "if joins && !orders.get(&wave.1).is_some_and(by_facts) {",
            "if joins && !orders.contains_key(&wave.1) {",
        ),
        "rollouts::later_tests::who_comes_to_fit_is_taken_into_a_wave_of_facts_and_no_other",
    ),
    server(
        "begun without asking what is here",
        "server/src/http/operator/rollouts.rs",
        (
            "    opening::ready(&operator, &wanted).await?;\n",
            "    drop(opening::ready(&operator, &wanted).await);\n",
        ),
        "http::operator::tests::rollouts::a_rollout_begins_only_with_what_its_orders_need_and_says_which_rule_refused_it",
    ),
    server(
        "a way back after its end",
        "server/src/http/console/acts/rollouts.rs",
        (
            "Some(release) if is_back_open(&book, plan, now) => {",
            "Some(release) if is_back_open(&book, plan, now) || !release.is_empty() => {",
        ),
        "http::console::tests::findings_rollouts_and_holds_are_decided_by_the_apis_commits",
    ),
    server_core(
        "given again to one that slept over it",
        "server/core/src/rollout/facts.rs",
        ("listens && missed.is_none_or(|since| self.heard.is_some_and(|heard| heard > since))", "listens"),
        "rollout::review_tests::a_go_that_nobody_came_for_is_no_silence_and_one_that_was_told_is",
    ),
    server_core(
        "a tick gives to one that sleeps",
        "server/core/src/rollout/facts.rs",
        ("listens && missed.is_none_or", "(listens || !listens) && missed.is_none_or"),
        "rollout::sleepers_tests::a_thousand_pumps_that_sleep_are_updated_in_days",
    ),
    server_core(
        "the checker lets one that sleeps have a go",
        "server/core/src/rollout/check.rs",
        (
            "speaks || facts.listens.is_some_and(|until| until >= now)",
            "speaks || facts.listens.is_none_or(|until| until <= now)",
        ),
        "rollout::sleepers_tests::a_go_for_one_that_would_not_hear_of_it_does_not_pass",
    ),
    server_core(
        "a clock of seconds costs six hours",
        "server/core/src/rollout/at_check_in.rs",
        (
            "entitled(rollout, wave, facts, sight).then_some(",
            "(entitled(rollout, wave, facts, sight) && facts.unclaimed.is_none()).then_some(",
        ),
        "rollout::sleepers_tests::who_speaks_in_the_second_in_which_its_go_was_taken_back_has_another_one",
    ),
    server_core(
        "a go in a check-in beyond the places",
        "server/core/src/rollout/at_check_in.rs",
        ("Err(Violation::TooManyInFlight) => return Ok(None),", "Err(Violation::TooManyInFlight) => {}"),
        "rollout::review_tests::what_is_given_at_a_check_in_is_what_the_plan_would_give",
    ),
    server_core(
        "a go in a check-in beside a stop",
        "server/core/src/rollout/at_check_in.rs",
        (
            "Ok(Some(act).filter(|_| !plan(rollout, sight).iter().any(stops)))",
            "Ok(Some(act).filter(|_| sight.room > 0 || !plan(rollout, sight).iter().any(stops)))",
        ),
        "rollout::review_tests::what_is_given_at_a_check_in_is_what_the_plan_would_give",
    ),
    server_core(
        "the way back for one that sleeps",
        "server/core/src/rollout/way_back.rs",
        (" && facts.will_come(Action::Back, sight.now) {", " {"),
        "rollout::review_tests::nobody_sleeps_over_the_way_back_either",
    ),
    server(
        "who waited looks again",
        "server/src/rollouts/at_check_in.rs",
        (
            "has looked for all of them.\n        if self.giving.full().contains(rollout) {",
            "has looked for all of them.\n        if false {",
        ),
        "rollouts::review_tests::who_waited_for_the_turn_asks_again_whether_there_is_a_place",
    ),
    server(
        "an answer is not kept back",
        "server/src/rollouts/elsewhere.rs",
        ("timeout(KEPT_BACK, given", "timeout(Duration::ZERO, given"),
        "rollouts::elsewhere::tests::a_device_on_a_metered_line_has_its_go_in_the_answer_of_whatever_server_it_reaches",
    ),
    server(
        "told again at every check-in",
        "server/src/rollouts/at_check_in.rs",
        (
            "let Some(told) = tell(&known) else { return Ok(()) };",
            "let told = Progress { told: cordon_server_core::rollout::GoTold::At(now), ..known };",
        ),
        "rollouts::review_tests::that_a_device_was_told_is_written_down_once_and_never_of_a_go_that_is_gone",
    ),
    server(
        "whole lists in an answer",
        "server/src/http/operator/rollouts/views.rs",
        (
            "wave.as_object_mut().map(|wave| wave.remove(\"devices\"));",
            "wave.as_object_mut().map(|wave| wave.remove(\"no\"));",
        ),
        "http::operator::tests::rollouts::the_devices_of_a_rollout_come_page_by_page_and_by_what_is_asked",
    ),
    server(
        "a form for who may not send it",
        "server/src/http/console/acceptance.rs",
        ("href: may.then(||", "href: (may || !may).then(||"),
        "http::console::tests::rollouts::returning_a_device_to_use_is_offered_to_who_may",
    ),
    server(
        "a wait is no listening",
        "server/src/http/device.rs",
        ("app.listens(caller.member.id(), max_s);", ""),
        "http::device::tests::a_wait_wakes_for_a_change_and_ends_with_its_time",
    ),
];

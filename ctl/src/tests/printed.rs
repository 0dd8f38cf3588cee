//! Commands that other parts of the project print for people to copy: each is one that this program takes.

use clap::Parser;

use crate::cli::Cli;

/// The words of a command as a shell splits them: blanks, and double quotes.
fn words(command: &str) -> Vec<String> {
    let mut found = vec![String::new()];
    let mut quoted = false;
    for letter in command.chars() {
        match letter {
            '"' => quoted = !quoted,
            ' ' if !quoted => found.push(String::new()),
            other => found.last_mut().unwrap().push(other),
        }
    }
    found.retain(|word| !word.is_empty());
    found
}

#[test]
fn the_consoles_empty_page_of_rollouts_prints_commands_that_exist() {
    // Goal: the manual of that page works as printed. Method: every command of the template, parsed by this program.
    let page = include_str!("../../../server/ui/rollouts.html");
    let commands: Vec<&str> =
        page.split("<code>").skip(1).filter_map(|rest| rest.split("</code>").next()).collect();
    assert!(commands.len() >= 5, "{commands:?}");
    for command in commands {
        let taken = Cli::try_parse_from(words(command));
        assert!(
            taken.is_ok(),
            "{command}\n{}",
            taken.err().map(|error| error.to_string()).unwrap_or_default()
        );
    }
}

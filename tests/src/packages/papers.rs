//! Manual pages and completions, from the command lines themselves.
//!
//! Nothing is written twice: what a program says to `--help` is what its pages say. The agent has no clap, so its page is
//! its usage. Read next: `package.metadata.deb` in the manifests for where they are installed.

use std::fs;
use std::path::Path;

use anyhow::Context;
use clap_complete::Shell;

/// Writes all of them into the folders `man` and one for each shell; gives their number.
pub fn write(folder: &Path) -> anyhow::Result<usize> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
        Ok(()) | Err(_) => {}
    }
    let mut written = 0;
    for (package, command) in
        [("cordon-server", cordon_server::command_line()), ("cordon-ctl", cordonctl::command_line())]
    {
        let man = folder.join(package).join("man");
        fs::create_dir_all(&man)?;
        clap_mangen::generate_to(command.clone(), &man)?;
        written += fs::read_dir(&man)?.count();
        let name = command.get_name().to_owned();
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let place = folder.join(package).join(shell.to_string());
            fs::create_dir_all(&place)?;
            clap_complete::generate_to(shell, &mut command.clone(), &name, &place)?;
            written += 1;
        }
    }
    let man = folder.join("cordon-agent/man");
    fs::create_dir_all(&man)?;
    fs::write(man.join("cordon-agent.1"), agent_page()).context("the agent's page")?;
    Ok(written + 1)
}

/// The agent's page: its usage as it stands, for it is laid out by hand.
fn agent_page() -> String {
    let literal = |line: &str| match line {
        "" => "\\&".to_owned(),
        line => format!("\\&{}", line.replace('\\', "\\e").replace('-', "\\-")),
    };
    let usage: Vec<String> = cordon_agent::usage().lines().map(literal).collect();
    format!(
        ".TH CORDON-AGENT 1\n.SH NAME\ncordon\\-agent \\- watches a device, reports, installs what maker and owner both signed\n\
         .SH SYNOPSIS\n.nf\n{}\n.fi\n.SH EXIT STATUS\n0 done, 1 refused or failed, 2 usage, 86 the device is to be restarted.\n\
         .SH FILES\n/etc/cordon/agent.toml, /var/lib/cordon\n",
        usage.join("\n")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_page_and_every_program_its_completions() {
        let folder = tempfile::tempdir().expect("a folder");
        let written = write(folder.path()).expect("written");
        assert!(written > 60, "{written}");
        for page in [
            "cordon-server/man/cordon-server-init.1",
            "cordon-ctl/man/cordonctl-contacts-search.1",
            "cordon-agent/man/cordon-agent.1",
        ] {
            let text = fs::read_to_string(folder.path().join(page)).expect(page);
            assert!(text.contains(".TH") && text.contains(".SH NAME"), "{page}: {text}");
        }
        let completion = fs::read_to_string(folder.path().join("cordon-ctl/bash/cordonctl.bash"));
        assert!(completion.expect("written").contains("rollouts"));
        // A line of usage that begins with a dot would be taken for a request of roff.
        assert!(agent_page().lines().all(|line| !line.starts_with("  ")));
    }
}

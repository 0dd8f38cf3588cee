//! Local accounts as flags: how many may sign in, and what about them is weak. No name of anybody and no hash is taken.
//!
//! The files are those of passwd(5) and shadow(5). Where the second may not be read, what it would tell is unknown. An account
//! counts as one that may sign in when its shell is not one of those that refuse everybody.

use cordon_proto::inventory::Section;

use super::{Root, Rows, UNKNOWN};

pub(super) const ACCOUNTS: &str = "etc/passwd";
const PASSWORDS: &str = "etc/shadow";
/// Programs in the place of a shell that let nobody in.
const NO_SHELL: [&str; 4] = ["nologin", "false", "sync", "halt"];

/// Adds the rows of the accounts.
pub fn read(root: &Root, rows: &mut Rows) {
    let accounts = match root.text(ACCOUNTS) {
        Ok(text) => Some(text),
        Err(error) => {
            rows.unread(ACCOUNTS, &error);
            None
        }
    };
    let passwords = root.text(PASSWORDS).ok();
    let Flags { shells, other_root, empty_password, root_locked } =
        Flags::of(accounts.as_deref(), passwords.as_deref());
    rows.add_known(Section::System, "accounts-with-shell", shells.map(|count| count.to_string()).as_deref());
    let mut posture = |key, flag: Option<bool>, source| {
        let value = flag.map_or(UNKNOWN, |flag| if flag { "yes" } else { "no" });
        rows.add(Section::Posture, key, [value, source]);
    };
    posture("other-root-account", other_root, "passwd");
    posture("empty-password", empty_password, "shadow");
    posture("root-locked", root_locked, "shadow");
}

/// What is told of accounts. `None` is unknown.
#[derive(Debug, Default, PartialEq, Eq)]
struct Flags {
    shells: Option<usize>,
    /// An account beside root has root's number.
    other_root: Option<bool>,
    /// An account that may sign in needs no password.
    empty_password: Option<bool>,
    /// No password opens root's account.
    root_locked: Option<bool>,
}

/// A line of passwd(5): name, password, number, home, shell.
pub(super) struct Account<'a> {
    pub(super) name: &'a str,
    password: &'a str,
    pub(super) number: &'a str,
    pub(super) home: &'a str,
    pub(super) may_sign_in: bool,
}

impl Flags {
    fn of(accounts: Option<&str>, passwords: Option<&str>) -> Self {
        let Some(accounts) = accounts else { return Self::default() };
        let accounts: Vec<Account<'_>> = accounts.lines().filter_map(account).collect();
        let stored = |name: &str| {
            passwords?.lines().find_map(|line| {
                let (owner, rest) = line.split_once(':')?;
                (owner == name).then(|| rest.split(':').next().unwrap_or_default())
            })
        };
        // `x` sends to shadow(5); anything else in its place is the password itself, or none.
        let password = |account: &Account<'_>| match account.password {
            "x" => stored(account.name).map(str::to_owned),
            other => Some(other.to_owned()),
        };
        let empty: Vec<Option<bool>> = accounts
            .iter()
            .filter(|account| account.may_sign_in)
            .map(|account| password(account).map(|password| password.is_empty()))
            .collect();
        let root = accounts.iter().find(|account| account.name == "root");
        Self {
            shells: Some(empty.len()),
            other_root: Some(accounts.iter().any(|account| account.number == "0" && account.name != "root")),
            empty_password: match (empty.contains(&Some(true)), empty.contains(&None)) {
                (true, _) => Some(true),
                (false, true) => None,
                (false, false) => Some(false),
            },
            root_locked: root.and_then(password).map(|password| password.starts_with(['!', '*'])),
        }
    }
}

pub(super) fn account(line: &str) -> Option<Account<'_>> {
    let mut words = line.split(':');
    let (name, password, number) = (words.next()?, words.next()?, words.next()?);
    let (home, shell) = (words.nth(2)?, words.next()?.trim());
    let shell = shell.rsplit('/').next().unwrap_or_default();
    Some(Account { name, password, number, home, may_sign_in: !NO_SHELL.contains(&shell) })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACCOUNTS: &str = "root:x:0:0:root:/root:/bin/bash\ndaemon:x:1:1::/:/usr/sbin/nologin\n\
        ward:x:1000:1000:A Name:/srv/ward:/bin/sh\nbin:x:2:2::/:\n";

    fn flags(accounts: &str, passwords: &str) -> [Option<bool>; 3] {
        let flags = Flags::of(Some(accounts), Some(passwords));
        [flags.other_root, flags.empty_password, flags.root_locked]
    }

    #[test]
    fn weak_accounts_are_flags_and_what_cannot_be_read_is_unknown() {
        // Goal: yes and no only where a file says so. Method: each weakness in turn, and the files missing.
        let passwords = "root:!:19000:0\ndaemon:*:19000\nward:$y$abc:19000\nbin:*:1\n";
        assert_eq!(flags(ACCOUNTS, passwords), [Some(false), Some(false), Some(true)]);
        assert_eq!(Flags::of(Some(ACCOUNTS), None).shells, Some(3), "without a shell named, it is /bin/sh");
        assert_eq!(Flags::of(Some(ACCOUNTS), None).empty_password, None);
        assert_eq!(Flags::of(None, None), Flags::default());
        assert_eq!(
            flags(ACCOUNTS, &passwords.replace("root:!", "root:$6$x")),
            [Some(false), Some(false), Some(false)]
        );
        assert_eq!(
            flags(ACCOUNTS, &passwords.replace("ward:$y$abc", "ward:")),
            [Some(false), Some(true), Some(true)]
        );
        assert_eq!(
            flags(ACCOUNTS, &passwords.replace("daemon:*", "daemon:")),
            [Some(false), Some(false), Some(true)]
        );
        assert_eq!(
            flags(&ACCOUNTS.replace("ward:x:1000", "ward::0"), passwords),
            [Some(true), Some(true), Some(true)]
        );
        assert_eq!(flags(ACCOUNTS, "ward:$y$abc:1\n"), [Some(false), None, None]);
    }
}

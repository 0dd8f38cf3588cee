//! Files that the image declares: hashed, and a row for each that is not as declared.
//!
//! The list lies in the image, as sha256sum(1) writes it, so it is under the maker's and the owner's signatures like everything there;
//! on a slot that can be written to, what changed since shows here. A file that cannot be read, or is more than is read, is
//! unknown and never sound. Read next: [`super::root`].

use std::io::{self, ErrorKind, Read};

use cordon_proto::ids::Sha256;
use cordon_proto::inventory::{Inventory, Section};
use cordon_proto::limits;
use sha2::{Digest, Sha256 as Hasher};

use super::{Root, Rows, UNKNOWN};

/// Where the list is.
pub const LIST: &str = "usr/share/cordon/files.sha256";

/// Lines that `status` tells.
const SHOWN: usize = 16;

/// Adds a row for the list, if there is one, and one for each file that is not as it says.
pub fn read(root: &Root, rows: &mut Rows) {
    let text = match root.bytes(LIST) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) => return rows.unread(LIST, &error),
    };
    let (mut all, mut sound, mut wrong, mut left) = (0_u32, 0_u32, false, limits::DECLARED_BYTES);
    for line in text.lines().filter(|line| !line.is_empty()) {
        all += 1;
        let Some((declared, path)) = declared(line) else { continue };
        let found = if all > limits::DECLARED_FILES {
            Err(io::Error::from(ErrorKind::FileTooLarge))
        } else {
            digest(root, path, &mut left)
        };
        let (value, found) = match found {
            Ok(found) if found == declared => {
                sound += 1;
                continue;
            }
            Ok(found) => ("no", found.to_string()),
            Err(error) if error.kind() == ErrorKind::NotFound => ("no", "missing".to_owned()),
            Err(error) => (UNKNOWN, error.to_string()),
        };
        wrong |= value == "no";
        rows.add(Section::Posture, &format!("declared-file/{path}"), [value, &found]);
    }
    let value = match (wrong, sound == all) {
        (true, _) => "no",
        (false, true) => "yes",
        (false, false) => UNKNOWN,
    };
    let list = Sha256::of(text.as_bytes()).to_string();
    rows.add(Section::Posture, "declared-files", [value, &format!("{sound} of {all}"), &list]);
}

/// What the rows of an inventory say, for whoever stands at the device; nothing where no list is.
#[must_use]
pub fn told(inventory: &Inventory) -> Vec<String> {
    let mut told = Vec::new();
    for row in inventory.rows() {
        let found = |at: usize| row.fields.get(at).map_or("", String::as_str);
        let key = row.key.as_str();
        if row.section == Section::Unread && key == LIST {
            told.push(format!("{LIST}: {}", found(0)));
        } else if row.section == Section::Posture && key == "declared-files" {
            told.insert(0, format!("{} are as the image declares them", found(1)));
        } else if row.section == Section::Posture
            && let Some(path) = key.strip_prefix("declared-file/")
        {
            told.push(format!("{path}: {}", found(1)));
        }
    }
    told.truncate(SHOWN);
    told
}

/// A line of sha256sum(1): the digest, two signs, the file's name.
fn declared(line: &str) -> Option<(Sha256, &str)> {
    let (digest, rest) = line.split_once(' ')?;
    let path = rest.strip_prefix([' ', '*'])?.trim_start_matches("./").trim_start_matches('/');
    Some((digest.parse().ok()?, path)).filter(|(_, path)| !path.is_empty())
}

/// The digest of a file, of which no more is read than is left.
fn digest(root: &Root, path: &str, left: &mut u64) -> io::Result<Sha256> {
    let mut file = root.open(path)?.take(left.saturating_add(1));
    let (mut hasher, mut piece) = (Hasher::new(), [0; 8192]);
    loop {
        let read = file.read(&mut piece)?;
        let bytes = piece.get(..read).unwrap_or_default();
        if bytes.is_empty() {
            return Ok(Sha256(hasher.finalize().into()));
        }
        *left = left
            .checked_sub(u64::try_from(read).unwrap_or(u64::MAX))
            .ok_or(io::Error::from(ErrorKind::FileTooLarge))?;
        hasher.update(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::take;
    use std::fs;

    #[test]
    fn a_file_that_is_not_as_declared_has_a_row_and_one_that_cannot_be_read_is_unknown() {
        // Goal: a changed, a missing and an unreadable file are told apart, and none of them looks sound. Method: an image with
        // each, in the forms that sha256sum writes; then without the changed ones; then without a list.
        let image = tempfile::tempdir().expect("a folder");
        let at = |path: &str| image.path().join(path);
        fs::create_dir_all(at("usr/share/cordon")).expect("makes");
        fs::create_dir_all(at("opt/folder")).expect("makes");
        fs::write(at("opt/sound"), "sound").expect("writes");
        fs::write(at("opt/changed"), "changed").expect("writes");
        let line = |text: &str, rest: &str| format!("{} {rest}\n", Sha256::of(text.as_bytes()));
        let sound =
            [line("sound", " opt/sound"), line("sound", "*./opt/sound"), line("sound", " /opt/sound")];
        let rest = [line("as it was", " opt/changed"), line("x", " opt/gone"), line("x", " opt/folder")];
        let list = |lines: &[String]| fs::write(at(LIST), lines.concat()).expect("writes");
        let look = || {
            let inventory = take(&Root::at(image.path()).expect("opens"));
            let rows = inventory.section(Section::Posture);
            let own = rows.filter(|row| row.key.as_str().starts_with("declared-file"));
            own.map(|row| format!("{} {}", row.key, row.fields[..2].join(" "))).collect::<Vec<_>>()
        };
        list(&[sound.concat(), rest.concat()]);
        let changed = Sha256::of(b"changed");
        let wanted = [
            format!("declared-file/opt/changed no {changed}"),
            "declared-file/opt/folder unknown not a file".to_owned(),
            "declared-file/opt/gone no missing".to_owned(),
            "declared-files no 3 of 6".to_owned(),
        ];
        assert_eq!(look(), wanted);
        let at_device = told(&take(&Root::at(image.path()).expect("opens")));
        let all = "3 of 6 are as the image declares them";
        let changed_line = format!("opt/changed: {changed}");
        assert_eq!(at_device, [all, &changed_line, "opt/folder: not a file", "opt/gone: missing"]);
        list(&[sound.concat(), "no digest at all\n".to_owned()]);
        assert_eq!(look(), ["declared-files unknown 3 of 4"], "a line that is none hides nothing");
        list(&sound);
        assert_eq!(look(), ["declared-files yes 3 of 3"]);
        fs::remove_file(at(LIST)).expect("removes");
        assert_eq!(look(), Vec::<String>::new());
        assert_eq!(told(&take(&Root::at(image.path()).expect("opens"))), Vec::<String>::new());
    }

    #[test]
    fn no_list_makes_the_reader_read_without_end() {
        // Goal: bounds of files and bytes. Method: one file more than it; a file longer than what is left.
        let image = tempfile::tempdir().expect("a folder");
        fs::write(image.path().join("a"), "twelve bytes").expect("writes");
        let root = Root::at(image.path()).expect("opens");
        let mut left = 11;
        assert_eq!(digest(&root, "a", &mut left).map_err(|error| error.kind()), Err(ErrorKind::FileTooLarge));
        let mut left = 12;
        assert_eq!(digest(&root, "a", &mut left).expect("fits"), Sha256::of(b"twelve bytes"));
        let line = format!("{}  a\n", Sha256::of(b"twelve bytes"));
        fs::create_dir_all(image.path().join("usr/share/cordon")).expect("makes");
        let most = usize::try_from(limits::DECLARED_FILES).expect("small");
        fs::write(image.path().join(LIST), line.repeat(most + 1)).expect("writes");
        let mut rows = Rows::default();
        read(&root, &mut rows);
        let fields: Vec<_> = rows.rows.iter().map(|row| row.fields[0].as_str()).collect();
        assert_eq!(fields, [UNKNOWN, UNKNOWN], "the one too many, and so the whole");
    }
}

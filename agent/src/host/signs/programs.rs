//! From where programs run, on an image that is sealed.
//!
//! Sealed is a root that is mounted read-only, or an image that declares its files ([`super::super::declared`]). The kernel says
//! from which file a process runs (proc_pid_exe(5)) to its own user and to root; others' are counted as unseen.

use std::io::ErrorKind;

use cordon_agent_core::signs::Mark;
use cordon_agent_core::signs::program::{Place, Program, Programs};
use cordon_proto::limits;

use crate::host::{Root, declared};

const DELETED: &str = " (deleted)";
const HIDDEN: &str = "programs of other users are hidden from the agent's user";
const OPEN: &str = "the image is not sealed: its root can be written, and it declares no files";
/// Folders by what they are for; the first that fits counts.
const PLACES: [(&str, Place); 9] = [
    ("/run/media/", Place::Stick),
    ("/media/", Place::Stick),
    ("/mnt/", Place::Stick),
    ("/tmp/", Place::Passing),
    ("/var/tmp/", Place::Passing),
    ("/dev/", Place::Passing),
    ("/run/", Place::Passing),
    (concat!("/home", "/"), Place::Home),
    (concat!("/root", "/"), Place::Home),
];

/// What runs from outside; `None` where the image is not sealed. Then why something is unseen.
pub(super) fn look(root: &Root, mounts: &str) -> (Option<Programs>, Option<String>) {
    let read_only = is_read_only(mounts, "/");
    if !read_only && !root.exists(declared::LIST) {
        return (None, Some(OPEN.to_owned()));
    }
    let mut programs = Programs::default();
    let numbers = root.names("proc").unwrap_or_default();
    let numbers = numbers.iter().filter(|name| name.bytes().all(|digit| digit.is_ascii_digit()));
    for number in numbers.take(limits::PROCESSES) {
        let path = match root.link(&format!("proc/{number}"), "exe") {
            Ok(path) => path,
            Err(error) => {
                programs.unseen += u32::from(error.kind() == ErrorKind::PermissionDenied);
                continue;
            }
        };
        programs.seen += 1;
        if let Some(place) = outside(&path, mounts, read_only) {
            let name = root.line(&format!("proc/{number}/comm")).unwrap_or_default();
            let program = Program { name, place, path: Mark::of(&[&path]) };
            if !programs.outside.contains(&program) {
                programs.outside.push(program);
            }
        }
    }
    let why = (programs.unseen > 0).then(|| HIDDEN.to_owned());
    (Some(programs), why)
}

/// Where outside the image a path lies; `None` where it is of the image.
fn outside(path: &str, mounts: &str, read_only: bool) -> Option<Place> {
    if path.starts_with("/memfd:") {
        return Some(Place::Memory);
    }
    if path.ends_with(DELETED) {
        return Some(Place::Deleted);
    }
    if read_only && is_read_only(mounts, path) {
        return None;
    }
    let place = PLACES.iter().find(|(front, _)| path.starts_with(front)).map(|(_, place)| *place);
    place.or_else(|| read_only.then_some(Place::Writable))
}

/// Whether the mount that a path lies in is read-only, by the lines of proc_pid_mountinfo(5): the last of the longest fits.
fn is_read_only(mounts: &str, path: &str) -> bool {
    let (mut longest, mut read_only) = (0, false);
    for line in mounts.lines() {
        let Some((front, back)) = line.split_once(" - ") else { continue };
        let mut words = front.split(' ').skip(4);
        let (Some(place), Some(options)) = (words.next(), words.next()) else { continue };
        let below = path.strip_prefix(place.trim_end_matches('/'));
        if below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/')) && place.len() >= longest {
            let of_file_system = back.split(' ').nth(2).unwrap_or_default();
            longest = place.len();
            read_only = [options, of_file_system].iter().any(|options| options.split(',').any(|o| o == "ro"));
        }
    }
    read_only
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_of_a_sealed_image_is_told_from_what_is_brought_to_it() {
        // Goal: each place by its name, and nothing of the image. Method: paths as the kernel links them, two kinds of sealing.
        let mounts = "1 0 8:2 / / ro,relatime - ext4 /dev/sda2 ro\n2 1 0:5 / /tmp rw - tmpfs tmpfs rw\n\
            3 1 8:3 / /var rw - ext4 /dev/sda3 rw\n4 1 8:4 / /opt ro - ext4 /dev/sda4 rw\n5 1 0:6 / /dev rw - devtmpfs dev rw\n";
        let place = |path: &str| outside(path, mounts, true);
        assert_eq!(place("/usr/bin/pump"), None);
        assert_eq!(place("/opt/app"), None);
        assert_eq!(place("/optional/app"), None, "a name that only begins alike is of the root");
        assert_eq!(place("/tmp/x"), Some(Place::Passing));
        assert_eq!(place("/dev/shm/x"), Some(Place::Passing));
        assert_eq!(place("/var/lib/app"), Some(Place::Writable));
        assert_eq!(place("/memfd:x (deleted)"), Some(Place::Memory));
        assert_eq!(place("/usr/bin/pump (deleted)"), Some(Place::Deleted));
        let open = mounts.replace(" ro", " rw").replace("ro,", "rw,");
        assert!(!is_read_only(&open, "/") && is_read_only(mounts, "/"));
        let declared = |path: &str| outside(path, &open, false);
        assert_eq!(declared("/usr/bin/pump"), None);
        assert_eq!(declared(concat!("/home", "/ward/x")), Some(Place::Home));
        assert_eq!(declared("/run/media/ward/x"), Some(Place::Stick));
        assert_eq!(
            declared("/var/lib/app"),
            None,
            "where all can be written, only what is for passing things tells"
        );
    }
}

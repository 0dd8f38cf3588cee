//! Packages of Python and Node, as their own installers leave them: folders of files, without a database.
//!
//! They are looked for where programs are put: below `usr` and `usr/local`, in the folders of `opt` and `srv`, and in the places of
//! containers. What a distribution's packages brought is in the distribution's own list, under the version its advisories speak
//! of; listed here too, it would be judged by the versions of others. Walks are bounded in depth and in number, and say so when
//! they end early. Read next: `cordon_proto::inventory::{python, node}`.

use std::io::{ErrorKind, Read};

use cordon_proto::inventory::{Section, node, python};
use cordon_proto::limits;

use super::List;

/// Folders whose own folders are programs.
const PARENTS: [&str; 2] = ["opt", "srv"];
/// Places of programs beside them; of the first, Python's belong to the distribution unless its installer says otherwise.
const PLACES: [&str; 4] = ["usr", "usr/local", "app", "usr/src/app"];

/// Adds the rows of both languages. `distributed`: whether a distribution's own list is there.
pub(super) fn read(list: &mut List<'_>, distributed: bool) {
    let mut places: Vec<String> = PLACES.map(str::to_owned).to_vec();
    for parent in PARENTS {
        for name in list.root.names(parent).unwrap_or_default() {
            let inner = list.root.names(&format!("{parent}/{name}")).unwrap_or_default();
            places.extend(inner.iter().take(64).map(|inner| format!("{parent}/{name}/{inner}")));
            places.push(format!("{parent}/{name}"));
        }
    }
    let mut walk = Walk { list, left: limits::LANGUAGE_FOLDERS, cut: false, unnamed: [0, 0] };
    for place in &places {
        walk.python_in(place, distributed && place == "usr");
        for modules in ["node_modules", "lib/node_modules"] {
            walk.node(&format!("{place}/{modules}"), limits::LANGUAGE_DEPTH);
        }
    }
    let Walk { list, left, cut, unnamed } = walk;
    let [python, node] = unnamed;
    list.broken("python packages", python);
    list.broken("node packages", node);
    if left == 0 || cut {
        list.rows.add(Section::Unread, "language packages", ["there are more folders than are looked at"]);
    }
}

struct Walk<'w, 'l> {
    list: &'w mut List<'l>,
    /// Folders that may still be looked at.
    left: usize,
    /// A folder has more names than are read.
    cut: bool,
    /// Packages of Python and of Node that do not say what they are.
    unnamed: [usize; 2],
}

impl Walk<'_, '_> {
    fn names(&mut self, folder: &str) -> Vec<String> {
        if self.left == 0 {
            return Vec::new();
        }
        let names = self.list.root.names(folder).unwrap_or_default();
        self.left -= usize::from(!names.is_empty());
        // Two of the entries that are read stand for the folder itself and the one above.
        self.cut |= names.len() + 2 >= limits::INVENTORY_FOLDER_FILES;
        names
    }

    /// The Pythons below a place: `lib/python3.11/site-packages` and its like.
    fn python_in(&mut self, place: &str, distributed: bool) {
        for lib in ["lib", "lib64"] {
            let lib = format!("{place}/{lib}");
            // On many machines one is a link to the other; what is found twice is one row.
            let pythons = self.list.root.names(&lib).unwrap_or_default();
            for python in pythons.iter().filter(|name| name.starts_with("python")) {
                for packages in ["site-packages", "dist-packages"] {
                    self.python(&format!("{lib}/{python}/{packages}"), distributed);
                }
            }
        }
    }

    fn python(&mut self, folder: &str, distributed: bool) {
        for name in self.names(folder) {
            let metadata = match name.rsplit_once('.') {
                Some((_, "dist-info")) => format!("{folder}/{name}/METADATA"),
                Some((_, "egg-info")) if self.list.root.exists(&format!("{folder}/{name}/PKG-INFO")) => {
                    format!("{folder}/{name}/PKG-INFO")
                }
                Some((_, "egg-info")) => format!("{folder}/{name}"),
                _ => continue,
            };
            let installer = || self.list.root.text(&format!("{folder}/{name}/INSTALLER")).unwrap_or_default();
            if distributed && !python::is_from_outside(&installer()) {
                continue;
            }
            let front = self.front(&metadata);
            match front.as_deref().and_then(python::package) {
                Some((name, version)) => self.list.add(&format!("pypi/{name}/{version}"), [version]),
                None => self.unnamed[0] += 1,
            }
        }
    }

    fn node(&mut self, modules: &str, depth: usize) {
        let Some(depth) = depth.checked_sub(1) else { return };
        for name in self.names(modules).into_iter().filter(|name| !name.starts_with('.')) {
            let package = format!("{modules}/{name}");
            if name.starts_with('@') {
                for inner in self.names(&package) {
                    self.node_package(&format!("{package}/{inner}"), depth);
                }
            } else {
                self.node_package(&package, depth);
            }
        }
    }

    fn node_package(&mut self, package: &str, depth: usize) {
        let said = self.list.root.text(&format!("{package}/package.json"));
        match said.as_deref().map(node::package) {
            Ok(Some((name, version))) => self.list.add(&format!("npm/{name}/{version}"), [version]),
            Ok(None) => self.unnamed[1] += 1,
            // A folder without that file is no package.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(_) => self.unnamed[1] += 1,
        }
        self.node(&format!("{package}/node_modules"), depth);
    }

    fn front(&self, path: &str) -> Option<String> {
        let mut front = Vec::new();
        self.list.root.open(path).ok()?.take(limits::LANGUAGE_FILE_BYTES).read_to_end(&mut front).ok()?;
        Some(String::from_utf8_lossy(&front).into_owned())
    }
}

//! The starts of services, seen as systemd announces them: a watch on the folder in which it leaves a link for each.
//!
//! The kernel keeps what happens there until it is read, so nothing is missed between two looks and nothing is done while
//! nothing happens. No program is asked, no right is needed. Where there is no such folder, nothing is told: unknown, not none.
//! What counts is decided in the ground. Read next: `cordon_agent_core::restarts`.

use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use cordon_agent_core::restarts::{Seen, Watch, service_of, starts_anew};
use cordon_proto::health::Restarts;
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};

use super::Root;

/// Where systemd leaves a link for each unit that is there.
const UNITS: &str = "run/systemd/units";
/// Where the files of units are, whose word counts last (systemd.unit(5)).
const FILES: [&str; 6] = [
    "lib/systemd/system",
    "usr/lib/systemd/system",
    "run/systemd/generator",
    "run/systemd/system",
    "run/systemd/transient",
    "etc/systemd/system",
];
/// Events taken in at one look: as many as the kernel keeps (inotify(7), `max_queued_events`).
const EVENTS: usize = 16_384;
/// Bytes for some of them; the largest has 272.
const BYTES: usize = 1024;

/// The watch over the services of a machine.
pub struct Services {
    folder: PathBuf,
    watch: Option<(OwnedFd, Watch)>,
}

impl Services {
    /// Over the machine below `root`; the watch begins with the first reading.
    #[must_use]
    pub fn below(root: &Path) -> Self {
        Self { folder: root.join(UNITS), watch: None }
    }

    /// Takes in what happened since the last look; whether it calls for a reading.
    pub fn look(&mut self, now_s: u64) -> bool {
        let Some((events, watch)) = &mut self.watch else { return false };
        let mut bytes = [MaybeUninit::uninit(); BYTES];
        let mut reader = inotify::Reader::new(events, &mut bytes);
        let (mut calls, mut ended) = (false, false);
        for _ in 0..EVENTS {
            let Ok(event) = reader.next() else { break };
            let flags = event.events();
            ended |= flags.contains(ReadFlags::IGNORED);
            if flags.contains(ReadFlags::QUEUE_OVERFLOW) {
                watch.miss(now_s);
            }
            let seen = if flags.contains(ReadFlags::DELETE) { Seen::Gone } else { Seen::Started };
            let link = event.file_name().and_then(|name| name.to_str().ok());
            if let Some(service) = link.and_then(service_of) {
                calls |= watch.see(service, seen, now_s);
            }
        }
        if ended {
            self.watch = None;
        }
        calls
    }

    /// What was started anew lately; `None` where nothing can be watched.
    pub fn tell(&mut self, root: &Root, now_s: u64) -> Option<Restarts> {
        self.look(now_s);
        if self.watch.is_none() {
            self.watch = self.begin(root, now_s);
        }
        let (_, watch) = self.watch.as_mut()?;
        Some(watch.tell(now_s, |service| is_own(root, service)))
    }

    fn begin(&self, root: &Root, now_s: u64) -> Option<(OwnedFd, Watch)> {
        let events = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).ok()?;
        let kinds = WatchFlags::CREATE | WatchFlags::MOVED_TO | WatchFlags::DELETE | WatchFlags::ONLYDIR;
        inotify::add_watch(&events, &self.folder, kinds).ok()?;
        let mut watch = Watch::new(now_s);
        for link in root.names(UNITS).ok()? {
            if let Some(service) = service_of(&link) {
                watch.see(service, Seen::There, now_s);
            }
        }
        Some((events, watch))
    }
}

/// Whether the service manager starts it anew by itself. What a timer starts is not; what no file describes may be.
fn is_own(root: &Root, service: &str) -> bool {
    let template = service.find('@').and_then(|at| service.get(..=at));
    let (mut own, mut changed) = (None, None);
    for folder in FILES {
        for name in template.into_iter().chain([service]) {
            let unit = format!("{folder}/{name}");
            if root.exists(&format!("{unit}.timer")) {
                return false;
            }
            if let Ok(file) = root.text(&format!("{unit}.service")) {
                own = Some(starts_anew(&file).unwrap_or(false));
            }
            let folder = format!("{unit}.service.d");
            for file in root.names(&folder).unwrap_or_default() {
                let said = root.text(&format!("{folder}/{file}")).ok().and_then(|file| starts_anew(&file));
                changed = said.or(changed);
            }
        }
    }
    changed.or(own).unwrap_or(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    struct Systemd(tempfile::TempDir);

    impl Systemd {
        fn new() -> Self {
            let folder = tempfile::tempdir().expect("a folder");
            fs::create_dir_all(folder.path().join(UNITS)).expect("makes");
            Self(folder)
        }

        fn link(&self, service: &str) -> PathBuf {
            self.0.path().join(UNITS).join(format!("invocation:{service}.service"))
        }

        /// As systemd starts a service: a link under another name, put into its place.
        fn start(&self, service: &str) {
            let part = self.0.path().join(UNITS).join(format!(".#invocation:{service}.service4f2a"));
            symlink("9f86d081884c4d63", &part).expect("links");
            fs::rename(part, self.link(service)).expect("renames");
        }

        fn end(&self, service: &str) {
            fs::remove_file(self.link(service)).expect("removes");
        }

        fn file(&self, path: &str, text: &str) {
            let path = self.0.path().join(path);
            fs::create_dir_all(path.parent().expect("a folder")).expect("makes");
            fs::write(path, text).expect("writes");
        }

        fn root(&self) -> Root {
            Root::at(self.0.path()).expect("opens")
        }
    }

    #[test]
    fn every_start_of_a_service_is_seen_however_short_it_lives() {
        // Goal: exact counts without asking anybody. Method: a folder as systemd keeps it, 300 starts between two looks; a unit
        // that is no service; a service that nobody starts anew.
        let manager = Systemd::new();
        manager.file("usr/lib/systemd/system/pump-ui.service", "[Service]\nRestart=on-failure\n");
        manager.file("usr/lib/systemd/system/called.service", "[Service]\nExecStart=/bin/called\n");
        for service in ["pump-ui", "called"] {
            manager.start(service);
        }
        let mut services = Services::below(manager.0.path());
        assert!(!services.look(0), "no watch before the first reading");
        let told = services.tell(&manager.root(), 0).expect("watched");
        assert_eq!((told.services, told.over_s, told.missed), (Vec::new(), 0, false));
        for _ in 0..300 {
            for service in ["pump-ui", "called"] {
                manager.end(service);
                manager.start(service);
            }
        }
        manager.end("pump-ui");
        symlink("1", manager.0.path().join(UNITS).join("invocation:-.mount")).expect("links");
        assert!(services.look(60), "a loop calls for a reading");
        assert!(!services.look(61));
        let told = services.tell(&manager.root(), 62).expect("watched");
        let [service] = &*told.services else { panic!("one service: {told:?}") };
        assert_eq!((service.name.as_str(), service.restarts, service.down), ("pump-ui", 300, true));
        assert_eq!(told.over_s, 62);
    }

    #[test]
    fn without_the_folder_nothing_is_known_and_it_may_come_and_go() {
        // Goal: another service manager is unknown, not quiet. Method: no folder; it comes; it goes.
        let folder = tempfile::tempdir().expect("a folder");
        let root = Root::at(folder.path()).expect("opens");
        let mut services = Services::below(folder.path());
        assert_eq!(services.tell(&root, 0), None);
        fs::create_dir_all(folder.path().join(UNITS)).expect("makes");
        assert!(services.tell(&root, 1).is_some());
        fs::remove_dir(folder.path().join(UNITS)).expect("removes");
        assert_eq!(services.tell(&root, 2), None);
    }

    #[test]
    fn only_what_the_service_manager_starts_anew_by_itself_can_be_in_a_loop() {
        // Goal: timers and calls are no loops, drop-ins count, unknown is counted. Method: files in the places of systemd.
        let manager = Systemd::new();
        let own = |service: &str| is_own(&manager.root(), service);
        assert!(own("made"), "no file says anything of it");
        manager.file("usr/lib/systemd/system/made.service", "[Service]\nExecStart=/bin/made\n");
        assert!(!own("made"));
        manager.file("etc/systemd/system/made.service.d/kiosk.conf", "[Service]\nRestart=always\n");
        assert!(own("made"), "a drop-in");
        manager.file("etc/systemd/system/made.service", "[Service]\nRestart=always\n");
        manager.file("etc/systemd/system/made.service.d/kiosk.conf", "[Service]\nRestart=no\n");
        assert!(!own("made"), "its last word");
        manager.file("lib/systemd/system/kiosk@.service", "[Service]\nRestart=on-abort\n");
        assert!(own("kiosk@seat0"), "its template's");
        manager.file("lib/systemd/system/often.service", "[Service]\nRestart=on-failure\n");
        assert!(own("often"));
        manager.file("lib/systemd/system/often.timer", "[Timer]\nOnUnitActiveSec=60\n");
        assert!(!own("often"), "a timer starts it");
    }
}

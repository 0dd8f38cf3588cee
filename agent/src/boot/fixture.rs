//! One device per boot control, with a loader that does what docs/boot.md asks of it. Tests only.
//!
//! The loaders are written from the document, not from the adapters, and count with the shared arithmetic only where
//! the real loader would have it from us. Read next: [`super::tests`].

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use cordon_agent_core::update::Slot;
use tempfile::TempDir;

use super::exec::ExecBoot;
use super::grub::GrubBoot;
use super::uboot::UbootBoot;
use super::{BootControl, FileBoot, SharedControl};

/// A device with a boot control and a loader of one kind.
pub(crate) struct Device {
    pub(crate) kind: Kind,
    pub(crate) folder: TempDir,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    Grub,
    Uboot,
    Exec,
}

pub(crate) const KINDS: [Kind; 4] = [Kind::File, Kind::Grub, Kind::Uboot, Kind::Exec];

impl Device {
    /// A new device that runs in slot A.
    pub(crate) fn new(kind: Kind) -> Self {
        let device = Self { kind, folder: tempfile::tempdir().expect("a scratch folder") };
        match kind {
            Kind::File => drop(FileBoot::create(&device.path("boot"), Slot::A).expect("creates")),
            Kind::Grub => fs::write(device.path("boot"), block("saved_entry=0\ncordon=A\n")).expect("writes"),
            Kind::Uboot => {
                let copies = format!("# device offset size\n{0} 0x0 0x100\n{0} 0x100 0x100\n", "/dev/null");
                fs::write(device.path("config"), copies).expect("writes");
                let factory =
                    "cordon_active=A\ncordon_trial=B\nupgrade_available=0\nbootcount=0\nbootlimit=3\n";
                fs::write(device.path("boot"), factory).expect("writes");
                device.script("print", PRINT);
                device.script("set", SET);
            }
            Kind::Exec => {
                fs::write(device.path("boot"), "active=A trial=none left=0 booted=A").expect("writes");
                device.script("command", COMMAND);
            }
        }
        device.boot();
        device
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn control(&self) -> Box<dyn BootControl> {
        let (boot, told) = (self.path("boot"), self.path("cmdline"));
        let text = |name| self.path(name).display().to_string();
        match self.kind {
            Kind::File => Box::new(FileBoot::open(&boot).expect("opens")),
            Kind::Grub => Box::new(GrubBoot::new(boot, told)),
            Kind::Uboot => {
                Box::new(UbootBoot::new(self.path("config"), told).with([text("print"), text("set")]))
            }
            Kind::Exec => Box::new(ExecBoot::new(&text("command"))),
        }
    }

    pub(crate) fn shared(&self) -> SharedControl {
        struct Boxed(Box<dyn BootControl>);
        impl BootControl for Boxed {
            fn read(&mut self) -> Result<super::BootState, super::BootError> {
                self.0.read()
            }
            fn write(
                &mut self,
                asked: super::Change,
                after: &super::BootState,
            ) -> Result<(), super::BootError> {
                self.0.write(asked, after)
            }
        }
        Arc::new(Mutex::new(Boxed(self.control())))
    }

    /// The power comes on: the loader counts, chooses and starts.
    pub(crate) fn boot(&self) -> Slot {
        let started = match self.kind {
            Kind::File => return FileBoot::open(&self.path("boot")).expect("opens").boot().expect("boots"),
            Kind::Grub => self.boot_grub(),
            Kind::Uboot => self.boot_uboot(),
            Kind::Exec => self.boot_exec(),
        };
        self.tell(&format!("cordon.slot={started}"));
        started
    }

    /// What the kernel is told.
    pub(crate) fn tell(&self, words: &str) {
        fs::write(self.path("cmdline"), format!("BOOT_IMAGE=/vmlinuz ro {words} quiet\n")).expect("writes");
    }

    fn boot_grub(&self) -> Slot {
        let text = fs::read_to_string(self.path("boot")).expect("reads");
        let letter = text.split("cordon=").nth(1).expect("is there").chars().next().expect("is there");
        let (next, started) = match letter {
            '3' => ('2', Slot::B),
            '2' => ('1', Slot::B),
            '1' => ('0', Slot::B),
            'd' => ('c', Slot::A),
            'c' => ('b', Slot::A),
            'b' => ('a', Slot::A),
            'A' | '0' => (letter, Slot::A),
            'B' | 'a' => (letter, Slot::B),
            other => panic!("the script does not know {other}"),
        };
        let counted = text.replace(&format!("cordon={letter}"), &format!("cordon={next}"));
        fs::write(self.path("boot"), counted).expect("writes");
        started
    }

    /// As with `CONFIG_BOOTCOUNT_ENV`: counts while an upgrade is available, beyond the limit takes `altbootcmd`.
    fn boot_uboot(&self) -> Slot {
        let named = |name| self.environment(name);
        let slot = |name| if named(name) == "A" { Slot::A } else { Slot::B };
        if named("upgrade_available") != "1" {
            return slot("cordon_active");
        }
        let [count, limit] =
            ["bootcount", "bootlimit"].map(|name| named(name).parse::<u32>().expect("a number"));
        let text = fs::read_to_string(self.path("boot")).expect("reads");
        let counted = text.replace(&format!("bootcount={count}"), &format!("bootcount={}", count + 1));
        fs::write(self.path("boot"), counted).expect("writes");
        slot(if count + 1 > limit { "cordon_active" } else { "cordon_trial" })
    }

    pub(crate) fn environment(&self, name: &str) -> String {
        let text = fs::read_to_string(self.path("boot")).expect("reads");
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("{name}=")).map(str::to_owned));
        line.expect("is there")
    }

    fn boot_exec(&self) -> Slot {
        let path = self.path("boot");
        let mut control = self.control();
        let (slot, next) = super::choose(&control.read().unwrap_or_else(|error| panic!("{error}")));
        let trial = next.trial.map_or("none".to_owned(), |slot| slot.to_string());
        let text = format!("active={} trial={trial} left={} booted={slot}", next.active, next.attempts_left);
        fs::write(path, text).expect("writes");
        slot
    }

    pub(crate) fn script(&self, name: &str, text: &str) {
        write_script(&self.path(name), &text.replace("BOOT", &self.path("boot").display().to_string()));
    }
}

/// An environment block as `grub-editenv` makes it.
pub(crate) fn block(variables: &str) -> String {
    format!("{:#<1024}", format!("# GRUB Environment Block\n{variables}"))
}

fn write_script(path: &Path, text: &str) {
    crate::program::write_program(path, &format!("#!/bin/sh\nset -e\n{text}"));
}

/// `fw_printenv -c CONFIG NAME…` over a plain file.
const PRINT: &str = "shift 2\nfor name; do grep \"^$name=\" BOOT; done\n";
/// `fw_setenv -c CONFIG NAME VALUE`; with a file `fuse` beside it, so many more calls work and then none.
const SET: &str = r#"
if [ -e "BOOT.fuse" ]; then
    left=$(cat "BOOT.fuse"); [ "$left" -gt 0 ] || exit 1; echo $((left - 1)) > "BOOT.fuse"
fi
{ grep -v "^$3=" BOOT; echo "$3=$4"; } > BOOT.new
mv BOOT.new BOOT
"#;
/// A maker's command over one line of text.
const COMMAND: &str = r#"

for word in $(cat BOOT); do eval "$word"; done
case "$1" in
state) cat BOOT; exit ;;
arm) trial=$2 left=$3 ;;
disarm) trial=none left=0 ;;
confirm|rollback) active=$2 trial=none left=0 ;;
*) exit 2 ;;
esac
echo "active=$active trial=$trial left=$left booted=$booted" > BOOT.new
mv BOOT.new BOOT
"#;

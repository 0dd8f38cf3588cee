//! The packages in a fresh Debian: installed, used as an administrator and a device would, purged.
//!
//! The system is a folder that debootstrap filled, entered with chroot, so processes and network are this machine's: servers
//! listen on 127.0.0.1 at free ports and are ended by their process id. What dpkg leaves behind is named; only the two
//! folders of state may stay, for a fleet's audit log and a device's floor outlive a package.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail, ensure};

use super::{PACKAGES, told};
use crate::{ports, program, skip};

/// The suite that is installed into.
const SUITE: &str = "bookworm";
/// What the packages need beside a minimal system.
const BESIDE: &str = "--include=adduser,init-system-helpers,ca-certificates";
/// What may stay after a purge, and why.
const STAYS: [&str; 2] = ["/var/lib/cordon", "/var/lib/cordon-server"];
/// How often a server is asked whether it is ready.
const LOOKS: u32 = 300;
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(100);

/// A system below a folder.
struct System {
    root: PathBuf,
    /// Whether `/proc` was mounted here, and has to go again.
    proc_is_ours: bool,
}

/// A server in it, ended with its owner.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for System {
    fn drop(&mut self) {
        if self.proc_is_ours {
            let _ = program::program("umount").arg(self.root.join("proc")).status();
        }
    }
}

/// Installs, uses and purges the packages in a system below `folder`.
pub(super) fn run(folder: &Path, packages: &[PathBuf]) -> anyhow::Result<()> {
    if !skip::require_root("the packages in a fresh Debian") {
        return Ok(());
    }
    let Some(mut system) = System::fresh(folder)? else { return Ok(()) };
    system.mount_proc()?;
    fs::write(system.root.join("etc/hosts"), "127.0.0.1 localhost\n")?;
    for package in packages {
        let name = package.file_name().context("a file")?;
        fs::copy(package, system.root.join("tmp").join(name))?;
    }
    system.told(["sh", "-c", "dpkg --install /tmp/*.deb"])?;
    for (package, name) in PACKAGES {
        println!("installed {package}: {}", system.told([name, "--version"])?.trim());
        let page = if package == "cordon-ctl" { "cordonctl" } else { package };
        ensure!(system.has(&format!("usr/share/man/man1/{page}.1.gz")), "{page} has no manual page");
    }
    use_it(&system)?;
    let names: Vec<&str> = PACKAGES.iter().map(|(package, _)| *package).collect();
    system.told(["dpkg", "--purge"].into_iter().chain(names))?;
    system.is_clean()
}

/// What README and OPERATE say: lay a server, start it, enrol a device, look.
fn use_it(system: &System) -> anyhow::Result<()> {
    let dir = "/var/lib/cordon-server";
    let as_server = ["setpriv", "--reuid=cordon-server", "--regid=cordon-server", "--clear-groups"];
    let init = ["cordon-server", "init", "--dir", dir, "--host", "localhost", "--admin-token-file"];
    let token = "/var/lib/cordon-server/admin.token";
    system.told(as_server.into_iter().chain(init).chain([token]))?;
    let [console, device, enrolment] = {
        let first = ports::free_row(Ipv4Addr::LOCALHOST, 3)?;
        [first, first + 1, first + 2].map(|port| format!("127.0.0.1:{port}"))
    };
    let sets = [
        format!("--set=operator.listen={console}"),
        format!("--set=device.listen={device}"),
        format!("--set=enrolment.listen={enrolment}"),
    ];
    let config = format!("{dir}/cordon.toml");
    let serve = ["cordon-server", "serve", "--config", &config, "--print-sign-in"];
    let mut server = system.command(as_server.into_iter().chain(serve));
    server
        .args(sets)
        .stdout(Stdio::from(fs::File::create(system.root.join("tmp/said"))?))
        .stderr(Stdio::null());
    let _server = Running(server.spawn()?);
    let url = format!("http://{console}");
    await_ready(&url)?;
    let page = fetch(&url)?;
    ensure!(page.contains("<html") && page.contains("Cordon"), "the console answered {page:.200}");
    println!("the console answers at {url}");

    let token = fs::read_to_string(system.root.join(token.trim_start_matches('/')))?;
    let desk = system.root.join("root/desk");
    fs::create_dir_all(&desk)?;
    fs::write(desk.join("token"), token)?;
    program::program("chmod").arg("600").arg(desk.join("token")).status()?;
    fs::copy(system.root.join("var/lib/cordon-server/director-online-keys.json"), desk.join("online.json"))?;
    at_the_desk(system, &url)?;
    let join = desk_says(
        system,
        &url,
        "tokens create --model Kiosk --serial K-1 --director-root director/1.root.json",
    )?;
    fs::write(system.root.join("tmp/join"), join)?;
    let hardware =
        "\nhardware = { manufacturer = \"Own\", model = \"Kiosk\", revision = \"A\", serial = \"K-1\" }\n";
    let settings = system.root.join("etc/cordon/agent.toml");
    fs::write(&settings, fs::read_to_string(&settings)? + hardware)?;
    // The user and the one right that the unit gives.
    let as_agent = "setpriv --reuid=cordon-agent --regid=cordon-agent --clear-groups --inh-caps=+net_raw \
                    --ambient-caps=+net_raw cordon-agent";
    let as_agent = as_agent.split_ascii_whitespace().collect::<Vec<_>>();
    system.told(as_agent.iter().copied().chain(["enrol", "--with", "/tmp/join"]))?;
    system.told(as_agent.iter().copied().chain(["run", "--once"]))?;
    let status = system.told(as_agent.iter().copied().chain(["status"]))?;
    ensure!(status.contains("certificate until"), "the agent says of itself: {status}");
    println!("{status}");
    let devices = desk_says(system, &url, "devices list")?;
    ensure!(devices.contains("K-1"), "the server knows no such device: {devices}");
    println!("{devices}");
    Ok(())
}

/// The owner's director, as the first steps of the README make it.
fn at_the_desk(system: &System, url: &str) -> anyhow::Result<()> {
    let people = ["root", "targets", "orders", "content"];
    let mut init = "repo init --director --out director --online-keys online.json".to_owned();
    for (role, which) in people.iter().flat_map(|role| ["1", "2"].map(|which| (role, which))) {
        desk_says(system, url, &format!("keys generate --out {role}-{which}.pem"))?;
        init.push_str(&format!(" --{role}-key {role}-{which}.pem"));
    }
    desk_says(system, url, &init)?;
    desk_says(system, url, "repo publish --director director").map(drop)
}

/// What `cordonctl` prints in root's folder of keys.
fn desk_says(system: &System, url: &str, command: &str) -> anyhow::Result<String> {
    let line = format!("cd ~root/desk && cordonctl --yes --server {url} --token-file token {command}");
    system.told(["sh", "-c", &line])
}

/// Waits until a server answers that it is ready.
fn await_ready(url: &str) -> anyhow::Result<()> {
    for _ in 0..LOOKS {
        if fetch(&format!("{url}/readyz")).is_ok() {
            return Ok(());
        }
        std::thread::sleep(PAUSE);
    }
    bail!("the server is not ready after {} s", (PAUSE * LOOKS).as_secs())
}

/// A page, by curl; an error for every answer that is none.
fn fetch(url: &str) -> anyhow::Result<String> {
    let mut curl = program::program("curl");
    curl.args(["--silent", "--show-error", "--fail", "--location", "--max-time", "10", url]);
    told(curl)
}

impl System {
    /// A minimal Debian below the folder, filled once and copied for each trial; `None`, said, where it cannot be had.
    fn fresh(folder: &Path) -> anyhow::Result<Option<Self>> {
        let Some(debootstrap) = skip::require_package("debootstrap") else { return Ok(None) };
        let (base, root) = (folder.join(SUITE), folder.join("trial"));
        if !base.join("usr/bin/dpkg").exists() {
            let half = folder.join("half");
            for left in [&half, &base] {
                program::program("rm").arg("-rf").arg(left).status()?;
            }
            fs::create_dir_all(folder)?;
            let mut fill = program::program(debootstrap);
            fill.args(["--variant=minbase", BESIDE, SUITE]).arg(&half).arg(mirror()?);
            if let Err(error) = told(fill) {
                skip::skip(&format!("the packages in a fresh Debian: debootstrap: {error:#}"));
                return Ok(None);
            }
            fs::rename(&half, &base)?;
        }
        program::program("rm").arg("-rf").arg(&root).status()?;
        let copied = program::program("cp").arg("-a").arg(&base).arg(&root).status()?;
        ensure!(copied.success(), "{} cannot be copied", base.display());
        Ok(Some(Self { root, proc_is_ours: false }))
    }

    fn mount_proc(&mut self) -> anyhow::Result<()> {
        let mounted =
            program::program("mount").args(["-t", "proc", "proc"]).arg(self.root.join("proc")).status()?;
        ensure!(mounted.success(), "/proc cannot be mounted below {}", self.root.display());
        self.proc_is_ours = true;
        Ok(())
    }

    fn command<'a>(&self, words: impl IntoIterator<Item = &'a str>) -> Command {
        let mut command = program::program("chroot");
        command.arg(&self.root).args(words).env_clear();
        command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("DEBIAN_FRONTEND", "noninteractive");
        command
    }

    fn told<'a>(&self, words: impl IntoIterator<Item = &'a str>) -> anyhow::Result<String> {
        told(self.command(words))
    }

    fn has(&self, path: &str) -> bool {
        self.root.join(path).exists()
    }

    /// Nothing of ours is left but what may stay.
    fn is_clean(&self) -> anyhow::Result<()> {
        let ours =
            "find / -xdev ( -path /proc -o -path /tmp -o -path /root ) -prune -o -iname *cordon* -print";
        let found = self.told(ours.split(' '))?;
        let left: Vec<&str> =
            found.lines().filter(|path| !STAYS.iter().any(|stays| path.starts_with(stays))).collect();
        if !left.is_empty() {
            bail!("left behind after the purge: {}", left.join(", "));
        }
        println!("purged; {} stay, as they are meant to", STAYS.join(" and "));
        Ok(())
    }
}

/// The mirror that this machine's own packages come from.
fn mirror() -> anyhow::Result<String> {
    let mut apt = program::program("apt-get");
    apt.args(["indextargets", "--format", "$(SITE) $(CODENAME)"]);
    let sites = told(apt)?;
    let site = sites.lines().find_map(|line| line.strip_suffix(SUITE).map(str::trim));
    site.map(str::to_owned).with_context(|| format!("apt knows no mirror of {SUITE}"))
}

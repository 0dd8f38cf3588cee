//! Security tokens for tests: SoftHSM, and a TPM that swtpm plays, behind its resource manager and tpm2-pkcs11.
//!
//! A module finds its token by the environment, which a process can only be given at its start; so whoever speaks to
//! one of these runs as a child with [`Token::environment`]. All processes and files go away with the value.

use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail, ensure};

use crate::ports;
use crate::program::program;
use crate::skip::{require_file, require_package};

/// The PIN of every token here.
pub const PIN: &str = "1234";
/// Where Debian puts SoftHSM's module.
const SOFT_HSM: &str = "/usr/lib/softhsm/libsofthsm2.so";
/// Where Debian puts tpm2-pkcs11's module.
const TPM2_PKCS11: &str = "/usr/lib/x86_64-linux-gnu/libtpm2_pkcs11.so.1";
/// Looks, a quarter of a second apart, until something has not started.
const LOOKS: u32 = 240;

/// A token, how it is named, and what keeps it alive.
#[derive(Debug)]
pub struct Token {
    setting: String,
    environment: Vec<(&'static str, String)>,
    processes: Vec<Child>,
    resource_manager: Option<Vec<String>>,
}

impl Token {
    /// No token at all: the key in a file of the agent's own.
    #[must_use]
    pub fn none() -> Self {
        Self {
            setting: "file".to_owned(),
            environment: Vec::new(),
            processes: Vec::new(),
            resource_manager: None,
        }
    }

    /// A token of SoftHSM in `folder`; `None` after saying that the test is skipped.
    pub fn soft_hsm(folder: &Path) -> anyhow::Result<Option<Self>> {
        let Some(module) = require_file(SOFT_HSM, "softhsm2") else { return Ok(None) };
        let Some(tool) = require_package("softhsm2-util") else { return Ok(None) };
        let (tokens, config) = (folder.join("tokens"), folder.join("softhsm2.conf"));
        std::fs::create_dir_all(&tokens)?;
        std::fs::write(&config, format!("directories.tokendir = {}\nlog.level = ERROR\n", tokens.display()))?;
        let token = Self {
            setting: setting(&module, folder)?,
            environment: vec![("SOFTHSM2_CONF", config.display().to_string())],
            processes: Vec::new(),
            resource_manager: None,
        };
        let words = ["--init-token", "--free", "--label", "dev", "--pin", PIN, "--so-pin", "5678"];
        token.run(program(tool).args(words))?;
        Ok(Some(token))
    }

    /// A token in a TPM that keeps its state in `folder`; `None` after saying that the test is skipped.
    pub fn tpm(folder: &Path) -> anyhow::Result<Option<Self>> {
        let Some(module) = require_file(TPM2_PKCS11, "libtpm2-pkcs11-1") else { return Ok(None) };
        let [Some(swtpm), Some(bus), Some(manager), Some(tool)] =
            ["swtpm", "dbus-daemon", "tpm2-abrmd", "tpm2_ptool"].map(require_package)
        else {
            return Ok(None);
        };
        let (state, store, socket) = (folder.join("tpm"), folder.join("store"), folder.join("bus"));
        std::fs::create_dir_all(&state)?;
        std::fs::create_dir_all(&store)?;
        let reached = "tabrmd:bus_type=session".to_owned();
        let mut token = Self {
            setting: setting(&module, folder)?,
            environment: vec![
                ("DBUS_SESSION_BUS_ADDRESS", format!("unix:path={}", socket.display())),
                ("TPM2_PKCS11_STORE", store.display().to_string()),
                ("TPM2_PKCS11_TCTI", reached.clone()),
                ("TPM2TOOLS_TCTI", reached),
            ],
            processes: Vec::new(),
            resource_manager: None,
        };
        let port = ports::free_row(Ipv4Addr::LOCALHOST, 2)?;
        let mut chip = program(swtpm);
        chip.args(["socket", "--tpm2", "--flags", "not-need-init,startup-clear", "--tpmstate"])
            .arg(format!("dir={}", state.display()))
            .args(["--server", &format!("type=tcp,port={port},bindaddr=127.0.0.1")])
            .args(["--ctrl", &format!("type=tcp,port={},bindaddr=127.0.0.1", port + 1)]);
        token.keep(&mut chip)?;
        let address = format!("unix:path={}", socket.display());
        token.keep(program(bus).args(["--session", "--nofork", "--nopidfile", "--address", &address]))?;
        until("the TPM and its bus", || {
            TcpStream::connect(("127.0.0.1", port + 1)).is_ok() && socket.exists()
        })?;
        let chip = format!("--tcti=swtpm:host=127.0.0.1,port={port}");
        let words = ["--allow-root", "--session", &chip].map(ToOwned::to_owned);
        token.resource_manager = Some(std::iter::once(manager.display().to_string()).chain(words).collect());
        token.start_manager()?;
        let store = store.display().to_string();
        until("the resource manager", || token.run(program(&tool).args(["init", "--path", &store])).is_ok())?;
        let words = ["addtoken", "--pid=1", "--label=dev", "--sopin=5678", "--path", &store];
        token.run(program(&tool).args(words).arg(format!("--userpin={PIN}")))?;
        Ok(Some(token))
    }

    /// What stands behind `key` in the agent's configuration.
    #[must_use]
    pub fn setting(&self) -> &str {
        &self.setting
    }

    /// What a process that speaks to the token has to find in its environment.
    #[must_use]
    pub fn environment(&self) -> &[(&'static str, String)] {
        &self.environment
    }

    /// Restarts what stands between the TPM and its users, as an upgrade of the system would. Nothing for SoftHSM.
    pub fn restart(&mut self) -> anyhow::Result<()> {
        if self.resource_manager.is_some() {
            let mut manager = self.processes.pop().context("a resource manager")?;
            manager.kill()?;
            manager.wait()?;
            self.start_manager()?;
            // One of the programs that tpm2_ptool itself starts.
            until("the resource manager", || {
                self.run(program("tpm2_getcap").arg("properties-fixed")).is_ok()
            })?;
        }
        Ok(())
    }

    fn start_manager(&mut self) -> anyhow::Result<()> {
        let line = self.resource_manager.clone().context("a TPM")?;
        let (manager, words) = line.split_first().context("a program")?;
        self.keep(program(manager).args(words))
    }

    fn keep(&mut self, command: &mut Command) -> anyhow::Result<()> {
        let quiet = Stdio::null;
        command.envs(self.environment.iter().cloned()).stdin(quiet()).stdout(quiet()).stderr(quiet());
        self.processes.push(command.spawn()?);
        Ok(())
    }

    fn run(&self, command: &mut Command) -> anyhow::Result<()> {
        let done = command.envs(self.environment.iter().cloned()).stdin(Stdio::null()).output()?;
        let said = String::from_utf8_lossy(&done.stderr);
        ensure!(done.status.success(), "{command:?}: {}", said.trim());
        Ok(())
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        while let Some(mut process) = self.processes.pop() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

/// The URI of the token, with a fresh file of its PIN.
fn setting(module: &Path, folder: &Path) -> anyhow::Result<String> {
    let pin: PathBuf = folder.join("pin");
    std::fs::write(&pin, format!("{PIN}\n"))?;
    std::fs::set_permissions(&pin, std::fs::Permissions::from_mode(0o600))?;
    Ok(format!("pkcs11:token=dev?module-path={}&pin-source=file:{}", module.display(), pin.display()))
}

fn until(what: &str, mut holds: impl FnMut() -> bool) -> anyhow::Result<()> {
    for _ in 0..LOOKS {
        if holds() {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(250));
    }
    bail!("{what} did not start within {} s", LOOKS / 4)
}

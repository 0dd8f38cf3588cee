//! A hospital's HTTP proxy, played by tinyproxy: it opens tunnels for those who know its name and password.
//!
//! It listens on one address, keeps a log that tests count tunnels in, and ends with the value.

use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};

use crate::ports;
use crate::program::program;
use crate::skip::require_package;

/// A running proxy.
#[derive(Debug)]
pub struct HttpProxy {
    child: Child,
    log: PathBuf,
    address: (Ipv4Addr, u16),
}

impl HttpProxy {
    /// Starts one on a free port for whoever knows `credentials`; `None` after saying that the test is skipped.
    pub fn start(
        folder: &Path,
        host: Ipv4Addr,
        (name, password): (&str, &str),
    ) -> anyhow::Result<Option<Self>> {
        let Some(tinyproxy) = require_package("tinyproxy") else { return Ok(None) };
        let port = ports::free(host)?;
        let (log, config) = (folder.join("proxy.log"), folder.join("proxy.conf"));
        let text = format!(
            "Port {port}\nListen {host}\nTimeout 600\nMaxClients 100\nLogFile \"{}\"\nLogLevel Connect\n\
             BasicAuth {name} {password}\n",
            log.display()
        );
        std::fs::write(&config, text)?;
        let quiet = Stdio::null;
        let child = program(tinyproxy)
            .args(["-d", "-c"])
            .arg(&config)
            .stdin(quiet())
            .stdout(quiet())
            .stderr(quiet())
            .spawn()?;
        let proxy = Self { child, log, address: (host, port) };
        for _ in 0..2400 {
            if TcpStream::connect(proxy.address).is_ok() {
                return Ok(Some(proxy));
            }
            std::thread::sleep(Duration::from_millis(25));
        }
        bail!("tinyproxy did not listen within 60 s: {}", proxy.said().unwrap_or_default());
    }

    /// `http://HOST:PORT`.
    #[must_use]
    pub fn url(&self) -> String {
        let (host, port) = self.address;
        format!("http://{host}:{port}")
    }

    /// Tunnels that were asked for.
    pub fn tunnels(&self) -> anyhow::Result<usize> {
        Ok(self
            .said()?
            .lines()
            .filter(|line| line.contains("Request (file descriptor") && line.contains("CONNECT "))
            .count())
    }

    /// Its log.
    pub fn said(&self) -> anyhow::Result<String> {
        std::fs::read_to_string(&self.log).with_context(|| self.log.display().to_string())
    }
}

impl Drop for HttpProxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

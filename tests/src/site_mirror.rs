//! A site's mirror as `docs/mirror.md` describes it: nginx over a folder with `targets/`, on a loopback port.
//!
//! It needs nginx, which a caller may not have; it decides nothing and ends with its owner. Read next: docs/mirror.md.

use std::fs;
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::thread::sleep;
use std::time::Duration;

use anyhow::bail;

use crate::ports;
use crate::program::program;

/// Between two looks whether nginx listens, and how many of them.
const LOOK: Duration = Duration::from_millis(50);
const LOOKS: u32 = 1200;

/// A running nginx.
pub struct SiteMirror {
    child: Child,
    url: String,
    log: PathBuf,
}

impl SiteMirror {
    /// Serves `folder`; its own files are in `scratch`. It listens when this returns.
    pub fn start(nginx: &Path, scratch: &Path, folder: &Path) -> anyhow::Result<Self> {
        let port = ports::free(Ipv4Addr::LOCALHOST)?;
        let log = scratch.join("access.log");
        let text = format!(
            "daemon off; master_process off; pid {0}/nginx.pid; error_log {0}/nginx.log;\nevents {{}}\nhttp {{ \
             access_log {0}/access.log; client_body_temp_path {0}/t1; proxy_temp_path {0}/t2; fastcgi_temp_path {0}/t3; \
             uwsgi_temp_path {0}/t4; scgi_temp_path {0}/t5;\nserver {{ listen 127.0.0.1:{port}; root {1}; \
             location /targets/ {{ }} location / {{ return 404; }} }} }}\n",
            scratch.display(),
            folder.display()
        );
        fs::write(scratch.join("nginx.conf"), text)?;
        let mut command = program(nginx);
        command.arg("-c").arg(scratch.join("nginx.conf")).stdin(Stdio::null()).stderr(Stdio::inherit());
        let mirror = Self { child: command.spawn()?, url: format!("http://127.0.0.1:{port}"), log };
        for _ in 0..LOOKS {
            if TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok() {
                return Ok(mirror);
            }
            sleep(LOOK);
        }
        bail!("nginx does not listen at port {port}")
    }

    /// What a device is told of it.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Its log, a line for each request.
    pub fn log(&self) -> anyhow::Result<String> {
        Ok(fs::read_to_string(&self.log)?)
    }
}

impl Drop for SiteMirror {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

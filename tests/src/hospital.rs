//! An owner with its server, its people's keys and its makers, for the demo, the benches and the end-to-end tests.
//!
//! The server is a process of this very program (`server` sub-command), so it is the same `main` that ships. People's
//! work goes through `cordonctl`'s own command line, with fresh keys in a folder of their own; nothing here reaches
//! into a running server but through its planes. Read next: [`server`] for its process, `demo` for the story.

use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::program::program;

pub mod server;

pub use server::{Ready, Server};

/// The owner and everything it holds.
#[derive(Debug)]
pub struct Hospital {
    program: PathBuf,
    folder: PathBuf,
    server: Server,
}

/// A maker's release as the demo needs it.
#[derive(Clone, Debug)]
pub struct Release<'a> {
    /// The maker's repository.
    pub repository: &'a str,
    /// The release, such as `vp-3/4.2.2`.
    pub name: &'a str,
    /// The model.
    pub model: &'a str,
    /// Its hardware revision.
    pub revision: &'a str,
    /// Its number.
    pub counter: u64,
    /// Who says that the device is not in use.
    pub interlock: &'a str,
    /// The image.
    pub image: &'a Path,
}

impl<'a> Release<'a> {
    /// The pump VP-3's release 4.2.2 in the repository `halden`; its application has a say before a reboot.
    #[must_use]
    pub fn pump(image: &'a Path) -> Self {
        Self {
            repository: "halden",
            name: "vp-3/4.2.2",
            model: "VP-3",
            revision: "C",
            counter: 422,
            interlock: "application",
            image,
        }
    }
}

impl Hospital {
    /// Lays a server, makes the owner's keys, signs the director repository, starts and publishes. `sim` is the
    /// `cordon-sim` program, whose hidden doors are the server and the agent.
    pub async fn open(sim: &Path, folder: &Path, settings: &[&str]) -> anyhow::Result<Self> {
        let mut hospital = Self::laid(sim, folder, settings)?;
        hospital.owner_ceremony().await?;
        hospital.start(settings).await?;
        let director = hospital.path("director");
        hospital.ctl(&["repo", "publish", "--director", &director]).await?;
        Ok(hospital)
    }

    /// A server that was laid and does not run yet, and nobody's keys.
    pub fn laid(sim: &Path, folder: &Path, settings: &[&str]) -> anyhow::Result<Self> {
        std::fs::create_dir_all(folder.join("keys"))?;
        let mut lay = program(sim);
        lay.args(["server", "init", "--host", "127.0.0.1", "--dir"])
            .arg(folder.join("server"))
            .arg("--admin-token-file")
            .arg(folder.join("admin.token"));
        // The first token goes where the server will look for it.
        if let Some(store) = settings.iter().find_map(|setting| setting.strip_prefix("store=")) {
            lay.args(["--store", store.trim_matches('"')]);
        }
        let laid = lay.output()?;
        ensure!(laid.status.success(), "cordon-server init: {}", String::from_utf8_lossy(&laid.stderr));
        let server = Server::new(sim, folder, server::FIRST);
        Ok(Self { program: sim.to_owned(), folder: folder.to_owned(), server })
    }

    async fn owner_ceremony(&self) -> anyhow::Result<()> {
        let names = ["root-1", "root-2", "root-3", "targets-1", "targets-2", "targets-3"];
        let names = names.into_iter().chain(["orders-1", "orders-2", "content-1", "content-2"]);
        for name in names {
            self.ctl(&["keys", "generate", "--out", &self.key(name)]).await?;
        }
        let online: Value =
            serde_json::from_slice(&std::fs::read(self.folder.join("server/director-online-keys.json"))?)?;
        let public = |role: &str| {
            let text = online.pointer(&format!("/{role}/keyval/public")).and_then(Value::as_str);
            text.map(ToOwned::to_owned).with_context(|| format!("init printed no {role} key"))
        };
        let (snapshot, timestamp) = (public("snapshot")?, public("timestamp")?);
        let mut arguments = vec!["repo".to_owned(), "init".to_owned(), "--director".to_owned()];
        arguments.extend(["--out".to_owned(), self.path("director")]);
        for (role, count) in [("root", 3), ("targets", 3), ("orders", 2), ("content", 2)] {
            for number in 1..=count {
                arguments.extend([format!("--{role}-key"), self.key(&format!("{role}-{number}"))]);
            }
        }
        arguments.extend(["--snapshot-key".to_owned(), snapshot, "--timestamp-key".to_owned(), timestamp]);
        self.ctl_owned(arguments).await?;
        Ok(())
    }

    /// Starts the server: on free ports the first time, on the same ones after that.
    pub async fn start(&mut self, settings: &[&str]) -> anyhow::Result<()> {
        self.server.start(settings).await
    }

    /// Ends the server by SIGTERM and waits for it to drain.
    pub async fn stop(&mut self) -> anyhow::Result<()> {
        self.server.stop().await
    }

    /// Ends the server without a word.
    pub fn kill(&mut self) {
        self.server.kill();
    }

    /// Where the planes listen.
    #[must_use]
    pub fn ready(&self) -> &Ready {
        self.server.ready()
    }

    /// The program behind all processes.
    #[must_use]
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// Reads the operator API.
    pub async fn api(&self, path: &str) -> anyhow::Result<Value> {
        let token = std::fs::read_to_string(self.folder.join("admin.token"))?;
        http_get(self.server.ready().operator, path, token.trim()).await
    }

    /// What the server counts under this name.
    pub async fn metric(&self, name: &str) -> anyhow::Result<f64> {
        let token = std::fs::read_to_string(self.folder.join("admin.token"))?;
        let text = http_text(self.server.ready().operator, "/metrics", token.trim()).await?;
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        Ok(line.with_context(|| format!("nothing is counted as {name}"))?.parse()?)
    }

    /// The folder of everything.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The one-time sign-in link that the server printed.
    pub fn sign_in_link(&self) -> anyhow::Result<String> {
        let said = self.server.said()?;
        let link = said.split_whitespace().find(|word| word.contains("/sign-in"));
        link.map(ToOwned::to_owned).context("the server printed no sign-in link")
    }

    /// Runs a command of `cordon-server` beside the running one, as its administrator would.
    pub fn server_command(&self, arguments: &[&str]) -> anyhow::Result<Output> {
        Ok(program(&self.program).arg("server").args(arguments).output()?)
    }

    fn path(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    /// The file of a key.
    #[must_use]
    pub fn key(&self, name: &str) -> String {
        self.folder.join("keys").join(format!("{name}.pem")).display().to_string()
    }

    /// Runs `cordonctl` against this server and returns its JSON.
    pub async fn ctl(&self, arguments: &[&str]) -> anyhow::Result<Value> {
        self.ctl_owned(arguments.iter().map(|argument| (*argument).to_owned()).collect()).await
    }

    async fn ctl_owned(&self, arguments: Vec<String>) -> anyhow::Result<Value> {
        let mut line =
            vec!["cordonctl".to_owned(), "--output".to_owned(), "json".to_owned(), "--yes".to_owned()];
        line.extend(["--server".to_owned(), format!("http://{}", self.server.ready().operator)]);
        line.extend(["--token-file".to_owned(), self.path("admin.token")]);
        line.extend(arguments);
        let shown = line.join(" ");
        // A thread of its own: commands that ask a server bring their own runtime.
        let (sender, receiver) = tokio::sync::oneshot::channel();
        std::thread::spawn(move || {
            let (mut out, mut err) = (Vec::new(), Vec::new());
            let status = cordonctl::run_with(line, &mut out, &mut err);
            let _ = sender.send((status, out, err));
        });
        let (status, out, err) = receiver.await.context("cordonctl panicked")?;
        ensure!(status == 0, "`{shown}` ended with {status}: {}", String::from_utf8_lossy(&err).trim());
        if out.trim_ascii().is_empty() { Ok(Value::Null) } else { Ok(serde_json::from_slice(&out)?) }
    }

    /// A maker's repository with keys of its own, published.
    pub async fn open_maker(&self, repository: &str, models: &[&str]) -> anyhow::Result<()> {
        self.open_maker_of(&[], repository, models).await
    }

    /// The same with keys of a kind that `keys generate` is asked for.
    pub async fn open_maker_of(
        &self,
        kind: &[&str],
        repository: &str,
        models: &[&str],
    ) -> anyhow::Result<()> {
        let names =
            ["root-1", "root-2", "targets-1", "targets-2", "model-1", "model-2", "snapshot", "timestamp"];
        for name in names {
            let file = self.key(&format!("{repository}-{name}"));
            self.ctl(&[&["keys", "generate", "--out", &file], kind].concat()).await?;
        }
        let maker_key = |name: &str| self.key(&format!("{repository}-{name}"));
        let mut arguments: Vec<String> =
            ["repo", "init", "--image", "--name", repository, "--out", &self.path(repository)]
                .map(Into::into)
                .into();
        for role in ["root", "targets", "model"] {
            for number in 1..=2 {
                arguments.extend([format!("--{role}-key"), maker_key(&format!("{role}-{number}"))]);
            }
        }
        for model in models {
            arguments.extend(["--model".to_owned(), (*model).to_owned()]);
        }
        arguments.extend(["--snapshot-key".to_owned(), maker_key("snapshot")]);
        arguments.extend(["--timestamp-key".to_owned(), maker_key("timestamp")]);
        self.ctl_owned(arguments).await?;
        Ok(())
    }

    /// The first root of a maker's repository, which its system images carry.
    #[must_use]
    pub fn maker_root(&self, repository: &str) -> PathBuf {
        self.folder.join(repository).join("1.root.json")
    }

    /// The maker signs a release and the owner imports it.
    pub async fn release(&self, release: &Release<'_>) -> anyhow::Result<()> {
        self.sign_release(release).await?;
        let folder = self.path(release.repository);
        self.ctl(&["repo", "publish", "--image", &folder, "--name", release.repository]).await?;
        Ok(())
    }

    /// Two people of the maker sign a release, and the repository is brought up to date.
    pub async fn sign_release(&self, release: &Release<'_>) -> anyhow::Result<()> {
        let maker_key = |name: &str| self.key(&format!("{}-{name}", release.repository));
        let counter = release.counter.to_string();
        let image = release.image.display().to_string();
        let folder = self.path(release.repository);
        let keys = ["model-1", "model-2", "snapshot", "timestamp"].map(maker_key);
        let [first, second, snapshot, timestamp] = &keys;
        self.ctl(&[
            "release",
            "sign",
            "--repository",
            &folder,
            "--release",
            release.name,
            "--image",
            &image,
            "--model",
            release.model,
            "--hardware",
            release.revision,
            "--counter",
            &counter,
            "--interlock",
            release.interlock,
            "--key",
            first,
            "--key",
            second,
            "--snapshot-key",
            snapshot,
            "--timestamp-key",
            timestamp,
        ])
        .await?;
        Ok(())
    }

    /// Two people sign one order for each list, and it is published.
    pub async fn order(&self, id: &str, release: &Release<'_>, lists: &[PathBuf]) -> anyhow::Result<Value> {
        let (director, image) = (self.path("director"), self.path(release.repository));
        let lists: Vec<String> = lists.iter().map(|list| list.display().to_string()).collect();
        let listed: Vec<&str> = lists.iter().flat_map(|list| ["--scope-list", list.as_str()]).collect();
        let (first, second) = (self.key("orders-1"), self.key("orders-2"));
        // One list for a release that asks its application first is a decision of its own.
        let whole: &[&str] = if lists.len() == 1 { &["--whole"] } else { &[] };
        let head = ["order", "sign", "--director", &director, "--image", &image];
        let fresh = [
            "--id",
            id,
            "--release",
            release.name,
            "--repository",
            release.repository,
            "--expires",
            "7d",
            "--window",
            "always",
            "--reason",
            "removes a flaw that is under attack",
            "--key",
            &first,
        ];
        self.ctl(&[head.as_slice(), &fresh, &listed, whole].concat()).await?;
        let added = self.ctl(&[head.as_slice(), &["--add", "--key", &second], &listed].concat()).await?;
        self.ctl(&["repo", "publish", "--director", &director]).await?;
        Ok(added)
    }

    /// Two people withdraw an order, and it is published. `repository` is any maker's folder, as the command asks.
    pub async fn withdraw(&self, id: &str, repository: &str) -> anyhow::Result<()> {
        let (director, image) = (self.path("director"), self.path(repository));
        let (first, second) = (self.key("orders-1"), self.key("orders-2"));
        let head = ["order", "sign", "--director", &director, "--image", &image];
        self.ctl(&[head.as_slice(), &["--withdraw", id, "--key", &first]].concat()).await?;
        self.ctl(&[head.as_slice(), &["--add", "--key", &second]].concat()).await?;
        self.ctl(&["repo", "publish", "--director", &director]).await?;
        Ok(())
    }

    /// An enrolment string for `count` devices of a model, or for one serial.
    pub async fn enrolment(&self, model: &str, place: &Place<'_>, who: Who<'_>) -> anyhow::Result<String> {
        let root = self.path("director/1.root.json");
        let count;
        let bound = match who {
            Who::Serial(serial) => ["--serial", serial],
            Who::Count(number) => {
                count = number.to_string();
                ["--count", &count]
            }
        };
        let asked = [
            "tokens",
            "create",
            "--model",
            model,
            "--site",
            place.site,
            "--ward",
            place.ward,
            "--kind",
            place.kind,
            "--director-root",
            &root,
        ];
        let answer = self.ctl(&[asked.as_slice(), &bound].concat()).await?;
        let text = answer.get("enrolment_string").and_then(Value::as_str);
        text.map(ToOwned::to_owned).context("no enrolment string in the answer")
    }
}

/// Where devices stand and what they are for.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The site.
    pub site: &'a str,
    /// The ward.
    pub ward: &'a str,
    /// The owner's word for their kind.
    pub kind: &'a str,
}

/// Whom a token lets in.
#[derive(Clone, Copy, Debug)]
pub enum Who<'a> {
    /// One device.
    Serial(&'a str),
    /// So many.
    Count(usize),
}

/// One GET over plain HTTP on loopback, for JSON.
async fn http_get(address: std::net::SocketAddr, path: &str, token: &str) -> anyhow::Result<Value> {
    Ok(serde_json::from_str(&http_text(address, path, token).await?)?)
}

/// One GET over plain HTTP on loopback.
async fn http_text(address: std::net::SocketAddr, path: &str, token: &str) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect(address).await.context("the operator plane does not answer")?;
    let head = format!(
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await?;
    let mut answer = Vec::new();
    timeout(Duration::from_secs(60), stream.read_to_end(&mut answer))
        .await
        .context("no answer within 60 s")??;
    let text = String::from_utf8_lossy(&answer);
    let (head, body) = text.split_once("\r\n\r\n").context("no HTTP answer")?;
    ensure!(head.starts_with("HTTP/1.1 200"), "{path}: {}: {body}", head.lines().next().unwrap_or_default());
    // Large answers come in chunks; the JSON is all that stands between the outermost brackets of each.
    let body = if head.to_ascii_lowercase().contains("transfer-encoding: chunked") {
        unchunk(body)
    } else {
        body.into()
    };
    Ok(body)
}

/// The body of an answer that came in chunks.
pub(crate) fn unchunk(mut rest: &str) -> String {
    let mut body = String::new();
    while let Some((size, after)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size.trim(), 16).unwrap_or(0);
        let (Some(piece), Some(next)) = (after.get(..size), after.get(size + 2..)) else { break };
        if size == 0 {
            break;
        }
        body += piece;
        rest = next;
    }
    body
}

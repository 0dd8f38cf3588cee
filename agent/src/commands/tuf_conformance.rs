//! `tuf-conformance`: the command line by which the TUF community's suite drives a client, over the library of the agent.
//!
//! `init` keeps a root that is trusted from then on, `refresh` brings the metadata up to date, `download` does so and
//! fetches files. The loops, the checks, the files on the disk and the HTTP exchange are the device's own; only limits
//! and clock differ, because no server tells the time here. It exits with 0 or 1, never with another status, and speaks
//! plain HTTP to this machine alone. `--metadata-url` and `--target-base-url` may be given several times: mirrors, asked
//! in turn. Read next: `cordon_proto::update::refresh`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, bail, ensure};
use cordon_proto::limits;
use cordon_proto::update::metadata::TargetFile;
use cordon_proto::update::{
    Ask, AtTargets, Effect, Freshness, Mirrors, Refresh, Rules, Search, Sizes, Source, Trusted, name,
};
use tokio::runtime::Runtime;

use crate::clock::{Clock, Floor, SystemClock, TrustedClock};
use crate::files::{self, FileError, Folder};
use crate::link::http;
use crate::run::tuf::is_loopback;
use crate::tls;
use crate::verifier::DeviceVerifier;

#[cfg(test)]
mod tests;

const WORD: &str = "tuf-conformance";
const USAGE: &str = "\
cordon-agent tuf-conformance --metadata-dir D init ROOT
cordon-agent tuf-conformance --metadata-dir D --metadata-url U refresh
cordon-agent tuf-conformance --metadata-dir D --metadata-url U --target-name N… --target-dir T --target-base-url B download
";
/// The trusted root's name, as `proto::update` names it.
const ROOT: &str = "root.json";
/// Bytes of the largest file kept among the metadata.
const FILE_BYTES: usize = limits::TUF_TARGETS_BYTES;
/// Bytes of a file that `download` fetches: it is held in memory.
const TARGET_BYTES: usize = 64 * 1024 * 1024;

/// What stands behind the word `tuf-conformance`, or everything again where another command is asked for.
pub(super) fn asked_for(args: impl IntoIterator<Item = OsString>) -> Result<Vec<OsString>, Vec<OsString>> {
    let mut args: Vec<OsString> = args.into_iter().collect();
    if args.first().is_none_or(|word| word != WORD) {
        return Err(args);
    }
    args.remove(0);
    Ok(args)
}

/// Runs one of the three commands: 0 if all of it went well, else 1.
pub(super) fn main_with(args: Vec<OsString>) -> ExitCode {
    match parse(args).map_err(anyhow::Error::from).and_then(|line| line.execute()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cordon-agent {WORD}: {}", super::told(&error));
            ExitCode::FAILURE
        }
    }
}

/// The command line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Line {
    act: Option<Act>,
    metadata_dir: Option<PathBuf>,
    metadata_urls: Vec<String>,
    target_names: Vec<String>,
    target_dir: Option<PathBuf>,
    target_urls: Vec<String>,
}

/// The three commands.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Act {
    Init(PathBuf),
    Refresh,
    Download,
}

fn parse(args: Vec<OsString>) -> Result<Line, lexopt::Error> {
    use lexopt::prelude::*;
    let mut parser = lexopt::Parser::from_args(args);
    let mut line = Line::default();
    while let Some(arg) = parser.next()? {
        match arg {
            Long("metadata-dir") => line.metadata_dir = Some(parser.value()?.into()),
            Long("metadata-url") => line.metadata_urls.push(parser.value()?.string()?),
            Long("target-name") => line.target_names.push(parser.value()?.string()?),
            Long("target-dir") => line.target_dir = Some(parser.value()?.into()),
            Long("target-base-url") => line.target_urls.push(parser.value()?.string()?),
            Value(word) if line.act.is_none() => {
                line.act = Some(match word.to_str() {
                    Some("init") => Act::Init(parser.value()?.into()),
                    Some("refresh") => Act::Refresh,
                    Some("download") => Act::Download,
                    Some(_) | None => return Err(format!("there is no command {word:?}\n{USAGE}").into()),
                });
            }
            arg => return Err(arg.unexpected()),
        }
    }
    Ok(line)
}

impl Line {
    fn execute(self) -> anyhow::Result<()> {
        let act = self.act.with_context(|| format!("a command is missing\n{USAGE}"))?;
        let folder = Folder::open(self.metadata_dir.context("--metadata-dir is missing")?)?;
        if let Act::Init(root) = &act {
            return init(&folder, &files::read_file(root, limits::TUF_ROOT_BYTES)?);
        }
        let clock = Arc::new(SystemClock::new());
        // TUF 5.1: one instant for the whole command. No floor: the suite plays days of the past.
        let rules = Rules {
            verifier: &DeviceVerifier,
            now: clock.now().seconds(),
            sizes: Sizes::CONFORMANCE,
            freshness: Freshness::Own,
        };
        let wire = Wire::new(TrustedClock::new(clock, Floor::new(None)))?;
        let client =
            Client { wire: &wire, folder, rules, mirrors: places(self.metadata_urls, "--metadata-url")? };
        let (trusted, mut mirrors) = client.refresh()?;
        if act == Act::Refresh {
            return Ok(());
        }
        let targets = Targets {
            wire: &wire,
            folder: Folder::open(self.target_dir.context("--target-dir is missing")?)?,
            mirrors: places(self.target_urls, "--target-base-url")?,
        };
        ensure!(!self.target_names.is_empty(), "--target-name is missing");
        for path in &self.target_names {
            let found = client.find(&trusted, path, &mut mirrors)?;
            let file = found.with_context(|| format!("{path:?}: no role that may list it lists it"))?;
            targets.fetch(path, &file, trusted.root().consistent_snapshot)?;
        }
        Ok(())
    }
}

/// Keeps the root that is trusted from now on. Whether it is any good is said by the first refresh, before any request.
fn init(folder: &Folder, root: &[u8]) -> anyhow::Result<()> {
    Ok(folder.write(ROOT, root)?)
}

/// The URLs of one option, each with a slash at its end and on this machine.
fn places(urls: Vec<String>, option: &str) -> anyhow::Result<Vec<String>> {
    ensure!(!urls.is_empty(), "{option} is missing");
    urls.into_iter()
        .map(|url| {
            let parsed = reqwest::Url::parse(&url).with_context(|| format!("{option}: {url:?} is no URL"))?;
            let host = parsed.host_str().unwrap_or_default().trim_matches(['[', ']']);
            ensure!(
                parsed.scheme() == "http" && is_loopback(host),
                "{option}: {url:?} is not plain HTTP on this machine, and nothing else is spoken here"
            );
            Ok(if url.ends_with('/') { url } else { url + "/" })
        })
        .collect()
}

/// Plain HTTP on this machine.
struct Wire {
    http: reqwest::Client,
    runtime: Runtime,
}

impl Wire {
    fn new(clock: TrustedClock) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Self { http: tls::plain_client(clock)?, runtime })
    }

    /// A file below `base`, at most `limit` bytes; `None` where there is none. Nothing is encoded here.
    fn get(&self, (base, path): (&str, &str), limit: usize) -> anyhow::Result<Option<Vec<u8>>> {
        let request = self.http.get(format!("{base}{path}"));
        Ok(self.runtime.block_on(http::get(request, http::QUICK, limit))?)
    }
}

/// The metadata of one repository, on its mirrors and on the disk.
struct Client<'a> {
    wire: &'a Wire,
    folder: Folder,
    rules: Rules<'a>,
    mirrors: Vec<String>,
}

impl Client<'_> {
    /// Follows the repository to its newest metadata, and says which mirror served it.
    fn refresh(&self) -> anyhow::Result<(Trusted<AtTargets>, Mirrors)> {
        let mut mirrors = Mirrors::new(self.mirrors.len());
        let trusted = in_turn(&self.mirrors, &mut mirrors, |url| {
            let root =
                self.folder.read(ROOT, FILE_BYTES)?.context("there is no trusted root; run init first")?;
            Refresh::run(&root, &self.rules, &mut At { client: self, url })
        })?;
        Ok((trusted, mirrors))
    }

    fn find(
        &self,
        trusted: &Trusted<AtTargets>,
        path: &str,
        mirrors: &mut Mirrors,
    ) -> anyhow::Result<Option<TargetFile>> {
        let found = in_turn(&self.mirrors, mirrors, |url| {
            Search::run(trusted, path, &self.rules, &mut At { client: self, url })
        })?;
        Ok(found.map(|found| found.file))
    }
}

/// Asks one mirror after the other until one serves; if none does, the first one's failure is told.
fn in_turn<T>(
    urls: &[String],
    mirrors: &mut Mirrors,
    attempt: impl Fn(&str) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let mut told = None;
    loop {
        let url = urls.get(mirrors.current()).context("there is no such mirror")?;
        match attempt(url) {
            Ok(done) => {
                mirrors.served();
                return Ok(done);
            }
            Err(error) => {
                let error = told.take().unwrap_or(error);
                if !mirrors.failed() {
                    return Err(error);
                }
                told = Some(error);
            }
        }
    }
}

/// The repository as one mirror shows it.
struct At<'a> {
    client: &'a Client<'a>,
    url: &'a str,
}

impl Source for At<'_> {
    type Error = anyhow::Error;

    fn answer(&mut self, ask: &Ask) -> anyhow::Result<Option<Vec<u8>>> {
        match ask {
            Ask::Stored(name) => match self.client.folder.read(name, FILE_BYTES) {
                // What is no metadata file of ours bounds nothing.
                Err(FileError::TooLarge { .. }) => Ok(None),
                read => Ok(read?),
            },
            Ask::Fetch(request) => self.client.wire.get((self.url, &request.path), request.limit),
        }
    }

    fn apply(&mut self, effects: &[Effect], answered: &[u8]) -> anyhow::Result<()> {
        for effect in effects {
            match effect {
                Effect::Keep(name) => self.client.folder.write(name, answered)?,
                Effect::Forget(name) => self.client.folder.remove(name)?,
            }
        }
        Ok(())
    }
}

/// The files that the repository lists, on their mirrors and on the disk.
struct Targets<'a> {
    wire: &'a Wire,
    folder: Folder,
    mirrors: Vec<String>,
}

impl Targets<'_> {
    /// Fetches a file whose right bytes are not there yet, and keeps it under its whole path as one name.
    fn fetch(&self, path: &str, file: &TargetFile, consistent_snapshot: bool) -> anyhow::Result<()> {
        let kept = name::segment(path);
        if let Ok(Some(bytes)) = self.folder.read(&kept, TARGET_BYTES)
            && file.check(&bytes).is_ok()
        {
            return Ok(());
        }
        let place = place(&file.stored_path(path, consistent_snapshot))?;
        let length = usize::try_from(file.length).ok().filter(|length| *length <= TARGET_BYTES);
        let length = length.with_context(|| format!("{path:?} has more than {TARGET_BYTES} bytes"))?;
        let bytes = in_turn(&self.mirrors, &mut Mirrors::new(self.mirrors.len()), |url| {
            let bytes = self.wire.get((url, &place), length)?;
            let bytes = bytes.with_context(|| format!("{path:?} is listed, but not there"))?;
            file.check(&bytes).with_context(|| format!("{path:?}"))?;
            Ok(bytes)
        })?;
        Ok(self.folder.write(&kept, &bytes)?)
    }
}

/// A file's path as part of a URL, segment by segment.
fn place(path: &str) -> anyhow::Result<String> {
    let segments: Vec<String> = path.split('/').map(name::segment).collect();
    if segments.iter().any(|segment| matches!(segment.as_str(), "" | "." | "..")) {
        bail!("{path:?} is no path of a file below a folder");
    }
    Ok(segments.join("/"))
}

//! What a person believes, and a pack judged by that: nothing is taken from the pack itself or from a server.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;

use clap::Args;
use cordon_proto::audit::SignedHead;
use cordon_proto::ids::{Name, Sha256};
use cordon_proto::limits;
use cordon_proto::receipt::{Receipt, ReceiptBody};
use cordon_server_core::evidence::{Anchors, Broken, Devices, Examination, Verified};
use serde_json::json;

use crate::arguments::read_file;
use crate::audit::{read_head, read_key};
use crate::failure::Failure;
use crate::order::list::ScopeList;
use crate::order::receipts::{certificates, list_of, opened, signed_by};
use crate::session::Session;

/// Bytes of a root or of a file of authorities.
const ANCHOR_BYTES: u64 = 1 << 20;

/// A pack, and the files from which it is believed.
#[derive(Clone, Debug, Args)]
pub struct From {
    /// The pack.
    #[arg(long, value_name = "FILE")]
    pub pack: PathBuf,
    /// The owner's first root: 1.root.json of the owner's own folder.
    #[arg(long, value_name = "FILE")]
    pub director_root: PathBuf,
    /// A maker's repository and its first root. Repeat.
    #[arg(long, value_name = "NAME=FILE")]
    pub image_root: Vec<String>,
    /// A head of the audit log that was kept, and with which the pack was asked for: the log goes on from it. Repeat.
    #[arg(long, value_name = "FILE", required_unless_present = "log_key")]
    pub head: Vec<PathBuf>,
    /// The public key of the audit log, where no head was kept or the key is known from another place too: the server's
    /// audit-key.json.
    #[arg(long, value_name = "FILE")]
    pub log_key: Option<PathBuf>,
    /// The lists of the orders' scopes: a receipt then counts only if its device stands in its order's list. Repeat.
    #[arg(long, value_name = "FILE")]
    pub scope_list: Vec<PathBuf>,
}

impl From {
    /// Judges the pack, and holds its receipts against the lists.
    pub(super) fn judged(&self, session: &Session<'_>) -> Result<Judged, Failure> {
        let lists = self.scope_list.iter().map(|path| ScopeList::read(path)).collect::<Result<_, _>>()?;
        Judged::of(self.verified(session)?, lists)
    }

    fn verified(&self, session: &Session<'_>) -> Result<Verified, Failure> {
        let missing =
            || Failure::Usage("receipts are believed only under an authority: give --ca".to_owned());
        let ca = read_file(session.options.ca.as_deref().ok_or_else(missing)?, ANCHOR_BYTES)?;
        let anchors = certificates(&ca)
            .ok_or_else(|| Failure::refused("unusable authority", "--ca holds no PEM certificate"))?;
        let devices = Authorities { anchors };
        let known = self.anchors()?;
        let mut examination = Examination::default();
        self.lines(|line| examination.line(line, &devices))?;
        examination.finish(&known, &session.rules()).map_err(|broken| refusal(&broken))
    }

    fn anchors(&self) -> Result<Anchors, Failure> {
        let kept = self.head.iter().map(|path| read_head(path)).collect::<Result<Vec<_>, _>>()?;
        let log = match (&self.log_key, kept.first()) {
            (Some(key), _) => read_key(key)?,
            (None, Some(head)) => head.head().log,
            (None, None) => return Err(Failure::Usage("give --head or --log-key".to_owned())),
        };
        let mut makers = BTreeMap::new();
        for text in &self.image_root {
            let wrong = || Failure::Usage(format!("--image-root `{text}`: write NAME=FILE"));
            let (name, file) = text.split_once('=').ok_or_else(wrong)?;
            let name: Name = name.parse().map_err(|_| wrong())?;
            makers.insert(name, Sha256::of(&read_file(file.as_ref(), ANCHOR_BYTES)?));
        }
        let director = Sha256::of(&read_file(&self.director_root, ANCHOR_BYTES)?);
        Ok(Anchors { director, makers, log, kept })
    }

    /// Calls `take` with each line, without its end; a line beyond the limit comes in pieces.
    pub(super) fn lines(&self, mut take: impl FnMut(&[u8])) -> Result<(), Failure> {
        let wrong = |error: std::io::Error| Failure::file("read", &self.pack, &error);
        let limit = u64::try_from(limits::EVIDENCE_LINE_BYTES).unwrap_or(u64::MAX);
        let mut file = BufReader::new(File::open(&self.pack).map_err(wrong)?);
        let mut line = Vec::new();
        loop {
            line.clear();
            if file.by_ref().take(limit).read_until(b'\n', &mut line).map_err(wrong)? == 0 {
                return Ok(());
            }
            take(line.strip_suffix(b"\n").unwrap_or(&line));
        }
    }
}

/// A pack that holds, and the lists of its orders as far as the person brought them.
pub(super) struct Judged {
    pub(super) verified: Verified,
    pub(super) lists: Vec<ScopeList>,
}

impl Judged {
    /// Refuses a list that is of no order: nobody on it would be missed, and that would look like good news. A receipt of
    /// hardware that is not on its order's list counts for nothing: whoever holds the authority can make any number of
    /// devices that confirm.
    pub(super) fn of(mut verified: Verified, lists: Vec<ScopeList>) -> Result<Self, Failure> {
        let is_of_one = |list: &&ScopeList| {
            verified.orders.iter().any(|one| list_of(&one.order, std::slice::from_ref(*list)).is_some())
        };
        if let Some(foreign) = lists.iter().find(|list| !is_of_one(list)) {
            let detail = format!(
                "a list of {} devices is of no order in this pack: give the very lists that were signed",
                foreign.count()
            );
            return Err(Failure::refused("foreign list", detail));
        }
        verified.only(|order, device| list_of(order, &lists).is_none_or(|list| list.contains(device)));
        Ok(Self { verified, lists })
    }
}

/// The devices of the authorities that the person brought.
struct Authorities {
    anchors: Vec<Vec<u8>>,
}

impl Devices for Authorities {
    fn open(&self, receipt: &Receipt, leaf: &[u8], issuers: &[Vec<u8>]) -> Option<ReceiptBody> {
        let mut chain = vec![leaf.to_vec()];
        chain.extend(issuers.iter().find(|issuer| signed_by(leaf, issuer)).cloned());
        opened(receipt, &chain, &self.anchors)
    }
}

/// Nobody's receipts: who looks at the seal alone believes no device.
struct Nobody;

impl Devices for Nobody {
    fn open(&self, _: &Receipt, _: &[u8], _: &[Vec<u8>]) -> Option<ReceiptBody> {
        None
    }
}

/// Refuses a pack whose seal does not hold, or whose log does not go on from each of these heads.
pub(super) fn goes_on(pack: &[u8], kept: &[SignedHead]) -> Result<(), Failure> {
    let Some(first) = kept.first() else { return Ok(()) };
    let mut examination = Examination::default();
    for line in pack.split_inclusive(|byte| *byte == b'\n') {
        examination.line(line.strip_suffix(b"\n").unwrap_or(line), &Nobody);
    }
    examination.seal(first.head().log, kept).map(drop).map_err(|broken| refusal(&broken))
}

fn refusal(broken: &Broken) -> Failure {
    Failure::Refused(json!({
        "type": "urn:cordon:problem:evidence_broken",
        "title": "The evidence does not hold",
        "detail": broken.to_string(),
    }))
}

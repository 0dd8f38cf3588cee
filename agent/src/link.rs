//! The device plane as typed calls: check-in, wait, telemetry, receipts, metadata, images.
//!
//! Each answer is a value or an error that says whose fault it is and when to try again. No call decides anything: an
//! `unknown_device` is reported, never acted on here. Bodies are capped while they stream. Read next: [`http`] for one
//! exchange, [`crate::run`] for who calls and when.

pub mod download;
pub(crate) mod http;
pub mod mirrors;
pub mod proxy;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cordon_agent_core::renew::Word;
use cordon_proto::checkin::{CheckinAnswer, CheckinRequest, WaitAnswer, WaitRequest};
use cordon_proto::farewell::Farewell;
use cordon_proto::ids::{Name, Sha256};
use cordon_proto::limits;
use cordon_proto::receipt::Receipt;
use cordon_proto::telemetry::{Batch, BatchAnswer};
use cordon_proto::update::Pace;
use cordon_proto::wire;
use minicbor::{Decode, Encode};
use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE, IF_RANGE};
use reqwest::{Client, Response};

use self::download::{Cap, Download};
use self::mirrors::Mirrors;
use self::proxy::ProxyFault;
use crate::clock::TrustedClock;
use crate::identity::Identity;
use crate::tls::{self, Route, TlsError};

/// Beyond the agreed wait, before the long poll is given up.
const WAIT_MARGIN_S: u64 = 15;
/// Compression level of telemetry: more costs CPU and saves under 4 % (measured).
const ZSTD_LEVEL: i32 = 3;
/// Bodies below this are sent as they are.
const ZSTD_FROM_BYTES: usize = 256;

/// Why a call brought no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// The network, or a server that is down.
    #[error(
        "the server cannot be reached ({cause}); check network, proxy and address, everything waits meanwhile"
    )]
    Unreachable {
        /// The innermost cause.
        cause: String,
        /// Whether somebody was met: a connection came about and then broke.
        met: bool,
    },
    /// The proxy that stands between refuses, or is down.
    #[error("the proxy {0}; everything waits meanwhile")]
    Proxy(ProxyFault),
    /// Whoever answers is not the pinned server, or its certificate is not valid now.
    #[error("whoever answers is not the server this device belongs to: {0}; nothing was sent")]
    WrongServer(Distrust),
    /// The server's TLS refused the device's certificate.
    #[error(
        "the server refuses this device's certificate ({alert}); it may be expired or revoked, ask the owner's IT"
    )]
    CertificateRefused {
        /// The TLS alert.
        alert: String,
    },
    /// The device could not prove who it is: its own key does not sign.
    #[error("this device cannot prove who it is: {cause}")]
    OwnKey {
        /// What is wrong with the key, and what to do.
        cause: String,
    },
    /// The server knows whom it talks to, and refuses.
    #[error("the server refuses this device: {refusal}{}", shown(detail))]
    Refused {
        /// The machine-readable reason.
        refusal: Refusal,
        /// The server's sentence.
        detail: String,
    },
    /// The server asks for patience.
    #[error("the server asks to wait{}", retry_after_s.map(|s| format!(" {s} s")).unwrap_or_default())]
    Busy {
        /// 202, 429 or 503.
        status: u16,
        /// Seconds asked for.
        retry_after_s: Option<u64>,
    },
    /// The server refuses the request itself.
    #[error("the server refuses the request with {status}{}{}", shown(code), shown(detail))]
    Rejected {
        /// HTTP status.
        status: u16,
        /// The machine-readable reason.
        code: String,
        /// The server's sentence.
        detail: String,
    },
    /// The answer is not what it should be.
    #[error(
        "the server's answer is not a readable {what}; agent and server may be of very different versions"
    )]
    Malformed {
        /// What was expected.
        what: &'static str,
    },
    /// The answer is larger than such an answer ever is.
    #[error("the server's answer has more than {limit} bytes and was cut off")]
    TooLarge {
        /// Bytes accepted.
        limit: usize,
    },
    /// Nothing, or all too little, came for too long.
    #[error("the server sent nothing, or next to nothing, for {seconds} s")]
    Stalled {
        /// Seconds waited.
        seconds: u64,
    },
}

/// Why the server is not believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Distrust {
    /// Its chain does not end in the pinned root.
    Pin {
        /// Who issued the chain's top, by its own word; empty where it gives no readable name.
        issuer: String,
        /// `HOST:PORT` as asked for.
        server: String,
    },
    /// Its chain does, but is not valid: expired, other name, bad signature.
    Certificate(String),
}

impl fmt::Display for Distrust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pin { issuer, .. } if issuer.is_empty() => {
                f.write_str("its certificate does not end in the pinned CA")
            }
            Self::Pin { issuer, server } => write!(
                f,
                "its certificate does not end in the pinned CA, but was issued by '{issuer}': TLS inspection or another server stands between; ask the network team to exempt {server} from inspection"
            ),
            Self::Certificate(cause) => write!(f, "its certificate is not valid ({cause})"),
        }
    }
}

/// The server's reasons for refusing a device that it recognises, or does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The server has no such device. The only reason for which a person may drop the identity.
    UnknownDevice,
    /// The owner stopped trusting the device; therapy and network are untouched.
    Quarantined,
    /// The device was retired.
    Retired,
    /// The device was reported lost.
    Lost,
    /// A newer certificate of this device is in force.
    Superseded,
    /// The device says it is other hardware than it enrolled as.
    HardwareMismatch,
    /// The certificate has ended by the server's clock.
    Expired,
}

impl Refusal {
    /// The reason of a problem's `code`; `None` for any other word.
    #[must_use]
    pub fn of(code: &str) -> Option<Self> {
        Some(match code {
            "unknown_device" => Self::UnknownDevice,
            "quarantined" => Self::Quarantined,
            "retired" => Self::Retired,
            "lost" => Self::Lost,
            "superseded" => Self::Superseded,
            "hardware_mismatch" => Self::HardwareMismatch,
            "expired" => Self::Expired,
            _ => return None,
        })
    }

    /// The machine-readable word.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::UnknownDevice => "unknown_device",
            Self::Quarantined => "quarantined",
            Self::Retired => "retired",
            Self::Lost => "lost",
            Self::Superseded => "superseded",
            Self::HardwareMismatch => "hardware_mismatch",
            Self::Expired => "expired",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UnknownDevice => {
                "it does not know it (unknown_device); ask the owner's IT before enrolling anew"
            }
            Self::Quarantined => "it is quarantined; the owner's security team decides, therapy is untouched",
            Self::Retired => "it was retired; enrol it anew if it is back in use",
            Self::Lost => "it was reported lost; tell the owner's IT that it is found",
            Self::Superseded => {
                "a newer certificate of this device is in force; it may have been cloned or restored"
            }
            Self::HardwareMismatch => {
                "its hardware is not what it enrolled as; it may have been cloned or repaired"
            }
            Self::Expired => "its certificate has ended; it asks for the next one by itself",
        })
    }
}

/// When the same call may succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// By the ordinary schedule.
    Soon,
    /// By the ordinary schedule, but not before these seconds.
    After(u64),
    /// Only rarely: a person has to act first.
    Slowly,
    /// Not without a person.
    Never,
}

impl LinkError {
    /// The word by which the server refuses the device itself; `None` for any other trouble.
    #[must_use]
    pub fn word(&self) -> Option<Word> {
        match self {
            Self::CertificateRefused { alert } if alert == "CertificateExpired" => Some(Word::Ended),
            Self::CertificateRefused { .. } => Some(Word::Certificate),
            Self::Refused { refusal, .. } => Some(match refusal {
                Refusal::UnknownDevice => Word::UnknownDevice,
                Refusal::Quarantined => Word::Quarantined,
                Refusal::Retired => Word::Retired,
                Refusal::Lost => Word::Lost,
                Refusal::Superseded => Word::Superseded,
                Refusal::HardwareMismatch => Word::HardwareMismatch,
                Refusal::Expired => Word::Ended,
            }),
            Self::Unreachable { .. }
            | Self::Proxy(_)
            | Self::OwnKey { .. }
            | Self::WrongServer(_)
            | Self::Busy { .. }
            | Self::Rejected { .. }
            | Self::Malformed { .. }
            | Self::TooLarge { .. }
            | Self::Stalled { .. } => None,
        }
    }

    /// Whether nobody was met: no route, no name, no connection in time. Whoever answers badly is somebody.
    #[must_use]
    pub fn met_nobody(&self) -> bool {
        matches!(self, Self::Unreachable { met: false, .. } | Self::Proxy(ProxyFault::Unreachable(_)))
    }

    /// When to try again.
    #[must_use]
    pub fn retry(&self) -> Retry {
        match self {
            Self::Busy { retry_after_s: Some(seconds), .. } => Retry::After(*seconds),
            // A person has to act first; asking every few minutes would not help.
            Self::CertificateRefused { .. } | Self::Refused { .. } => Retry::Slowly,
            // Asking on with a wrong password may lock the account.
            Self::Proxy(ProxyFault::Unauthorised) => Retry::Slowly,
            Self::Unreachable { .. }
            | Self::Proxy(_)
            | Self::OwnKey { .. }
            | Self::WrongServer(_)
            | Self::Busy { .. }
            | Self::Rejected { .. }
            | Self::Malformed { .. }
            | Self::TooLarge { .. }
            | Self::Stalled { .. } => Retry::Soon,
        }
    }
}

fn shown(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!(": {text}") }
}

/// Which TUF repository a metadata file is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Repository {
    /// The owner's.
    Director,
    /// A manufacturer's.
    Image(Name),
}

/// Patience of the link. Tests shorten it; nothing else does.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// For the head of an ordinary answer.
    pub answer: Duration,
    /// For the next piece of an image.
    pub stall: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { answer: http::QUICK, stall: Duration::from_secs(limits::DOWNLOAD_STALL_S) }
    }
}

/// The device plane of one server, over one client.
pub struct Link {
    /// Shared by all handles, so that a new certificate reaches them all.
    client: Arc<Mutex<Client>>,
    base: String,
    patience: Patience,
    /// What images may take of the line.
    cap: Option<Cap>,
    /// Who is asked for images before the server.
    mirrors: Option<Mirrors>,
    compressor: Option<zstd::bulk::Compressor<'static>>,
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Link({})", self.base)
    }
}

impl Link {
    /// A link for an enrolled device.
    pub fn new(
        identity: &Identity,
        route: &Route,
        clock: TrustedClock,
        patience: Patience,
    ) -> Result<Self, TlsError> {
        let client = tls::client(route, identity.trust(clock), Some(identity.certified_key()))?;
        let base = format!("https://{}/v1", identity.site.authority(identity.site.device_port));
        let client = Arc::new(Mutex::new(client));
        Ok(Self { client, base, patience, cap: None, mirrors: None, compressor: None })
    }

    /// The same with a bandwidth cap for images, kilobits a second.
    #[must_use]
    pub fn capped(self, kbit_s: Option<u32>) -> Self {
        Self { cap: kbit_s.map(Cap::new), ..self }
    }

    /// The same with mirrors.
    pub(crate) fn mirrored(self, mirrors: Mirrors) -> Self {
        Self { mirrors: Some(mirrors), ..self }
    }

    /// Shows another certificate, or believes other roots, from the next call on; what is under way goes on as it is.
    pub fn exchange(&self, identity: &Identity, route: &Route, clock: TrustedClock) -> Result<(), TlsError> {
        let client = tls::client(route, identity.trust(clock), Some(identity.certified_key()))?;
        *self.client.lock().unwrap_or_else(PoisonError::into_inner) = client;
        Ok(())
    }

    fn client(&self) -> Client {
        self.client.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Says what the device is and does, and hears what is new.
    pub async fn checkin(&self, request: &CheckinRequest) -> Result<CheckinAnswer, LinkError> {
        self.call("checkin", request, self.patience.answer).await
    }

    /// Waits until something changed for this device, at most `request.max_s`.
    pub async fn wait(&self, request: &WaitRequest) -> Result<WaitAnswer, LinkError> {
        let seconds = u64::from(request.max_s).min(limits::WAIT_S) + WAIT_MARGIN_S;
        self.call("wait", request, Duration::from_secs(seconds)).await
    }

    /// A second handle on the same connections, for the part of the agent that waits.
    #[must_use]
    pub fn waiter(&self) -> Self {
        Self {
            client: Arc::clone(&self.client),
            base: self.base.clone(),
            patience: self.patience,
            cap: self.cap.clone(),
            mirrors: self.mirrors.clone(),
            compressor: None,
        }
    }

    /// Hands in a batch, compressed where that pays.
    pub async fn telemetry(&mut self, batch: &Batch) -> Result<BatchAnswer, LinkError> {
        let plain = wire::write(batch);
        let mut request = self.post("telemetry");
        let body = match self.compressed(&plain) {
            Some(small) => {
                request = request.header(CONTENT_ENCODING, "zstd");
                small
            }
            None => plain,
        };
        let answer = http::send(request.body(body), self.patience.answer).await?;
        read_answer(answer, "BatchAnswer").await
    }

    /// Gives back the memory of the compression, until there is telemetry again.
    pub fn ease(&mut self) {
        self.compressor = None;
    }

    fn compressed(&mut self, plain: &[u8]) -> Option<Vec<u8>> {
        if plain.len() < ZSTD_FROM_BYTES {
            return None;
        }
        if self.compressor.is_none() {
            self.compressor = zstd::bulk::Compressor::new(ZSTD_LEVEL).ok();
        }
        let small = self.compressor.as_mut()?.compress(plain).ok()?;
        (small.len() < plain.len()).then_some(small)
    }

    /// Hands in a receipt; the same one twice is no error.
    pub async fn receipt(&self, receipt: &Receipt) -> Result<(), LinkError> {
        let request = self.post("receipts").body(wire::write(receipt));
        http::send(request, self.patience.answer).await.map(|_| ())
    }

    /// One metadata file's bytes, at most `limit`; `None` where the repository has no such file.
    pub async fn metadata(
        &self,
        repository: &Repository,
        file: &str,
        limit: usize,
    ) -> Result<Option<Vec<u8>>, LinkError> {
        let folder = match repository {
            Repository::Director => "director".to_owned(),
            Repository::Image(name) => format!("image/{name}"),
        };
        self.fetch(&format!("tuf/{folder}/{file}"), limit).await
    }

    /// The signed bundle of authorities of this version; `None` where the server has none.
    pub async fn authorities(&self, version: u64) -> Result<Option<Vec<u8>>, LinkError> {
        self.fetch(&format!("authorities/{version}"), limits::AUTHORITIES_BYTES).await
    }

    /// A content document by its hash; `None` where the server has none.
    pub async fn content(&self, sha256: &Sha256) -> Result<Option<Vec<u8>>, LinkError> {
        self.fetch(&format!("targets/{sha256}"), limits::CONTENT_BYTES).await
    }

    async fn fetch(&self, path: &str, limit: usize) -> Result<Option<Vec<u8>>, LinkError> {
        let request = self.client().get(format!("{}/{path}", self.base));
        http::get(request, self.patience.answer, limit).await
    }

    /// Hands in the farewell; the same one twice is no error.
    pub async fn farewell(&self, farewell: &Farewell) -> Result<(), LinkError> {
        let request = self.post("farewell").body(wire::write(farewell));
        http::send(request, self.patience.answer).await.map(|_| ())
    }

    /// An image from byte `from` on. The server may start at 0 all the same: see [`Download::start`].
    pub async fn target(&self, sha256: &Sha256, from: u64) -> Result<Download, LinkError> {
        self.part(sha256, from, None).await
    }

    /// As [`Link::target`], but only to the byte before `until` where there is one.
    pub async fn part(&self, sha256: &Sha256, from: u64, until: Option<u64>) -> Result<Download, LinkError> {
        let mut request = self.client().get(format!("{}/targets/{sha256}", self.base));
        if from > 0 || until.is_some() {
            request = request.header(IF_RANGE, format!("\"{sha256}\""));
        }
        let pace = Pace::new(self.patience.stall);
        Download::begin(request, (from, until), self.patience.answer, (pace, self.cap.clone())).await
    }

    async fn call<Q, A>(&self, route: &str, question: &Q, deadline: Duration) -> Result<A, LinkError>
    where
        Q: Encode<()>,
        A: for<'b> Decode<'b, ()>,
    {
        let request = self.post(route).body(wire::write(question));
        read_answer(http::send(request, deadline).await?, short_name::<A>()).await
    }

    fn post(&self, route: &str) -> reqwest::RequestBuilder {
        self.client().post(format!("{}/{route}", self.base)).header(CONTENT_TYPE, "application/cbor")
    }
}

async fn read_answer<A>(answer: Response, what: &'static str) -> Result<A, LinkError>
where
    A: for<'b> Decode<'b, ()>,
{
    let bytes = http::body(answer, limits::BODY_BYTES).await?;
    wire::read(&bytes, limits::BODY_BYTES).map_err(|_| LinkError::Malformed { what })
}

fn short_name<T>() -> &'static str {
    let name = std::any::type_name::<T>();
    name.rsplit("::").next().unwrap_or(name)
}

#[cfg(test)]
pub(crate) mod tests;

//! One device of the wards: an identity of its own, the shipped decisions, and a nature that says how it fares.
//!
//! It enrols with a P-256 key, says what the agent would say, and reboots only if the shipped decision cleared the order,
//! the shipped check finds the go fresh, and nobody is attached to it. Its nature decides what becomes of a trial; no
//! nature makes it do what the decision refuses. What it started is written down, because that is what a bad release
//! has touched. Read next: `cordon_proto::update::decide`, `cordon_proto::update::permit`.

use std::net::SocketAddr;

use anyhow::Context;
use cordon_proto::checkin::{
    Action, Blocked, CheckinAnswer, CheckinRequest, InterlockState, OrderOffer, PermitRequest, ScopeProof,
    Software, UpdateReport, UpdateState,
};
use cordon_proto::ids::{DeviceId, Hardware, Name, Sha256, Text};
use cordon_proto::receipt::{Outcome, Receipt, ReceiptBody};
use cordon_proto::time::{Millis, Timestamp};
use cordon_proto::update::decide::{
    Case, Cleared, ConfirmedOrder, Device, GaveUp, GivenUp, decide, decide_back,
};
use cordon_proto::update::permit::{self, Clock, Word};
use cordon_proto::update::release::Release;
use cordon_proto::{limits, wire};
use cordon_server::app::{Granted, Speaker};
use cordon_server::ca::PeerLeaf;
use cordon_server::ca::request::Request as Certification;
use cordon_server_core::admit::{Binding, Credential, Request, TokenOrder};
use cordon_server_core::device::{DeviceKind, Placement};
use cordon_server_core::risk::facts::Reach;
use rcgen::{CertificateParams, DnType, KeyPair, SigningKey};

use super::chain::Chain;
use super::owner::{BOARD, MODEL, factory};
use super::person;
use super::seat::Seat;
use crate::light;

/// Seconds from the reboot to the end of a trial.
const TRIAL_S: i64 = 300;
/// What a device that may say something new says at once, at most so often in a row.
const WORDS: usize = 4;

/// How a device fares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nature {
    /// Whatever is good for others is good for it.
    Sound,
    /// The ordered image is not healthy on it.
    Bad,
    /// It does not reach the server on trial, and goes back.
    Failing,
    /// It never answers again after the reboot.
    Silent,
    /// It is away until then.
    Away(Timestamp),
    /// A patient is attached until then.
    InUse(Timestamp),
}

/// What it is doing about an order.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Doing {
    Rests,
    Wants(Box<Cleared>),
    OnTrial { act: Box<Cleared>, until: Timestamp },
    Lost,
}

/// A device.
pub struct Unit {
    /// Which of the fleet it is.
    pub number: usize,
    /// Its name.
    pub id: DeviceId,
    /// What it is.
    pub hardware: Hardware,
    /// How it fares.
    pub nature: Nature,
    /// The images that it has started on trial, for an install or for the way back, oldest first.
    pub started: Vec<(Action, Sha256)>,
    /// The image that it runs for good.
    pub runs: Sha256,
    counter: u64,
    key: KeyPair,
    leaf: PeerLeaf,
    doing: Doing,
    blocked: Vec<Blocked>,
    proof: Option<ScopeProof>,
    word: Option<Word>,
    told: (UpdateState, Option<Name>),
    confirmed: Option<ConfirmedOrder>,
    given_up: Vec<GivenUp>,
    outbox: Option<Vec<u8>>,
    due: Timestamp,
    connection: Option<(u64, u64)>,
}

impl Unit {
    /// Enrols devices of these natures at a server, with tokens for many.
    pub async fn enrolled(
        seat: &Seat,
        natures: impl IntoIterator<Item = Nature>,
        now: Timestamp,
    ) -> anyhow::Result<Vec<Self>> {
        let natures: Vec<Nature> = natures.into_iter().collect();
        let mut units = Vec::with_capacity(natures.len());
        for some in natures.chunks(usize::try_from(limits::TOKEN_COUNT)?) {
            let count = u32::try_from(some.len())?;
            let token = seat.operator.app.make_token(token(count), &person()).await?;
            for nature in some {
                units.push(Self::enrol(seat, (units.len(), *nature), &token.secret, now).await?);
            }
        }
        Ok(units)
    }

    async fn enrol(
        seat: &Seat,
        (number, nature): (usize, Nature),
        secret: &str,
        now: Timestamp,
    ) -> anyhow::Result<Self> {
        let hardware = Hardware {
            revision: Text::lossy(BOARD),
            ..light::hardware("Halden", MODEL, &format!("VP3-{number:05}"))
        };
        let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, hardware.serial.as_str());
        let asked = Certification::parse(params.serialize_request(&key)?.der())?;
        let request = Request {
            credential: Credential::Token(cordon_proto::ids::TokenId::of(secret)),
            key: asked.key_digest,
            serial: asked.serial.clone(),
            hardware: Some(hardware.clone()),
            from: Text::lossy("127.0.0.1"),
            bound: true,
        };
        let app = &seat.operator.app;
        let Granted::Leaf(leaf) = app.enrol(&request, &asked.key).await? else {
            anyhow::bail!("{} has to wait for a person", hardware.serial)
        };
        let leaf = PeerLeaf::of(&leaf).context("a leaf of P-256")?;
        let id = app.fleet.by_leaf(&leaf.fingerprint).context("just enrolled")?.id();
        Ok(Self {
            number,
            id,
            hardware,
            nature,
            started: Vec::new(),
            runs: factory().image.sha256,
            counter: factory().counter,
            key,
            leaf,
            doing: Doing::Rests,
            blocked: Vec::new(),
            proof: None,
            word: None,
            told: (UpdateState::Idle, None),
            confirmed: None,
            given_up: Vec::new(),
            outbox: None,
            due: now,
            connection: None,
        })
    }

    /// Whether it is where the server can hear it.
    #[must_use]
    pub fn is_reached(&self, now: Timestamp) -> bool {
        match self.nature {
            Nature::Away(until) => now >= until,
            Nature::Sound | Nature::Bad | Nature::Failing | Nature::Silent | Nature::InUse(_) => true,
        }
    }

    /// Does what is due: ends its trial, hands in its receipt, checks in, and says what is new at once.
    pub async fn live(
        &mut self,
        seat: &Seat,
        chain: &mut Chain,
        now: Timestamp,
        period_s: i64,
    ) -> anyhow::Result<()> {
        self.end_trial(now)?;
        let speaks = matches!(self.doing, Doing::Rests | Doing::Wants(_));
        if !speaks || !self.is_reached(now) || !self.is_due(seat, now) {
            return Ok(());
        }
        self.hand_in(seat).await?;
        // It listens until its next report; here that is said at once, because in the wards nobody waits for an answer.
        seat.operator.app.listens(self.id, u32::try_from(period_s)?);
        for _ in 0..WORDS {
            let answer = self.check_in(seat, now).await?;
            chain.follow(seat, answer.director_version, now).await?;
            if !self.heed(&answer, chain, now) {
                break;
            }
        }
        self.due = now.plus_seconds(period_s);
        Ok(())
    }

    /// Whether its time has come, or its bell was rung. One whose server is another than before notices within a minute.
    fn is_due(&mut self, seat: &Seat, now: Timestamp) -> bool {
        match self.connection {
            Some((number, token)) if number == seat.number => {
                now >= self.due || token != seat.operator.app.waits.token(self.id)
            }
            Some(_) => {
                self.connection = None;
                let jitter = i64::try_from(self.number % 60).unwrap_or(0);
                self.due = self.due.min(now.plus_seconds(jitter));
                now >= self.due
            }
            None => now >= self.due,
        }
    }

    async fn hand_in(&mut self, seat: &Seat) -> anyhow::Result<()> {
        let Some(bytes) = &self.outbox else { return Ok(()) };
        let receipt: Receipt = wire::read(bytes, limits::BODY_BYTES)?;
        let app = &seat.operator.app;
        let member = app.fleet.get(self.id).context("known")?;
        app.receipt(&member, &self.leaf, bytes, &receipt).await?;
        self.outbox = None;
        Ok(())
    }

    async fn check_in(&mut self, seat: &Seat, now: Timestamp) -> anyhow::Result<CheckinAnswer> {
        let app = &seat.operator.app;
        let member = app.fleet.get(self.id).context("known")?;
        let speaker =
            Speaker { leaf: self.leaf.fingerprint, address: SocketAddr::from(([127, 0, 0, 1], 4000)) };
        let answer = app.checkin(&member, &speaker, &self.says(now)).await?;
        self.connection = Some((seat.number, answer.wait_token));
        Ok(answer)
    }

    fn says(&self, now: Timestamp) -> CheckinRequest {
        let (state, order) = match &self.doing {
            Doing::Wants(act) => (UpdateState::Waiting, Some(act.order.clone())),
            Doing::Rests | Doing::OnTrial { .. } | Doing::Lost => self.told.clone(),
        };
        let want_permit = match &self.doing {
            Doing::Wants(act) => Some(PermitRequest { order: act.order.clone(), action: act.action }),
            Doing::Rests | Doing::OnTrial { .. } | Doing::Lost => None,
        };
        let idle = light::says(&self.hardware);
        CheckinRequest {
            device_time: now,
            software: Software { counter: self.counter, sha256: self.runs, floor: 40, ..idle.software },
            update: UpdateReport { state, order, blocked_by: self.blocked.clone(), fetched_bytes: 0 },
            interlock: if self.is_in_use(now) { InterlockState::InUse } else { InterlockState::Standby },
            want_permit,
            ..idle
        }
    }

    fn is_in_use(&self, now: Timestamp) -> bool {
        matches!(self.nature, Nature::InUse(until) if now < until)
    }

    /// Takes an answer in. Says whether there is something new to say.
    fn heed(&mut self, answer: &CheckinAnswer, chain: &Chain, now: Timestamp) -> bool {
        self.word = Some(Word::of(answer, millis(now)));
        let before = (self.doing.clone(), self.blocked.clone(), self.told.clone());
        match &answer.order {
            None => (self.doing, self.blocked) = (Doing::Rests, Vec::new()),
            Some(offer) => self.decide(offer, chain, now),
        }
        if let Doing::Wants(act) = &self.doing {
            self.blocked = self.obstacles(act, now);
        }
        if before != (self.doing.clone(), self.blocked.clone(), self.told.clone()) {
            return true;
        }
        if let Doing::Wants(act) = self.doing.clone()
            && self.blocked.is_empty()
        {
            self.reboot(act, now);
        }
        false
    }

    fn decide(&mut self, offer: &OrderOffer, chain: &Chain, now: Timestamp) {
        self.proof.clone_from(&offer.proof);
        let order = chain.order(&offer.order);
        let image = order.and_then(|order| order.as_ref().ok()).and_then(|order| match offer.action {
            Action::Install => Some(&order.image),
            Action::Back => order.back.as_ref().map(|back| &back.image),
        });
        let device = Device {
            identity: self.hardware.identity(),
            model: &self.hardware.model,
            revision: &self.hardware.revision,
            counter: self.counter,
            sha256: self.runs,
            floor: factory().floor,
            confirmed: self.confirmed.as_ref(),
            given_up: &self.given_up,
        };
        let release = image.and_then(|image| chain.release(&image.release));
        let case = Case { id: &offer.order, order, release, proof: self.proof.as_ref(), device: &device };
        let decided = match offer.action {
            Action::Install => decide(&case, now),
            Action::Back => decide_back(&case, now),
        };
        match decided {
            Ok(act) => self.doing = Doing::Wants(Box::new(act)),
            Err(refusal) => {
                self.doing = Doing::Rests;
                let code = if chain.refused.is_some() { "director-targets" } else { refusal.code() };
                self.blocked = vec![blocked(code)];
                // Its receipt says how it stands with an order that it has carried out.
                let spent = self.told.1.as_ref() == Some(&offer.order);
                if !spent {
                    self.told = (UpdateState::Refused, Some(offer.order.clone()));
                }
            }
        }
    }

    fn obstacles(&self, act: &Cleared, now: Timestamp) -> Vec<Blocked> {
        let clock = Clock { wall: now, monotonic: millis(now) };
        let word = permit::check(self.word.as_ref(), (&act.order, act.action), act.permit_s, clock);
        let go = word.is_err().then(|| blocked("no-permit"));
        go.into_iter().chain(self.is_in_use(now).then(|| blocked("interlock"))).collect()
    }

    fn reboot(&mut self, act: Box<Cleared>, now: Timestamp) {
        self.started.push((act.action, act.image.sha256));
        self.doing = match (self.nature, act.action) {
            (Nature::Silent, Action::Install) => Doing::Lost,
            _ => Doing::OnTrial { act, until: now.plus_seconds(TRIAL_S) },
        };
    }

    fn end_trial(&mut self, now: Timestamp) -> anyhow::Result<()> {
        let Doing::OnTrial { act, until } = &self.doing else { return Ok(()) };
        if now < *until {
            return Ok(());
        }
        let act = act.clone();
        let (outcome, reason) = match (act.action, self.nature) {
            (Action::Install, Nature::Bad) => (Outcome::RolledBack, Some(blocked("trial-unhealthy"))),
            (Action::Install, Nature::Failing) => (Outcome::RolledBack, Some(blocked("trial-no-checkin"))),
            (Action::Install, _) => (Outcome::Confirmed, None),
            (Action::Back, _) => (Outcome::WentBack, None),
        };
        let gave_up = |why| GivenUp { order: act.order.clone(), why };
        let before = self.runs;
        match outcome {
            Outcome::Confirmed => {
                (self.runs, self.counter) = (act.image.sha256, act.counter);
                let (order, sha256) = (act.order.clone(), act.image.sha256);
                self.confirmed = Some(ConfirmedOrder { order, sha256 });
                self.told = (UpdateState::Confirmed, Some(act.order.clone()));
            }
            Outcome::WentBack => {
                (self.runs, self.counter) = (act.image.sha256, act.counter);
                self.given_up.push(gave_up(GaveUp::WentBack));
                self.told = (UpdateState::RolledBack, Some(act.order.clone()));
            }
            Outcome::RolledBack | Outcome::Refused => {
                self.given_up.push(gave_up(GaveUp::TrialFailed));
                self.told = (UpdateState::RolledBack, Some(act.order.clone()));
            }
        }
        self.outbox = Some(self.receipt(&act, (outcome, reason), before, now)?);
        (self.doing, self.blocked, self.due) = (Doing::Rests, Vec::new(), now);
        Ok(())
    }

    fn receipt(
        &self,
        act: &Cleared,
        (outcome, reason): (Outcome, Option<Blocked>),
        previous: Sha256,
        now: Timestamp,
    ) -> anyhow::Result<Vec<u8>> {
        let body = ReceiptBody {
            device: self.id,
            hardware: self.hardware.identity(),
            order: act.order.clone(),
            action: act.action,
            outcome,
            release: Some(act.image.release.clone()),
            counter: self.counter,
            sha256: self.runs,
            previous_sha256: previous,
            slot: Text::lossy("B"),
            boots: 1,
            floor: factory().floor,
            interlock: InterlockState::Standby,
            time: now,
            reason,
        };
        Ok(wire::write(&Receipt::sign(&body, |message| SigningKey::sign(&self.key, message))?))
    }

    /// Whether it runs this release for good.
    #[must_use]
    pub fn runs(&self, release: &Release) -> bool {
        self.runs == release.image.sha256
    }
}

fn blocked(code: &str) -> Blocked {
    Blocked {
        code: Text::lossy(code),
        sentence: Text::lossy(&format!("A device of the test waits: {code}.")),
    }
}

fn millis(now: Timestamp) -> Millis {
    Millis::from(now)
}

fn token(count: u32) -> TokenOrder {
    TokenOrder {
        manufacturer: None,
        model: Text::lossy(MODEL),
        binding: Binding::Count { count },
        placement: Placement {
            site: Text::lossy("St. Brigid"),
            ward: Text::lossy("4B"),
            kind: DeviceKind::InfusionPump,
            impact: DeviceKind::InfusionPump.usual_impact(),
            reach: Reach::default(),
            tags: Vec::new(),
        },
        hours: 24,
    }
}

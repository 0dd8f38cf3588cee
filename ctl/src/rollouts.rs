//! `cordonctl rollouts`: create, list, show, and what people do with them: pause, halt, resume, send back, accept, watch.
//!
//! A rollout carries out orders that are signed and published; it cannot widen them. Each wave names its order and the
//! very list that the order was signed for. Read next: [`crate::order`].

use std::path::Path;

use clap::{Args, Subcommand};
use cordon_proto::ids::{DeviceId, Name};
use cordon_proto::limits;
use cordon_server_core::rollout::{Size, split};
use serde_json::{Value, json};

use crate::api::{Api, Pages};
use crate::failure::Failure;
use crate::order::list::ScopeList;
use crate::report::Report;
use crate::session::Session;

pub mod calendar;
pub mod watch;

use watch::Seen;

/// What the list shows.
const COLUMNS: [&str; 6] = ["id", "title", "release", "state", "confirmed", "devices"];
/// What the table of reasons shows.
const REASONS: [&str; 4] = ["count", "code", "waves", "sentence"];
/// What the list of a rollout's devices shows.
const DEVICES: [&str; 6] = ["device", "serial", "wave", "stage", "code", "note"];
/// Where they are.
const ALL: Pages<'static> = Pages { path: &["rollouts"], rows: "rollouts", cursor: "after" };

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Begin a rollout of published orders.
    Create(Create),
    /// List rollouts.
    List,
    /// Show one rollout.
    Show {
        /// Its name.
        id: Name,
    },
    /// Show why devices have not ended or have failed, the most frequent reason first.
    Reasons {
        /// Its name.
        id: Name,
    },
    /// List its devices, by wave, stage or reason.
    Devices(Devices),
    /// Show on which days devices of which wards may reboot, and what people hold or let stand still.
    Calendar(calendar::Calendar),
    /// Follow one rollout until it ends: 0 if it finished, 1 if it was stopped, 3 if the server is gone.
    Watch(watch::Watch),
    /// Give no new go; devices that have one keep it.
    Pause(Deed),
    /// Stop it: devices that have not armed the new image will not.
    Halt(Deed),
    /// Let it go on, over the state that is shown.
    Resume(Onward),
    /// End it for good: nothing is installed by it any more. Its orders stay signed, and its way back stays open.
    Abort(Deed),
    /// Send the devices that confirmed to the way back that was signed with their orders.
    Back(Onward),
    /// Call it done although some devices are left.
    Finish(Onward),
    /// Say that a confirmed device was looked at, and whether it may stay in use so.
    Accept(Accept),
}

/// What a person does with a rollout as a whole.
#[derive(Clone, Debug, Args)]
pub struct Deed {
    /// Its name.
    id: Name,
    /// Why.
    #[arg(long)]
    reason: String,
}

/// What a person does with a rollout over a state that they saw.
#[derive(Clone, Debug, Args)]
pub struct Onward {
    /// The rollout, and why.
    #[command(flatten)]
    deed: Deed,
    /// The state that you saw, such as `halted`: over another one nothing is done. Without it the present one is shown.
    #[arg(long, value_name = "STATE")]
    seen: Option<String>,
}

/// Which devices of a rollout are listed.
#[derive(Clone, Debug, Args)]
pub struct Devices {
    /// The rollout.
    id: Name,
    /// Only of this wave, from 1.
    #[arg(long, value_name = "N")]
    wave: Option<u32>,
    /// Only in this stage: unreached, waiting, installing, already, confirmed, returned or failed.
    #[arg(long)]
    stage: Option<String>,
    /// Only those that wait or failed for this reason, a code of `rollouts reasons`.
    #[arg(long)]
    code: Option<String>,
    /// At most so many.
    #[arg(long, value_name = "N", default_value_t = limits::PAGE_ROWS)]
    most: usize,
}

/// A person's word on one device.
#[derive(Clone, Debug, Args)]
pub struct Accept {
    /// The rollout.
    id: Name,
    /// The device.
    device: DeviceId,
    /// It may not stay in use so: it counts as failed.
    #[arg(long)]
    not_good: bool,
    /// The number of the work order in the hospital's own books.
    #[arg(long, value_name = "NUMBER")]
    work_order: Option<String>,
    /// What was seen.
    #[arg(long)]
    note: String,
}

/// Begin a rollout.
#[derive(Clone, Debug, Args)]
pub struct Create {
    /// Its name.
    #[arg(long, value_name = "NAME")]
    pub id: Name,
    /// What people call it.
    #[arg(long)]
    pub title: String,
    /// A wave: its name, its order, and the list that the order was signed for (none for an order by facts). Repeat,
    /// first to last.
    #[arg(long, value_name = "NAME=ORDER[=FILE]", required = true)]
    pub wave: Vec<String>,
    /// Failures in thousandths above which it stops itself.
    #[arg(long, value_name = "N")]
    pub failure_limit_permille: Option<u32>,
    /// Devices that may install at once.
    #[arg(long, value_name = "N")]
    pub in_flight: Option<u32>,
    /// Seconds without a word after which a device counts as failed; a trial may last two hours where the network is down.
    #[arg(long, value_name = "SECONDS")]
    pub silent_after_s: Option<u32>,
    /// Seconds to watch a finished wave before the next begins.
    #[arg(long, value_name = "SECONDS")]
    pub soak_s: Option<u32>,
    /// So many failures in one wave stop it, whatever their share.
    #[arg(long, value_name = "N")]
    pub failure_count: Option<u32>,
    /// A plain share of failures in thousandths above which it stops, once 20 devices of a wave have finished.
    #[arg(long, value_name = "N")]
    pub failure_rate_permille: Option<u32>,
    /// Split the one `--wave` given into several of the same order: counts, shares, or all that are left, such as
    /// `12,10%,rest`. Not by `group:`, because a list names no places: `order plan` splits by them.
    #[arg(long, value_name = "SIZES", value_delimiter = ',')]
    pub waves: Vec<Size>,
    /// Of two rollouts for one device the one with the higher number goes first, 0 to 1000.
    #[arg(long, value_name = "N")]
    pub priority: Option<u32>,
    /// So many confirmed devices of each wave have to be accepted by a person before the next begins.
    #[arg(long, value_name = "N")]
    pub accept_per_wave: Option<u32>,
    /// Every confirmed device has to be accepted by a person before the next wave begins.
    #[arg(long, conflicts_with = "accept_per_wave")]
    pub accept_every: bool,
    /// When a wave is done although some devices have not ended.
    #[command(flatten)]
    pub advance: Advance,
    /// The number of the work order in the hospital's own books.
    #[arg(long, value_name = "NUMBER")]
    pub work_order: Option<String>,
    /// What is rolled out is a content: the waves name it, and the list that it was signed for.
    #[arg(long)]
    pub content: bool,
    /// A wave of an order by facts, by its name, that takes in devices which come to fit later. Repeat for several.
    #[arg(long, value_name = "NAME")]
    pub joins: Vec<String>,
}

/// When a wave is done although some devices have not ended.
#[derive(Clone, Debug, Default, Args)]
pub struct Advance {
    /// Seconds after a wave began, and without a word, after which a device is no longer waited for; 259200 if not given.
    #[arg(long, value_name = "SECONDS")]
    pub unreached_after_s: Option<u32>,
    /// Seconds after a wave began after which a device that waits is no longer waited for; always if not given.
    #[arg(long, value_name = "SECONDS")]
    pub waiting_after_s: Option<u32>,
    /// Thousandths of a wave that must be confirmed before the next begins; 100 if not given.
    #[arg(long, value_name = "N")]
    pub least_confirmed_permille: Option<u32>,
    /// So many devices of a wave must be confirmed before the next begins; 1 if not given.
    #[arg(long, value_name = "N")]
    pub least_confirmed: Option<u32>,
}

impl Advance {
    /// What was said of it; nothing where nothing was.
    fn body(&self) -> Option<Value> {
        let said = given([
            ("unreached_after_s", self.unreached_after_s),
            ("waiting_after_s", self.waiting_after_s),
            ("least_confirmed_permille", self.least_confirmed_permille),
            ("least_confirmed", self.least_confirmed),
        ]);
        (!said.is_empty()).then_some(Value::Object(said))
    }
}

/// The numbers that were given, by their names.
fn given<const N: usize>(numbers: [(&str, Option<u32>); N]) -> serde_json::Map<String, Value> {
    let given = numbers.into_iter().filter_map(|(name, number)| Some((name.to_owned(), json!(number?))));
    given.collect()
}

impl Command {
    /// Does it.
    ///
    /// # Errors
    /// Refused, wrongly used, or the server was not reached.
    pub fn run(&self, session: &mut Session<'_>) -> Result<Report, Failure> {
        let api = Api::new(session.options)?;
        match self {
            Self::Create(create) => {
                let answer = api.post(&["rollouts"], &create.body()?)?;
                Ok(Report::new(format!("{} begun: {}", create.id, create.title), answer))
            }
            Self::List => {
                let views = api.list(&ALL, &[], limits::PAGE_ROWS)?;
                let rows: Vec<_> = views.iter().map(row).collect();
                Ok(Report::table(&COLUMNS, &rows, Value::Array(views)))
            }
            Self::Show { id } => Ok(Report::document(api.get(&["rollouts", id.as_str()], &[])?)),
            Self::Reasons { id } => {
                let answer = api.get(&["rollouts", id.as_str(), "reasons"], &[])?;
                let rows = answer.get("reasons").and_then(Value::as_array).cloned().unwrap_or_default();
                Ok(Report::table(&REASONS, &rows, answer))
            }
            Self::Devices(devices) => devices.listed(&api),
            Self::Calendar(calendar) => calendar.shown(&api),
            Self::Watch(watch) => watch.run(&api, session),
            Self::Pause(deed) => deed.done(&api, "pause"),
            Self::Halt(deed) => deed.done(&api, "stop"),
            Self::Resume(onward) => onward.done(&api, "resume", session),
            Self::Abort(deed) => deed.done(&api, "abort"),
            Self::Back(onward) => onward.done(&api, "back", session),
            Self::Finish(onward) => onward.done(&api, "finish", session),
            Self::Accept(accept) => accept.done(&api),
        }
    }
}

impl Devices {
    fn listed(&self, api: &Api) -> Result<Report, Failure> {
        let pages =
            Pages { path: &["rollouts", self.id.as_str(), "devices"], rows: "devices", cursor: "after" };
        let asked = [
            ("wave", self.wave.map(|wave| wave.to_string())),
            ("stage", self.stage.clone()),
            ("code", self.code.clone()),
        ];
        let asked: Vec<_> = asked.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
        let rows = api.list(&pages, &asked, self.most)?;
        Ok(Report::table(&DEVICES, &rows.clone(), Value::Array(rows)))
    }
}

impl Deed {
    fn done(&self, api: &Api, act: &str) -> Result<Report, Failure> {
        let answer = api.post(&["rollouts", self.id.as_str(), act], &json!({"reason": self.reason}))?;
        Ok(Report::new(format!("{}: {act} done", self.id), answer))
    }
}

impl Onward {
    /// The server does it over the state that was seen and over no other one: what came between is looked at first.
    fn done(&self, api: &Api, act: &str, session: &mut Session<'_>) -> Result<Report, Failure> {
        let id = &self.deed.id;
        let seen = match &self.seen {
            Some(seen) => seen.clone(),
            None => {
                let view = api.get(&["rollouts", id.as_str()], &[])?;
                let lines = Seen::of(&view, &Value::Null).lines(None).join("\n  ");
                session.agree(&format!("{id} is {lines}\n"), &format!("Ask for `{act}`?"))?;
                state_of(&view)?
            }
        };
        let body = json!({"reason": self.deed.reason, "seen": seen});
        let answer = api.post(&["rollouts", id.as_str(), act], &body)?;
        Ok(Report::new(format!("{id}: {act} done"), answer))
    }
}

/// A state as it is given back: its word, and since when where the server says so.
fn state_of(view: &Value) -> Result<String, Failure> {
    let odd = || Failure::refused("unusable answer", "the server's answer has no state of a rollout");
    let word = view.get("state").and_then(Value::as_str).ok_or_else(odd)?;
    let since = view.pointer("/rollout/state/at").and_then(Value::as_i64);
    Ok(since.map_or(word.to_owned(), |since| format!("{word}@{since}")))
}

impl Accept {
    fn done(&self, api: &Api) -> Result<Report, Failure> {
        let device = self.device.to_string();
        let path = ["rollouts", self.id.as_str(), "devices", &device, "accept"];
        let body = json!({"good": !self.not_good, "work_order": self.work_order, "note": self.note});
        let answer = api.post(&path, &body)?;
        let word = if self.not_good { "not accepted" } else { "accepted" };
        Ok(Report::new(format!("{device}: {word}"), answer))
    }
}

impl Create {
    fn body(&self) -> Result<Value, Failure> {
        let waves = self.wave.iter().map(|text| wave(text)).collect::<Result<Vec<_>, _>>()?;
        let waves = self.in_parts(self.taking_in(waves)?)?;
        let mut fields = given([
            ("failure_limit_permille", self.failure_limit_permille),
            ("in_flight", self.in_flight),
            ("silent_after_s", self.silent_after_s),
            ("soak_s", self.soak_s),
            ("failure_count", self.failure_count),
            ("failure_rate_permille", self.failure_rate_permille),
            ("priority", self.priority),
        ]);
        fields.insert("id".to_owned(), json!(self.id.as_str()));
        fields.insert("title".to_owned(), json!(self.title));
        fields.insert("waves".to_owned(), json!(waves));
        if self.content {
            fields.insert("kind".to_owned(), json!("content"));
        }
        if let Some(number) = &self.work_order {
            fields.insert("work_order".to_owned(), json!(number));
        }
        if let Some(advance) = self.advance.body() {
            fields.insert("advance".to_owned(), advance);
        }
        if self.accept_every {
            fields.insert("acceptance".to_owned(), json!({"kind": "every"}));
        }
        if let Some(per_wave) = self.accept_per_wave {
            fields.insert("acceptance".to_owned(), json!({"kind": "sample", "per_wave": per_wave}));
        }
        Ok(Value::Object(fields))
    }

    /// The waves, those that take in later comers marked.
    fn taking_in(&self, mut waves: Vec<Value>) -> Result<Vec<Value>, Failure> {
        for name in &self.joins {
            let mut named = waves.iter_mut().filter_map(Value::as_object_mut);
            let wave = named.find(|wave| wave.get("name").and_then(Value::as_str) == Some(name));
            let wave = wave.ok_or_else(|| Failure::Usage(format!("`--joins {name}` names no `--wave`")))?;
            wave.insert("joins".to_owned(), Value::Bool(true));
        }
        Ok(waves)
    }

    /// The one wave as several of the same order. The first one brings the whole list, so that the server can check
    /// that it is the one that was signed.
    fn in_parts(&self, waves: Vec<Value>) -> Result<Vec<Value>, Failure> {
        let whole = match waves.as_slice() {
            _ if self.waves.is_empty() => return Ok(waves),
            [whole] => whole,
            _ => return Err(Failure::Usage("`--waves` splits one `--wave`; give one".to_owned())),
        };
        if self.waves.iter().any(|size| matches!(size, Size::Group(_))) {
            let why = "a list names no places: split by `group:` with `order plan --waves`, and give a --wave for each list";
            return Err(Failure::Usage(why.to_owned()));
        }
        let members = whole.get("members").and_then(Value::as_array);
        let members = members.ok_or_else(|| {
            Failure::Usage("`--waves` splits a list: write the wave as NAME=ORDER=FILE".to_owned())
        })?;
        let devices: Vec<(Value, &str)> = members.iter().map(|member| (member.clone(), "")).collect();
        let parts = split(&devices, &self.waves).map_err(|error| Failure::Usage(error.to_string()))?;
        let part = |(number, part): (usize, Vec<Value>)| {
            let name = format!("{} {number}", whole.get("name").and_then(Value::as_str).unwrap_or_default());
            let list = (number == 1).then_some(members);
            json!({"name": name, "order": whole.get("order"), "part": part, "members": list})
        };
        Ok((1..).zip(parts).map(part).collect())
    }
}

fn wave(text: &str) -> Result<Value, Failure> {
    let parts: Vec<_> = text.splitn(3, '=').collect();
    match parts.as_slice() {
        [name, order] => Ok(json!({"name": name, "order": order})),
        [name, order, file] => {
            let list = ScopeList::read(Path::new(file))?;
            let members: Vec<_> = list.identities().map(ToString::to_string).collect();
            Ok(json!({"name": name, "order": order, "members": members}))
        }
        _ => {
            let form = "write NAME=ORDER=FILE, such as first=vp3-422-1=ward-3.tsv";
            Err(Failure::Usage(format!("`{text}` is no wave: {form}")))
        }
    }
}

/// A rollout in one line.
fn row(view: &Value) -> Value {
    let field = |path: &str| view.pointer(path).cloned().unwrap_or(Value::Null);
    let waves = view.get("waves").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let confirmed: u64 = waves.iter().filter_map(|wave| wave.get("confirmed")?.as_u64()).sum();
    let devices: u64 = waves.iter().filter_map(|wave| wave.get("devices")?.as_u64()).sum();
    json!({
        "id": field("/rollout/id"),
        "title": field("/rollout/title"),
        "release": field("/rollout/release"),
        "state": field("/rollout/state/kind"),
        "confirmed": confirmed,
        "devices": devices,
    })
}

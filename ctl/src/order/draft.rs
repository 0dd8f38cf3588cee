//! `order draft`, `order sign --draft` and `--rebase`: orders go from signer to signer by way of a server.
//!
//! The server only carries. The next signer recomputes everything ([`super::pulled`]), sees it in full, and signs with a
//! key that the server never meets. A draft over orders that are not in force any more is laid onto those that are; the
//! signatures given so far are void then, because they were given for another document. Read next: [`super::pulled`].

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use cordon_proto::ids::{Name, Text};
use cordon_proto::update::draft::{Draft, Intent, intents, lay};
use cordon_proto::update::scope::Scope;
use cordon_proto::update::{Rules, author};
use serde_json::{Value, json};

use super::list::ScopeList;
use super::meeting::Meeting;
use super::pulled::{Judged, Pulled, catch_up, in_bounds, in_force};
use super::sign::{Sign, document, heading, over, stays};
use super::{Checked, describe};
use crate::api::Api;
use crate::arguments::read_file;
use crate::chain::{Director, Maker, orders_of, orders_role};
use crate::clock;
use crate::failure::Failure;
use crate::folder::{Folder, write_whole};
use crate::repo::signatories::{Signatories, complete, report};
use crate::repo::words::ends;
use crate::report::Report;
use crate::session::Session;

/// What the list shows.
const COLUMNS: [&str; 7] = ["name", "by", "base", "adds", "withdraws", "signers", "until"];
/// Bytes of a list that goes along.
const LIST_BYTES: u64 = 4 * 1024 * 1024;

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Hand the document that waits in your folder on to the next signer.
    Push(Push),
    /// Bring a draft into your folder: to sign it there, or to publish it once it is complete.
    Pull(Pull),
    /// List drafts that wait.
    List,
    /// Drop a draft.
    Drop {
        /// Its name.
        name: Name,
        /// Why.
        #[arg(long)]
        reason: String,
    },
}

/// Hand a document on.
#[derive(Clone, Debug, Args)]
pub struct Push {
    /// The draft's name.
    pub name: Name,
    /// The owner's folder.
    #[arg(long, value_name = "DIR")]
    pub director: PathBuf,
    /// The lists of the new orders' scopes. Repeat.
    #[arg(long, value_name = "FILE")]
    pub scope_list: Vec<PathBuf>,
    /// Who made it, for whoever signs next.
    #[arg(long, value_name = "TEXT")]
    pub by: Text,
}

/// Bring a draft.
#[derive(Clone, Debug, Args)]
pub struct Pull {
    /// The draft's name.
    pub name: Name,
    /// The owner's folder.
    #[arg(long, value_name = "DIR")]
    pub director: PathBuf,
    /// A folder for the lists that came along, to sign on a machine without a network.
    #[arg(long, value_name = "DIR")]
    pub lists: Option<PathBuf>,
}

impl Command {
    /// Does it.
    ///
    /// # Errors
    /// Refused, wrongly used, or the server was not reached.
    pub fn run(&self, session: &mut Session<'_>) -> Result<Report, Failure> {
        let api = Api::new(session.options)?;
        match self {
            Self::Push(push) => push.run(&api, session),
            Self::Pull(pull) => pull.run(&api, session),
            Self::List => {
                let answer = api.get(&["drafts"], &[])?;
                let rows = answer.get("drafts").and_then(Value::as_array).cloned().unwrap_or_default();
                Ok(Report::table(&COLUMNS, &rows, answer))
            }
            Self::Drop { name, reason } => {
                let answer = api.delete(&["drafts", name.as_str()], &json!({"reason": reason}))?;
                Ok(Report::new(format!("{name} dropped"), answer))
            }
        }
    }
}

impl Push {
    fn run(&self, api: &Api, session: &Session<'_>) -> Result<Report, Failure> {
        let rules = session.rules();
        let director = Director::open(Folder::open(&self.director)?, &rules, session.options.example_keys)?;
        let (newest, known) = director.orders(&rules)?;
        let none = || Failure::refused("nothing to hand on", "no document of orders waits in this folder");
        let waiting = newest.filter(|newest| !newest.complete).ok_or_else(none)?;
        let base = known.as_ref().map_or(0, |signed| signed.version);
        if waiting.version != base + 1 {
            let detail = format!("the document is orders {}, in force are orders {base}", waiting.version);
            return Err(Failure::refused("other orders in force", detail));
        }
        let after = orders_of(&waiting.targets)?;
        let mut before = known.map(|signed| orders_of(&signed.targets)).transpose()?.unwrap_or_default();
        before.retain(|order| after.contains(order) || !over(order, session.now));
        let draft = Draft {
            name: self.name.clone(),
            base,
            intents: intents(&before, &after),
            expires: waiting.targets.expires,
            by: self.by.clone(),
            made: session.now,
        };
        let lists = self.lists(&draft.intents)?;
        let pulled = Pulled { draft, document: waiting.bytes, lists, revision: 0 };
        pulled.put(api, true)?;
        let text = format!(
            "{} handed on, over orders {base} with {} signatures: the next signer runs `cordonctl order sign --draft {}`",
            self.name, waiting.signatures, self.name
        );
        Ok(Report::new(text, json!({"draft": self.name.as_str(), "base": base})))
    }

    /// The given lists, each for the orders whose root it makes.
    fn lists(&self, intents: &[Intent]) -> Result<BTreeMap<Name, String>, Failure> {
        let mut read = Vec::new();
        for path in &self.scope_list {
            let bytes = read_file(path, LIST_BYTES)?;
            let text = String::from_utf8(bytes).map_err(|error| Failure::refused("unusable list", error))?;
            read.push((ScopeList::read(path)?.root(), text));
        }
        let mut lists = BTreeMap::new();
        for intent in intents {
            let Intent::Add(order) = intent else { continue };
            let Scope::Set { root, .. } = &order.scope else { continue };
            let list = read.iter().find(|(made, _)| made == root).map(|(_, text)| text.clone());
            let missing = || {
                let detail = format!("no list given with --scope-list makes the root of order {}", order.id);
                Failure::refused("list missing", detail)
            };
            lists.insert(order.id.clone(), list.ok_or_else(missing)?);
        }
        Ok(lists)
    }
}

impl Pull {
    fn run(&self, api: &Api, session: &Session<'_>) -> Result<Report, Failure> {
        let rules = session.rules();
        let director = Director::open(Folder::open(&self.director)?, &rules, session.options.example_keys)?;
        let taken = catch_up(&director, api, &rules)?;
        api.same_time(session.now)?;
        let pulled = Pulled::get(api, &self.name)?;
        let who = signatories(&director)?;
        let counts = who.counts(&pulled.document, rules.sizes.targets, &rules)?;
        let (base, _) = in_force(&director, &rules)?;
        let file = format!("{}.orders.json", pulled.draft.base + 1);
        if base > pulled.draft.base {
            let detail = format!(
                "the draft {} was made over orders {}, in force are orders {base}: `cordonctl order sign --rebase`",
                self.name, pulled.draft.base
            );
            return Err(Failure::refused("other orders in force", detail));
        }
        director.folder.set_aside(&file, &pulled.document)?;
        director.folder.write(&file, &pulled.document)?;
        let mut report = report(&file, &counts);
        if let Some(folder) = &self.lists {
            std::fs::create_dir_all(folder).map_err(|error| Failure::file("make", folder, &error))?;
            for (order, list) in &pulled.lists {
                write_whole(&folder.join(format!("{order}.tsv")), list.as_bytes())?;
            }
            report.text += &format!("\n{} lists are in {}", pulled.lists.len(), folder.display());
        }
        report.text += &brought(&taken);
        Ok(report)
    }
}

/// `order sign --draft`: recomputes a draft, shows it in full, signs it and hands it on.
///
/// # Errors
/// It does not fit the own folders, a key may not sign, the person does not agree, or somebody else was faster.
pub fn sign(sign: &Sign, name: &Name, session: &mut Session<'_>) -> Result<Report, Failure> {
    let (api, rules) = (Api::new(session.options)?, session.rules());
    let (director, maker) = folders(sign, session)?;
    let taken = catch_up(&director, &api, &rules)?;
    api.same_time(session.now)?;
    let mut pulled = Pulled::get(&api, name)?;
    let meeting = Meeting::of(&director, &sign.promised, &rules)?;
    let judged = pulled.judge(&director, (&maker, &meeting), session)?;
    let keys = sign.keys(session.options.example_keys)?;
    let words = format!("draft {name}, made by {} at {}\n", pulled.draft.by, pulled.draft.made);
    session.about_to_sign(&(words + &shown(&judged, pulled.draft.base + 1) + &ends(pulled.draft.expires)))?;
    let who = signatories(&director)?;
    for key in &keys {
        pulled.document = who.add(&pulled.document, rules.sizes.targets, key)?;
    }
    pulled.put(&api, false)?;
    let counts = who.counts(&pulled.document, rules.sizes.targets, &rules)?;
    let file = format!("{}.orders.json", pulled.draft.base + 1);
    let mut report = report(&file, &counts);
    if complete(&counts) {
        director.folder.set_aside(&file, &pulled.document)?;
        director.folder.write(&file, &pulled.document)?;
        report.text += &format!("\n{file} is in your folder: publish it with `cordonctl repo publish`");
    }
    report.text += &brought(&taken);
    Ok(report)
}

/// `order sign --rebase`: lays a draft onto the orders that are in force by now, and signs it first.
///
/// # Errors
/// There is nothing to lay it onto, it contradicts what is in force, or as for [`sign`].
pub fn rebase(sign: &Sign, name: &Name, session: &mut Session<'_>) -> Result<Report, Failure> {
    let (api, rules) = (Api::new(session.options)?, session.rules());
    let (director, maker) = folders(sign, session)?;
    let taken = catch_up(&director, &api, &rules)?;
    api.same_time(session.now)?;
    let mut pulled = Pulled::get(&api, name)?;
    let (base, before) = in_force(&director, &rules)?;
    if base == pulled.draft.base {
        let detail = format!("{name} was made over orders {base}, which are in force: sign it with --draft");
        return Err(Failure::refused("nothing to rebase", detail));
    }
    let who = signatories(&director)?;
    let void: u64 =
        who.counts(&pulled.document, rules.sizes.targets, &rules)?.iter().map(|count| count.signatures).sum();
    let kept: Vec<_> = before.iter().filter(|order| !over(order, session.now)).cloned().collect();
    let after = lay(&kept, &pulled.draft.intents).map_err(|clash| Failure::refused("clash", clash))?;
    in_bounds(pulled.draft.expires, session.now)?;
    let meeting = Meeting::of(&director, &sign.promised, &rules)?;
    let (checked, lists) = pulled.checked((&maker, &meeting), session)?;
    let next = document(&after, base + 1, pulled.draft.expires)?;
    let keys = sign.keys(session.options.example_keys)?;
    let words = format!(
        "draft {name}, made by {}, laid from orders {} onto orders {base}\n  {void} SIGNATURES GIVEN SO FAR ARE VOID: \
         everybody signs again\n",
        pulled.draft.by, pulled.draft.base
    );
    let judged = Judged { before, after, checked, lists };
    session.about_to_sign(&(words + &shown(&judged, base + 1) + &ends(pulled.draft.expires)))?;
    pulled.document = who.first(&author::targets(&next), rules.sizes.targets, &keys)?;
    let intents = intents(&kept, &judged.after);
    let is_of = |name: &Name, intent: &Intent| matches!(intent, Intent::Add(order) if order.id == *name);
    pulled.lists.retain(|order, _| intents.iter().any(|intent| is_of(order, intent)));
    pulled.draft = Draft { base, intents, made: session.now, ..pulled.draft };
    pulled.put(&api, false)?;
    let counts = who.counts(&pulled.document, rules.sizes.targets, &rules)?;
    let mut report = report(&format!("{}.orders.json", base + 1), &counts);
    report.text += &format!(
        "\n{void} earlier signatures are void: the others sign again with `order sign --draft {name}`"
    );
    report.text += &brought(&taken);
    Ok(report)
}

fn folders(sign: &Sign, session: &Session<'_>) -> Result<(Director, Maker), Failure> {
    let (rules, example) = (session.rules(), session.options.example_keys);
    let director = Director::open(Folder::open(&sign.director)?, &rules, example)?;
    clock::not_behind(session.now, &director.made(&rules)?)?;
    Ok((director, maker(&sign.image, &rules, example)?))
}

fn maker(path: &Path, rules: &Rules<'_>, example_keys: bool) -> Result<Maker, Failure> {
    Maker::open(Folder::open(path)?, rules, example_keys)
}

fn signatories(director: &Director) -> Result<Signatories, Failure> {
    Ok(Signatories::one(orders_role(), director.orders_authority()?.clone()))
}

/// All that a signer sees: the summary, each order that comes in full, each that goes.
fn shown(judged: &Judged, version: u64) -> String {
    let Judged { before, after, checked, lists } = judged;
    let comes: String = checked.iter().map(|checked: &Checked| describe(checked, lists)).collect();
    let goes = before.iter().filter(|order| !after.iter().any(|other| other.id == order.id));
    let goes: String =
        goes.map(|order| format!("{} is no longer listed, and its way back is closed\n", order.id)).collect();
    heading(version, before, after) + &comes + &goes + &stays(before, after, false)
}

fn brought(taken: &[String]) -> String {
    if taken.is_empty() {
        String::new()
    } else {
        format!("\nbrought what was published meanwhile: {}", taken.join(", "))
    }
}

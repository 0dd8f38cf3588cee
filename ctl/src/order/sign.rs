//! `order sign`, the first signer: the next document of orders, with new orders in it and others withdrawn.
//!
//! All live orders stand in one document; what has ended falls out. One order is made for each list (a wave), so that
//! a halted wave needs no new signature. Orders for releases of interlock `application` are signed wave by wave unless
//! `--whole` is given. Read next: [`super::check`], [`super::meeting`], [`super::add`].

use std::path::PathBuf;

use clap::Args;
use cordon_proto::ids::{Name, TargetPath};
use cordon_proto::limits;
use cordon_proto::time::Timestamp;
use cordon_proto::update::author;
use cordon_proto::update::draft::{self, SIGNED_BYTES, summary};
use cordon_proto::update::metadata::Targets;
use cordon_proto::update::order::Order;
use cordon_proto::update::scope::Scope;
use cordon_proto::update::window::Window;

use super::list::ScopeList;
use super::meeting::{Meeting, Promised};
use super::wished::Plan;
use super::{describe, facts};
use crate::arguments;
use crate::chain::{Director, Maker, Signed, orders_of, orders_role};
use crate::clock;
use crate::failure::Failure;
use crate::folder::Folder;
use crate::key::SecretKey;
use crate::repo::add::counted;
use crate::repo::sign_as;
use crate::repo::words::ends;
use crate::report::Report;
use crate::session::Session;

/// Sign orders.
#[derive(Clone, Debug, Args)]
pub struct Sign {
    /// The owner's folder.
    #[arg(long, value_name = "DIR")]
    pub director: PathBuf,
    /// The maker's folder.
    #[arg(long, value_name = "DIR")]
    pub image: PathBuf,
    /// A private key of the people who sign orders. Repeat only if one person may hold both.
    #[arg(long, value_name = "FILE", required = true)]
    pub key: Vec<PathBuf>,
    /// Put the second signature under the document that waits for it; give the same lists.
    #[arg(long, conflicts_with_all = ["id", "withdraw", "renew"])]
    pub add: bool,
    /// Sign the live orders anew: for a later end of the document, or by people who were named anew and give all lists.
    #[arg(long)]
    pub renew: bool,
    /// The devices of a scope: lines of MANUFACTURER, MODEL, SERIAL. One list makes one order, a wave. Repeat.
    #[arg(long, value_name = "FILE", conflicts_with = "match_model")]
    pub scope_list: Vec<PathBuf>,
    /// Sign a draft that somebody handed on: pull it, recompute it from the own folders, sign, hand it on.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["id", "plan", "withdraw", "renew", "add", "scope_list", "rebase"])]
    pub draft: Option<Name>,
    /// Lay a draft onto the orders that are in force by now, and sign it first; earlier signatures are void.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["id", "plan", "withdraw", "renew", "add", "scope_list"])]
    pub rebase: Option<Name>,
    /// Many orders, of one release or several, from a file (TOML, a [[order]] for each); one session signs them all.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["id", "scope_list", "match_model", "add", "renew"])]
    pub plan: Option<PathBuf>,
    /// Sign further orders for the same devices, so that those on which the first try fails can be tried again.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub spare: u32,
    /// The new order's name; with several lists -1, -2, … is added.
    #[arg(long, value_name = "NAME", requires_all = ["release", "repository", "expires", "reason", "window"])]
    pub id: Option<Name>,
    /// The release to install.
    #[arg(long, value_name = "PATH")]
    pub release: Option<TargetPath>,
    /// The maker's repository, by the name under which the server and the devices know it.
    #[arg(long, value_name = "NAME")]
    pub repository: Option<Name>,
    /// Instead of lists: every device of this model, new ones too.
    #[arg(long, value_name = "MODEL", requires_all = ["match_hardware", "from"])]
    pub match_model: Option<String>,
    /// Its hardware revision.
    #[arg(long, value_name = "REVISION")]
    pub match_hardware: Option<String>,
    /// The installed counters from which, such as 30:41.
    #[arg(long, value_name = "MIN:MAX", value_parser = arguments::counters)]
    pub from: Option<(u64, u64)>,
    /// One order for all, although the release needs its application's word before a reboot.
    #[arg(long)]
    pub whole: bool,
    /// When the order begins to hold.
    #[arg(long, value_name = "TIME", default_value = "0m")]
    pub not_before: String,
    /// When it ends.
    #[arg(long, value_name = "TIME")]
    pub expires: Option<String>,
    /// When devices may reboot, in their own time: `mon-fri 22:00-05:00`, or always. Repeat.
    #[arg(long, value_name = "WINDOW", value_parser = arguments::window)]
    pub window: Vec<Window>,
    /// The release to which devices may return.
    #[arg(long, value_name = "PATH", requires = "back_until")]
    pub back: Option<TargetPath>,
    /// Until when they may return.
    #[arg(long, value_name = "TIME", requires = "back")]
    pub back_until: Option<String>,
    /// Seconds for which the server's go stays fresh.
    #[arg(long, value_name = "SECONDS", default_value_t = limits::PERMIT_S, conflicts_with = "offline")]
    pub permit_s: u32,
    /// Devices may install without the server's go.
    #[arg(long)]
    pub offline: bool,
    /// Why, for the record.
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Take an order out of the document; this closes its way back too. Repeat.
    #[arg(long, value_name = "NAME")]
    pub withdraw: Vec<Name>,
    /// When the document expires; no order reaches beyond it.
    #[arg(long, value_name = "TIME", default_value = "90d")]
    pub document_expires: String,
    /// What else says when devices may reboot.
    #[command(flatten)]
    pub promised: Promised,
}

impl Sign {
    /// Does it.
    ///
    /// # Errors
    /// An order is not to be signed, a key may not sign, or the person does not agree.
    pub fn run(&self, session: &mut Session<'_>) -> Result<Report, Failure> {
        let plans = self.plans()?;
        if plans.is_empty() && self.withdraw.is_empty() && !self.renew {
            return Err(Failure::Usage(
                "nothing to sign: give --id for a new order, --plan for many, --withdraw, --renew or --add"
                    .to_owned(),
            ));
        }
        let (rules, example) = (session.rules(), session.options.example_keys);
        let director = Director::open(Folder::open(&self.director)?, &rules, example)?;
        clock::not_behind(session.now, &director.made(&rules)?)?;
        let maker = Maker::open(Folder::open(&self.image)?, &rules, example)?;
        let (newest, in_force) = director.orders(&rules)?;
        let pending = newest.as_ref().filter(|newest| !newest.complete);
        if let Some(pending) = pending.filter(|_| !self.renew) {
            let detail = format!(
                "{}.orders.json waits for another signature: add it with --add, hand it on with `order draft push`, or \
                 remove the file",
                pending.version
            );
            return Err(Failure::refused("not signed enough", detail));
        }
        let base = if self.renew { newest.as_ref() } else { in_force.as_ref() };
        let meeting = Meeting::of(&director, &self.promised, &rules)?;
        let mut orders = self.kept(base, session.now)?;
        let (mut lists, mut told) = (self.lists()?, String::new());
        if pending.is_some() {
            // What the present people have not signed is new to them, whoever signed it before.
            for order in &orders {
                told += &describe(&meeting.check(order.clone(), &maker, &lists, &rules)?, &lists);
            }
        }
        for plan in &plans {
            let own = plan.lists.iter().map(|path| ScopeList::read(path)).collect::<Result<Vec<_>, _>>()?;
            for order in plan.orders(&maker, &own, session)? {
                if orders.iter().any(|other| other.id == order.id) {
                    let detail = format!("an order {} is live already", order.id);
                    return Err(Failure::refused("name taken", detail));
                }
                let checked = meeting.check(order, &maker, &own, &rules)?;
                told += &describe(&checked, &own);
                orders.push(checked.order);
            }
            lists.extend(own);
        }
        let version = newest.as_ref().map_or(1, |newest| newest.version + 1);
        let document = document(&orders, version, self.end(session.now)?)?;
        let keys = self.keys(example)?;
        let before = in_force.map(|signed| orders_of(&signed.targets)).transpose()?.unwrap_or_default();
        // Beside those that were described in full.
        let kept = if pending.is_some() { String::new() } else { stays(&before, &orders, self.renew) };
        let head = heading(version, &before, &orders);
        session.about_to_sign(&format!(
            "{head}{told}{}{kept}{}",
            self.withdrawn(),
            ends(document.expires)
        ))?;
        let (role, authority) = (orders_role(), director.orders_authority()?);
        let bytes = sign_as(&author::targets(&document), &role, authority, &keys.iter().collect::<Vec<_>>())?;
        let file = director.folder.write_role(&role, document.version, &bytes)?;
        let count = u64::try_from(keys.len()).unwrap_or(u64::MAX);
        Ok(counted(&file, count, authority.threshold()).with("orders", orders.iter().map(facts).collect()))
    }

    /// The lists of the scopes.
    ///
    /// # Errors
    /// A list cannot be read.
    pub fn lists(&self) -> Result<Vec<ScopeList>, Failure> {
        self.scope_list.iter().map(|path| ScopeList::read(path)).collect()
    }

    /// The private keys.
    ///
    /// # Errors
    /// One is refused.
    pub fn keys(&self, example_keys: bool) -> Result<Vec<SecretKey>, Failure> {
        self.key.iter().map(|file| SecretKey::read(file, example_keys)).collect()
    }

    /// When the document expires.
    ///
    /// # Errors
    /// It would live too long, or the text is no time.
    pub fn end(&self, now: Timestamp) -> Result<Timestamp, Failure> {
        let expires = arguments::time(&self.document_expires, now)?;
        if expires.seconds_since(now) > limits::ORDERS_DAYS * 86_400 {
            let detail = format!("the document of orders lives at most {} days", limits::ORDERS_DAYS);
            return Err(Failure::Usage(detail));
        }
        Ok(expires)
    }

    /// What is wished: by the flags, or by a file.
    fn plans(&self) -> Result<Vec<Plan>, Failure> {
        if let Some(file) = &self.plan {
            return Plan::read(file);
        }
        let (Some(id), Some(release), Some(repository)) = (&self.id, &self.release, &self.repository) else {
            return Ok(Vec::new());
        };
        let facts = match (&self.match_model, &self.match_hardware, self.from) {
            (Some(model), Some(hardware), Some(from)) => Some((model.clone(), hardware.clone(), from)),
            _ => None,
        };
        Ok(vec![Plan {
            id: id.clone(),
            release: release.clone(),
            repository: repository.clone(),
            lists: self.scope_list.clone(),
            facts,
            whole: self.whole,
            not_before: self.not_before.clone(),
            expires: self.expires.clone().unwrap_or_default(),
            windows: self.window.clone(),
            back: self.back.clone().zip(self.back_until.clone()),
            permit_s: (!self.offline).then_some(self.permit_s),
            reason: self.reason.clone().unwrap_or_default(),
            spare: self.spare,
        }])
    }

    fn withdrawn(&self) -> String {
        self.withdraw.iter().map(|id| format!("withdraws {id}, and closes its way back\n")).collect()
    }

    /// The orders that stay: neither withdrawn nor over with their way back.
    fn kept(&self, in_force: Option<&Signed>, now: Timestamp) -> Result<Vec<Order>, Failure> {
        let mut orders = in_force.map(|signed| orders_of(&signed.targets)).transpose()?.unwrap_or_default();
        for id in &self.withdraw {
            if !orders.iter().any(|order| order.id == *id) {
                return Err(Failure::refused(
                    "unknown order",
                    format!("there is no live order {id} to withdraw"),
                ));
            }
        }
        orders.retain(|order| !self.withdraw.contains(&order.id) && !over(order, now));
        Ok(orders)
    }
}

/// Whether an order and its way back are over.
#[must_use]
pub fn over(order: &Order, now: Timestamp) -> bool {
    order.expires <= now && order.back.as_ref().is_none_or(|back| back.until <= now)
}

/// What stands above all that is shown: the version, and a line for each release whose orders come or go.
#[must_use]
pub fn heading(version: u64, before: &[Order], after: &[Order]) -> String {
    let lines: String = summary(before, after).iter().map(|line| format!("  {line}\n")).collect();
    format!("orders version {version}\n{lines}")
}

/// What stays as it was: each order in a line where that is all there is to see, and otherwise how many they are.
#[must_use]
pub fn stays(before: &[Order], after: &[Order], each: bool) -> String {
    let kept: Vec<_> = after.iter().filter(|order| before.contains(order)).collect();
    if kept.is_empty() {
        return String::new();
    }
    let line = |order: &&Order| {
        let whom = match &order.scope {
            Scope::Set { count, .. } => format!("{count} devices"),
            Scope::Match { model, hardware, .. } => format!("EVERY {model} of hardware {hardware}"),
        };
        let back = order.back.as_ref();
        let back =
            back.map_or("none".to_owned(), |back| format!("{} until {}", back.image.release, back.until));
        let (id, release, until) = (&order.id, &order.image.release, order.expires);
        format!("  {id}: {release} of {} for {whom}, until {until}, way back {back}\n", order.repository)
    };
    let lines: String = kept.iter().filter(|_| each).map(line).collect();
    format!("keeps {} orders as they are\n{lines}", kept.len())
}

/// The document of these orders, read back as a device would read it.
///
/// # Errors
/// An order could not be read, or the document is larger than people sign.
pub fn document(orders: &[Order], version: u64, expires: Timestamp) -> Result<Targets, Failure> {
    let document = draft::document(version, expires, orders);
    orders_of(&document)?;
    let bytes = author::targets(&document).json().len();
    if bytes > SIGNED_BYTES {
        let detail = format!(
            "the document has {bytes} bytes; devices read {}: withdraw orders",
            limits::DEVICE_TARGETS_BYTES
        );
        return Err(Failure::refused("document too large", detail));
    }
    Ok(document)
}

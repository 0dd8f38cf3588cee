//! `cordonctl order`: the owner's people sign what may be installed where, and anybody checks it.
//!
//! Everything that an order states is shown before it is signed, with the full list of a scope's devices, from which
//! the root is computed here; nothing of it is believed because a server says so. What could not be followed or could not be undone is
//! refused. Read next: [`sign`] for the first signer, [`add`] for the second, [`draft`] where they sit apart, [`verify`].

use clap::Subcommand;
use cordon_proto::update::order::Order;
use cordon_proto::update::release::Release;
use cordon_proto::update::scope::Scope;
use serde_json::{Value, json};

use crate::chain::Maker;
use crate::failure::Failure;
use crate::report::Report;
use crate::session::Session;
use cordon_proto::update::Rules;

pub mod add;
pub mod draft;
pub mod list;
pub mod meeting;
pub mod plan;
pub mod pulled;
pub mod receipts;
pub mod sign;
pub mod verify;
pub mod wished;

use list::ScopeList;

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Sign orders: make and withdraw them, or with --add put the second signature under them.
    Sign(Box<sign::Sign>),
    /// Verify orders offline, and count the receipts for them.
    Verify(verify::Verify),
    /// Hand orders from signer to signer by way of a server, which only carries them.
    #[command(subcommand)]
    Draft(draft::Command),
    /// Ask the server what an order would do, and write the lists of its waves.
    Plan(Box<plan::Plan>),
}

impl Command {
    /// Does it.
    ///
    /// # Errors
    /// Refused or wrongly used.
    pub fn run(&self, session: &mut Session<'_>) -> Result<Report, Failure> {
        match self {
            Self::Sign(sign) => match (&sign.draft, &sign.rebase) {
                (Some(name), _) => draft::sign(sign, name, session),
                (None, Some(name)) => draft::rebase(sign, name, session),
                (None, None) if sign.add => add::run(sign, session),
                (None, None) => sign.run(session),
            },
            Self::Verify(verify) => verify.run(session),
            Self::Draft(command) => command.run(session),
            Self::Plan(plan) => plan.run(session),
        }
    }
}

/// An order that was checked against the maker's word and its scope's list.
pub struct Checked {
    /// The order.
    pub order: Order,
    /// What the maker says of its image.
    pub release: Release,
    /// What the maker says of the way back.
    pub back: Option<Release>,
    /// What contents and wards leave of its windows, in lines; empty where nobody asked.
    pub meets: String,
}

/// Checks an order: the maker lists both images, a device could follow it and come back, and its list makes its root.
///
/// # Errors
/// The first reason not to sign it.
pub fn check(
    order: Order,
    maker: &Maker,
    lists: &[ScopeList],
    rules: &Rules<'_>,
) -> Result<Checked, Failure> {
    let refuse = |why: &dyn std::fmt::Display| {
        Failure::refused("order not signed", format!("order {}: {why}", order.id))
    };
    let release = maker.listed(&order.image.release, rules)?;
    let back = match &order.back {
        Some(back) => Some(maker.listed(&back.image.release, rules)?),
        None => None,
    };
    order.author_check(&release, back.as_ref()).map_err(|error| refuse(&error))?;
    if let Scope::Set { root, count } = &order.scope {
        let list = lists.iter().find(|list| list.root() == *root && list.count() == *count);
        let missing = "no list given with --scope-list makes its root: sign only what you have read in full";
        list.ok_or_else(|| refuse(&missing))?.only_model(&release.model).map_err(|error| refuse(&error))?;
    }
    Ok(Checked { order, release, back, meets: String::new() })
}

/// An order in lines, with its full list, for the eyes of whoever signs.
#[must_use]
pub fn describe(checked: &Checked, lists: &[ScopeList]) -> String {
    let Checked { order, release, back, meets } = checked;
    let mut text = format!(
        "order {}: {} of {}\n{}",
        order.id,
        order.image.release,
        order.repository,
        super::release::describe(release)
    );
    text += &format!("  holds      {} to {}\n", order.not_before, order.expires);
    text += &format!("  windows    {}\n{meets}", meeting::text(&order.windows));
    text += &match (&order.back, back) {
        (Some(way), Some(earlier)) => {
            format!("  way back   {} (counter {}) until {}\n", way.image.release, earlier.counter, way.until)
        }
        (None, _) | (_, None) => "  way back   NONE: a device that confirmed it cannot return\n".to_owned(),
    };
    text += &match order.permit_s {
        Some(seconds) => format!("  permit     at most {seconds} s old\n"),
        None => "  permit     NOT NEEDED: a halt then reaches only devices that check in\n".to_owned(),
    };
    text += &format!("  reason     {}\n", crate::report::plain(order.reason.as_str()));
    text + &scope(&order.scope, lists)
}

/// A scope in lines, with its full list.
pub(crate) fn scope(scope: &Scope, lists: &[ScopeList]) -> String {
    match scope {
        Scope::Match { model, hardware, from_least, from_most } => {
            format!(
                "  scope      EVERY {model} of hardware {hardware} with a counter from {from_least} to {from_most}, new ones too\n"
            )
        }
        Scope::Set { root, count } => {
            let list = lists.iter().find(|list| list.root() == *root);
            let names = list.map(ScopeList::lines).unwrap_or_default();
            format!("  scope      {count} devices, root {root}\n{names}")
        }
    }
}

/// An order for programs.
#[must_use]
pub fn facts(order: &Order) -> Value {
    let custom = serde_json::from_slice(&order.custom().json()).unwrap_or(Value::Null);
    json!({
        "id": order.id.as_str(),
        "length": order.image.length,
        "sha256": order.image.sha256.to_string(),
        "custom": custom,
    })
}

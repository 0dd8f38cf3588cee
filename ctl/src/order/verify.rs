//! `order verify`: are the orders in a folder what the owner's people signed, what the maker lists, and what was done?
//!
//! Offline, on any machine, from the two folders and the receipts that devices signed. Where the owner's folder holds
//! the server's snapshot and timestamp too, the whole is judged as a device would judge it. Read next:
//! [`super::receipts`].

use std::path::PathBuf;

use clap::Args;
use cordon_proto::ids::Name;
use cordon_proto::update::metadata::Targets;
use cordon_proto::update::order::Order;
use cordon_proto::update::{Refresh, Role, Rules, name};
use serde_json::json;

use super::list::ScopeList;
use super::receipts::{Tally, tally};
use super::{check, describe, facts};
use crate::chain::{Director, Maker, ORDERS, complete, orders_of, orders_role};
use crate::failure::Failure;
use crate::folder::Folder;
use crate::report::Report;
use crate::session::Session;

/// Verify orders.
#[derive(Clone, Debug, Args)]
pub struct Verify {
    /// The owner's folder.
    #[arg(long, value_name = "DIR")]
    pub director: PathBuf,
    /// The maker's folder.
    #[arg(long, value_name = "DIR")]
    pub image: PathBuf,
    /// One order; all of them otherwise.
    #[arg(long, value_name = "NAME")]
    pub order: Option<Name>,
    /// The lists of the scopes. Repeat.
    #[arg(long, value_name = "FILE")]
    pub scope_list: Vec<PathBuf>,
    /// Receipts to count: one JSON object a line, {"receipt", "certificate"}; needs --ca.
    #[arg(long, value_name = "FILE")]
    pub receipts: Option<PathBuf>,
}

impl Verify {
    /// Does it.
    ///
    /// # Errors
    /// A chain, an order or a receipt is not believed.
    pub fn run(&self, session: &mut Session<'_>) -> Result<Report, Failure> {
        let (rules, example) = (session.rules(), session.options.example_keys);
        let director = Director::open(Folder::open(&self.director)?, &rules, example)?;
        let maker = Maker::open(Folder::open(&self.image)?, &rules, example)?;
        let lists =
            self.scope_list.iter().map(|path| ScopeList::read(path)).collect::<Result<Vec<_>, _>>()?;
        let (document, published) = document(&director, &rules)?;
        let orders = self.chosen(orders_of(&document)?)?;
        let mut text =
            format!("root {}, first root SHA-256 {}\n", director.chain.root.version, director.chain.first);
        text += if published {
            "published: snapshot and timestamp agree\n"
        } else {
            "not published: signed, but no snapshot in this folder\n"
        };
        let mut rows = Vec::new();
        for order in orders {
            let (row, lines) = self.judge(order, &maker, &lists, session)?;
            text += &lines;
            rows.push(row);
        }
        let json = json!({"version": document.version, "published": published, "orders": rows});
        Ok(Report::new(text, json))
    }

    fn chosen(&self, mut orders: Vec<Order>) -> Result<Vec<Order>, Failure> {
        let Some(id) = &self.order else { return Ok(orders) };
        orders.retain(|order| order.id == *id);
        if orders.is_empty() {
            return Err(Failure::refused(
                "unknown order",
                format!("the signed document lists no order {id}"),
            ));
        }
        Ok(orders)
    }

    /// One order, checked and counted.
    fn judge(
        &self,
        order: Order,
        maker: &Maker,
        lists: &[ScopeList],
        session: &Session<'_>,
    ) -> Result<(serde_json::Value, String), Failure> {
        let given = !lists.is_empty();
        let checked = if given {
            check(order, maker, lists, &session.rules())?
        } else {
            unlisted(order, maker, session)?
        };
        let mut text = describe(&checked, lists);
        let over = session.now >= checked.order.expires;
        let mut receipts = serde_json::Value::Null;
        if let Some(file) = &self.receipts {
            let counted: Tally = tally(file, session.options.ca.as_deref(), &checked.order, lists)?;
            text += &format!("  receipts   {}\n{}", counted.describe(), counted.absent());
            receipts = counted.facts();
        }
        Ok((json!({"order": facts(&checked.order), "over": over, "receipts": receipts}), text))
    }
}

/// The check without lists: the root of a set is then only what was signed.
fn unlisted(order: Order, maker: &Maker, session: &Session<'_>) -> Result<super::Checked, Failure> {
    let rules = session.rules();
    let release = maker.listed(&order.image.release, &rules)?;
    let back = order.back.as_ref().map(|back| maker.listed(&back.image.release, &rules)).transpose()?;
    let wrong = |error| Failure::refused("order not believed", format!("order {}: {error}", order.id));
    order.author_check(&release, back.as_ref()).map_err(wrong)?;
    Ok(super::Checked { order, release, back, meets: String::new() })
}

/// The orders in force, and whether a snapshot and timestamp in the folder name this very document.
fn document(director: &Director, rules: &Rules<'_>) -> Result<(Targets, bool), Failure> {
    let role = orders_role();
    if director.folder.read(&name::file(&Role::Timestamp))?.is_none() {
        let (newest, _) = director.orders(rules)?;
        return Ok((complete(newest, &role, rules)?.targets, false));
    }
    let first = director.folder.versions(&Role::Root)?.first().copied().unwrap_or(1);
    let root = director.folder.role(&Role::Root, first)?;
    let trusted = Refresh::run(&root, rules, &mut director.folder.clone())?;
    let version = trusted.listed(ORDERS)?.version;
    let bytes = director.folder.role(&role, version)?;
    Ok((trusted.delegated(ORDERS, &bytes, rules)?, true))
}

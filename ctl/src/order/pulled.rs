//! A draft as it came from a server, and everything that is recomputed before it is signed.
//!
//! The server may have changed any of it. So the orders in force come from the approver's own folder, what the draft
//! says is laid onto them and must make the very document, and each list must make the root of its order. What does not
//! fit was bent on the way, or the orders have changed since: then it is rebased. Read next: [`super::draft`].

use std::collections::BTreeMap;

use cordon_proto::canonical::Value as Signed;
use cordon_proto::ids::Name;
use cordon_proto::limits;
use cordon_proto::time::Timestamp;
use cordon_proto::update::document::Document;
use cordon_proto::update::draft::{Draft, Intent, lay};
use cordon_proto::update::metadata::Targets;
use cordon_proto::update::order::Order;
use cordon_proto::update::scope::Scope;
use cordon_proto::update::{Rules, name};
use serde_json::{Value, json};

use super::Checked;
use super::list::ScopeList;
use super::meeting::Meeting;
use super::sign::over;
use crate::api::Api;
use crate::chain::{Director, Maker, orders_of, orders_role};
use crate::failure::Failure;
use crate::session::Session;

/// Versions beyond the newest known one that a server is asked for: numbers may have been left out.
const AHEAD: u64 = 3;

/// A draft and what came along with it.
pub struct Pulled {
    /// What is to come and to go.
    pub draft: Draft,
    /// The document with the signatures so far.
    pub document: Vec<u8>,
    /// The lists by order, as people keep them.
    pub lists: BTreeMap<Name, String>,
    /// To be named when the next state is written.
    pub revision: u64,
}

/// What a draft makes of the orders in force.
pub struct Judged {
    /// The orders in force.
    pub before: Vec<Order>,
    /// What they become.
    pub after: Vec<Order>,
    /// The orders that come, each checked.
    pub checked: Vec<Checked>,
    /// Their lists.
    pub lists: Vec<ScopeList>,
}

fn odd(what: &str) -> Failure {
    Failure::refused("unusable draft", format!("the server's draft {what}; nothing was signed"))
}

impl Pulled {
    /// Asks a server for a draft.
    ///
    /// # Errors
    /// There is none, it has no form, or the server was not reached.
    pub fn get(api: &Api, name: &Name) -> Result<Self, Failure> {
        let answer = api.get(&["drafts", name.as_str()], &[])?;
        let text = |field: &str| {
            answer.get(field).and_then(Value::as_str).ok_or_else(|| odd(&format!("has no {field}")))
        };
        let value = Signed::parse(text("draft")?.as_bytes(), limits::DRAFT_BYTES)
            .map_err(|error| odd(&format!("cannot be read: {error}")))?;
        let draft = Draft::read(&value).map_err(|error| odd(&format!("cannot be read: {error}")))?;
        if draft.name != *name {
            return Err(odd(&format!("is {}, not {name}", draft.name)));
        }
        let mut lists = BTreeMap::new();
        for (order, list) in answer.get("lists").and_then(Value::as_object).into_iter().flatten() {
            let list = list.as_str().ok_or_else(|| odd("has a list that is no text"))?;
            let order = order.parse().map_err(|_| odd("has a list of an unusable name"))?;
            lists.insert(order, list.to_owned());
        }
        let revision =
            answer.get("revision").and_then(Value::as_u64).ok_or_else(|| odd("has no revision"))?;
        Ok(Self { draft, document: text("document")?.as_bytes().to_vec(), lists, revision })
    }

    /// Hands the draft on: over the revision that was read, or as a new one.
    ///
    /// # Errors
    /// Somebody else was faster, or the server was not reached.
    pub fn put(&self, api: &Api, is_new: bool) -> Result<(), Failure> {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).map_err(|_| odd("is no text"));
        let body = json!({
            "draft": text(self.draft.value().json())?,
            "document": text(self.document.clone())?,
            "lists": self.lists,
        });
        let query = [("revision", self.revision.to_string())];
        let query: &[_] = if is_new { &[] } else { &query };
        api.put_json(&["drafts", self.draft.name.as_str()], query, &body).map(drop)
    }

    /// Recomputes all of it from the own folders.
    ///
    /// # Errors
    /// The orders in force are other ones by now, something was bent, or an order is not to be signed.
    pub fn judge(
        &self,
        director: &Director,
        (maker, meeting): (&Maker, &Meeting),
        session: &Session<'_>,
    ) -> Result<Judged, Failure> {
        let (base, before) = in_force(director, &session.rules())?;
        let Draft { name, expires, .. } = &self.draft;
        if base != self.draft.base {
            let detail = format!(
                "the draft {name} was made over orders {}, in force are orders {base}: lay it onto them with \
                 `cordonctl order sign --rebase {name}`; all signatures are then given anew",
                self.draft.base
            );
            return Err(Failure::refused("other orders in force", detail));
        }
        let stated = self.stated(&session.rules())?;
        let written = orders_of(&stated)?;
        let kept: Vec<_> = before
            .iter()
            .filter(|order| written.contains(order) || !over(order, self.draft.made))
            .cloned()
            .collect();
        let after = lay(&kept, &self.draft.intents).map_err(|clash| Failure::refused("clash", clash))?;
        let same = after.len() == written.len() && after.iter().all(|order| written.contains(order));
        if stated.version != base + 1 || stated.expires != *expires || !same {
            return Err(odd("does not make the document that is to be signed: it was changed on the way"));
        }
        in_bounds(*expires, session.now)?;
        let (checked, lists) = self.checked((maker, meeting), session)?;
        Ok(Judged { before, after, checked, lists })
    }

    /// The orders that come, each checked against the maker's word, its own list, and the contents in force.
    ///
    /// # Errors
    /// A list does not make its order's root, or an order is not to be signed.
    pub fn checked(
        &self,
        (maker, meeting): (&Maker, &Meeting),
        session: &Session<'_>,
    ) -> Result<(Vec<Checked>, Vec<ScopeList>), Failure> {
        let (mut checked, mut lists) = (Vec::new(), Vec::new());
        for intent in &self.draft.intents {
            let Intent::Add(order) = intent else { continue };
            let own: Vec<_> = self.list(order)?.into_iter().collect();
            checked.push(meeting.check(order.clone(), maker, &own, &session.rules())?);
            lists.extend(own);
        }
        Ok((checked, lists))
    }

    /// The list that came with an order, if its root is the order's.
    fn list(&self, order: &Order) -> Result<Option<ScopeList>, Failure> {
        let Scope::Set { root, .. } = &order.scope else { return Ok(None) };
        let text = self
            .lists
            .get(&order.id)
            .ok_or_else(|| odd(&format!("brings no list for order {}", order.id)))?;
        let list = ScopeList::parse(text)
            .map_err(|(line, why)| odd(&format!("has a list for {} with line {line}: {why}", order.id)))?;
        if list.root() == *root {
            return Ok(Some(list));
        }
        Err(odd(&format!(
            "brings a list for order {} that does not make its root: one of both was changed",
            order.id
        )))
    }

    /// What the document says, whoever signed it.
    fn stated(&self, rules: &Rules<'_>) -> Result<Targets, Failure> {
        let wrong = |fault: cordon_proto::update::Fault| Failure::from(fault.of(orders_role()));
        let document = Document::parse(&self.document, rules.sizes.targets).map_err(wrong)?;
        Targets::read(document.signed()).map_err(wrong)
    }
}

/// Refuses an end that is over or too far away.
///
/// # Errors
/// It is.
pub fn in_bounds(expires: Timestamp, now: Timestamp) -> Result<(), Failure> {
    if now < expires && expires.seconds_since(now) <= limits::ORDERS_DAYS * 86_400 {
        return Ok(());
    }
    Err(odd(&format!(
        "ends at {expires}: a document of orders lives at most {} days from now",
        limits::ORDERS_DAYS
    )))
}

/// The version of the orders in force in the own folder, and these orders.
///
/// # Errors
/// A file cannot be read.
pub fn in_force(director: &Director, rules: &Rules<'_>) -> Result<(u64, Vec<Order>), Failure> {
    let (_, in_force) = director.orders(rules)?;
    let orders = in_force.as_ref().map(|signed| orders_of(&signed.targets)).transpose()?;
    Ok((in_force.map_or(0, |signed| signed.version), orders.unwrap_or_default()))
}

/// Brings the orders that were published since into the own folder: those that enough people signed, nothing else. A
/// document that waits in the folder under the same number is set aside, never lost.
///
/// # Errors
/// The server was not reached, or a file cannot be written.
pub fn catch_up(director: &Director, api: &Api, rules: &Rules<'_>) -> Result<Vec<String>, Failure> {
    let (role, authority) = (orders_role(), director.orders_authority()?);
    let (mut known, _) = in_force(director, rules)?;
    let mut taken = Vec::new();
    let mut asked = known;
    while asked < known + AHEAD {
        asked += 1;
        let file = name::path(&role, asked, true);
        let Some(bytes) = api.file(&["repositories", "director", &file])? else { continue };
        let document =
            Document::parse(&bytes, rules.sizes.targets).map_err(|fault| fault.of(role.clone()))?;
        document.demand(authority, rules.verifier).map_err(|fault| fault.of(role.clone()))?;
        let targets = Targets::read(document.signed()).map_err(|fault| fault.of(role.clone()))?;
        if targets.version != asked {
            return Err(odd(&format!("store has orders {} under the number {asked}", targets.version)));
        }
        director.folder.set_aside(&file, &bytes)?;
        director.folder.write(&file, &bytes)?;
        taken.push(file);
        known = asked;
    }
    Ok(taken)
}

//! `order sign --add`, the second signer: sees what is new, checks it as the first one did, and adds a signature.
//!
//! The second signer brings the own copies of everything: the maker's folder and the lists. An order whose list is
//! not given is not signed. Read next: [`super::check`].

use cordon_proto::update::Fault;

use super::meeting::Meeting;
use super::sign::{Sign, heading, stays};
use super::{describe, facts};
use crate::chain::{Director, Maker, orders_of, orders_role};
use crate::clock;
use crate::failure::Failure;
use crate::folder::Folder;
use crate::repo::add::{add, counted};
use crate::repo::words::ends;
use crate::report::Report;
use crate::session::Session;

/// Adds the second signature.
///
/// # Errors
/// Nothing waits for one, an order is not to be signed, or the person does not agree.
pub fn run(sign: &Sign, session: &mut Session<'_>) -> Result<Report, Failure> {
    let (rules, example) = (session.rules(), session.options.example_keys);
    let director = Director::open(Folder::open(&sign.director)?, &rules, example)?;
    clock::not_behind(session.now, &director.made(&rules)?)?;
    let maker = Maker::open(Folder::open(&sign.image)?, &rules, example)?;
    let (newest, in_force) = director.orders(&rules)?;
    let none = || Failure::refused("nothing to sign", "no document of orders waits for a signature");
    let pending = newest.filter(|newest| !newest.complete).ok_or_else(none)?;
    let (role, at) = (orders_role(), pending.targets.expires);
    if rules.now >= at {
        return Err(Fault::Expired { at }.of(role).into());
    }
    let (lists, meeting) = (sign.lists()?, Meeting::of(&director, &sign.promised, &rules)?);
    let earlier = in_force.map(|signed| orders_of(&signed.targets)).transpose()?.unwrap_or_default();
    let orders = orders_of(&pending.targets)?;
    let mut shown = heading(pending.version, &earlier, &orders);
    for order in orders.iter().filter(|order| !earlier.contains(order)) {
        shown += &describe(&meeting.check(order.clone(), &maker, &lists, &rules)?, &lists);
    }
    for gone in earlier.iter().filter(|order| !orders.iter().any(|other| other.id == order.id)) {
        shown += &format!("{} is no longer listed, and its way back is closed\n", gone.id);
    }
    let is_renewed = orders.iter().all(|order| earlier.contains(order)) && orders.len() == earlier.len();
    shown += &(stays(&earlier, &orders, is_renewed) + &ends(at));
    let keys = sign.keys(example)?;
    session.about_to_sign(&shown)?;
    let authority = director.orders_authority()?;
    let (mut bytes, mut count) = (pending.bytes, pending.signatures);
    for key in &keys {
        (bytes, count) = add(&bytes, rules.sizes.targets, (&role, authority), key, &rules)?;
    }
    let file = director.folder.write_role(&role, pending.version, &bytes)?;
    Ok(counted(&file, count, authority.threshold()).with("orders", orders.iter().map(facts).collect()))
}

//! What devices would be like with a release: one reckoning for the what-if and for the preview of an order.
//!
//! Its own bill of materials is held against what is known, or else only the remedies of the devices' own vulnerabilities
//! are. It reads and decides nothing of its own. Read next: `cordon_server_core::risk::what_if`.

use std::sync::Arc;

use cordon_proto::update::release::Release;
use cordon_server_core::exposure::{Bill, Billed, Exposed};
use cordon_server_core::import::KnownRelease;
use cordon_server_core::risk::Facts;
use cordon_server_core::risk::facts::ReleaseAge;
use cordon_server_core::risk::gather::Newest;
use cordon_server_core::risk::what_if::{Installed, Left, installed};

use super::super::Operator;
use super::super::sboms::{file_of, shipped};
use crate::appraisal::{Published, is_counted};
use crate::fleet::Member;
use crate::http::problem::Problem;

/// The bill of materials of a release, or why it cannot be held against anything.
pub(in super::super) async fn bill_of(operator: &Operator, known: &KnownRelease) -> Result<Bill, String> {
    let words = |problem: Problem| problem.detail().to_owned();
    let file = file_of(known).map_err(words)?;
    let sbom = shipped(operator, file).await.map_err(words)?;
    tokio::task::spawn_blocking(move || Bill::of(&sbom)).await.map_err(|_| "it could not be read".to_owned())
}

/// A release as devices would run it.
pub(in super::super) struct Afterwards<'a> {
    release: Installed<'a>,
    billed: Result<Billed, String>,
}

impl<'a> Afterwards<'a> {
    /// The release with its bill of materials, held against what is known.
    pub(in super::super) fn of(
        stated: &'a Release,
        published: &Published,
        bill: Result<Bill, String>,
        members: &[Arc<Member>],
    ) -> Self {
        let newest = published.newest.get(&stated.model);
        let age = newest.map_or(ReleaseAge::Unknown, |newest| age(newest, stated));
        let release = Installed { release: stated.image.release.as_str(), counter: stated.counter, age };
        let of_model =
            |member: &&Arc<Member>| is_counted(member) && member.device.hardware.model == stated.model;
        let makers =
            members.iter().filter(of_model).map(|member| member.device.hardware.manufacturer.as_str());
        let maker = makers.min().unwrap_or_default();
        let billed = bill.and_then(|bill| {
            let billed = published.matched.expose_bill(&bill, maker, stated);
            billed.ok_or_else(|| published.matched.readiness.sentence().to_owned())
        });
        Self { release, billed }
    }

    /// The facts of a device once it runs the release and has confirmed it.
    pub(in super::super) fn facts(&self, before: &Facts) -> Facts {
        let left = match &self.billed {
            Ok(billed) => Left::of_bill(billed, before, &self.release),
            Err(_) => Left::AsKnown,
        };
        installed(before, &self.release, left)
    }

    /// Whether its own bill of materials speaks for it.
    pub(in super::super) fn is_by_bill(&self) -> bool {
        self.billed.is_ok()
    }

    /// On what its vulnerabilities stand: `sbom` or `remedies`.
    pub(in super::super) fn by(&self) -> &'static str {
        if self.is_by_bill() { "sbom" } else { "remedies" }
    }

    /// The same in a sentence.
    pub(in super::super) fn by_words(&self) -> String {
        match &self.billed {
            Ok(billed) => {
                let Exposed { exposures, unmatchable, .. } = &billed.exposed;
                let (holes, unsure) = (exposures.len(), billed.unsure.len());
                format!(
                    "By its own bill of materials: {holes} vulnerabilities, {unsure} of which nobody can say, {unmatchable} \
                     components that no advisory can be asked about; what the bill does not name stays as it is"
                )
            }
            Err(why) => format!(
                "By remedies only, without a bill of materials ({why}): a vulnerability counts as gone where a release that \
                 removes it is known"
            ),
        }
    }
}

/// How the release stands to the newest one of its model.
fn age(newest: &Newest, release: &Release) -> ReleaseAge {
    match newest.since(release.counter).filter(|_| release.counter < newest.counter) {
        None => ReleaseAge::Current,
        Some(since) => {
            ReleaseAge::Behind { newest: newest.release.to_string(), since, counter: Some(newest.counter) }
        }
    }
}

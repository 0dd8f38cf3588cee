//! Allowances: what a whole model is meant to do, for devices that show it later.
//!
//! A person allowed a finding on the devices of a model; a device of that model that shows the same afterwards starts
//! allowed too, until the same day. Never what is critical, and never what is worse than what the person saw: a word that
//! was given for something harmless must not cover something else. Read next: [`super::decide`].

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use cordon_proto::ids::{Name, Sha256, Text};
use cordon_proto::telemetry::{Finding, Severity};
use cordon_proto::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::{ALLOWED, Record, State};

/// The version of the document under `Key::Mute`.
const VERSION: u32 = 1;

/// One thing that a model is meant to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Allowance {
    /// Version of this document.
    pub v: u32,
    /// Its name, see [`Allowance::id_of`].
    pub id: Name,
    /// The model.
    pub model: Text,
    /// The detector.
    pub detector: Name,
    /// What it saw.
    pub key: Text,
    /// What that is, in the words of the finding that was allowed.
    pub title: Text,
    /// The gravest that was seen when it was allowed; worse is not covered.
    pub severity: Severity,
    /// The first second in which it counts no more.
    pub until: Timestamp,
    /// Who allowed it.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// Why.
    pub reason: Text,
}

impl Allowance {
    /// The name of the one allowance that there can be for this of a model.
    #[must_use]
    pub fn id_of(model: &Text, detector: &Name, key: &Text) -> Name {
        let digest = Sha256::of(format!("{model}\n{detector}\n{key}").as_bytes());
        let digits: String = digest.to_string().chars().take(12).collect();
        format!("a-{digits}").parse().expect("hexadecimal digits make a name")
    }

    /// An allowance of what these findings of one model have in common: none of nothing, and none of what is critical.
    #[must_use]
    pub fn of(
        model: &Text,
        findings: &[&Finding],
        (until, at): (Timestamp, Timestamp),
        (by, reason): (&str, &Text),
    ) -> Option<Self> {
        let gravest = findings.iter().max_by_key(|finding| finding.severity)?;
        let is_one =
            findings.iter().all(|one| (&one.detector, &one.key) == (&gravest.detector, &gravest.key));
        (is_one && gravest.severity < Severity::Critical).then(|| Self {
            v: VERSION,
            id: Self::id_of(model, &gravest.detector, &gravest.key),
            model: model.clone(),
            detector: gravest.detector.clone(),
            key: gravest.key.clone(),
            title: gravest.title.clone(),
            severity: gravest.severity,
            until,
            by: by.to_string(),
            at,
            reason: reason.clone(),
        })
    }

    /// A finding that a device of this model shows for the first time, allowed from the start where this covers it.
    #[must_use]
    pub fn cover(&self, mut record: Record, model: &Text, now: Timestamp) -> Record {
        let finding = &record.finding;
        let same = (&self.model, &self.detector, &self.key) == (model, &finding.detector, &finding.key);
        if !same || now >= self.until || finding.severity > self.severity || record.state != State::Open {
            return record;
        }
        record.state = State::Allowed { until: self.until };
        let what = format!("{ALLOWED} {}: it is allowed for the model", self.until);
        record.push(now, &self.by, what, Some(self.reason.to_string()));
        record
    }

    /// The bytes under `Key::Mute`.
    #[must_use]
    pub fn to_body(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("strings and integers are always JSON")
    }

    /// Reads stored bytes; `None` for a version that this program does not know.
    #[must_use]
    pub fn from_body(body: &[u8]) -> Option<Self> {
        serde_json::from_slice(body).ok().filter(|allowance: &Self| allowance.v == VERSION)
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{NOW, report};
    use super::super::tests::open;
    use super::*;
    use crate::triage::take_in;

    fn allowance() -> Allowance {
        let finding = report(3, Severity::Medium);
        let reason = Text::lossy("the new time server");
        let until = NOW.plus_seconds(86_400);
        let told = ("ines", &reason);
        Allowance::of(&Text::lossy("VP-3"), &[&finding], (until, NOW), told).expect("an allowance")
    }

    #[test]
    fn what_a_model_may_do_is_no_news_on_its_next_device_and_nothing_else_is() {
        // Goal: 200 devices are allowed once. Method: the same on a new device; worse, another model, another key, later.
        let allowance = allowance();
        let vp3 = Text::lossy("VP-3");
        let seen = |severity| take_in(None, open().device, report(1, severity), NOW).0;
        let covered = allowance.cover(seen(Severity::Medium), &vp3, NOW);
        assert_eq!(covered.state, State::Allowed { until: allowance.until });
        assert_eq!(covered.history.last().and_then(|step| step.turn()), Some(crate::triage::Turn::Allowed));
        for stays in [
            allowance.cover(seen(Severity::High), &vp3, NOW),
            allowance.cover(seen(Severity::Medium), &Text::lossy("K-1"), NOW),
            allowance.cover(seen(Severity::Medium), &vp3, allowance.until),
            Allowance { key: Text::lossy("another"), ..allowance.clone() }.cover(
                seen(Severity::Low),
                &vp3,
                NOW,
            ),
        ] {
            assert_eq!(stays.state, State::Open);
        }
    }

    #[test]
    fn nothing_critical_and_no_mixture_is_allowed_for_a_model() {
        // Goal: one word covers one thing. Method: a critical finding; two keys; none at all.
        let (vp3, reason) = (Text::lossy("VP-3"), Text::lossy("a long reason"));
        let of = |findings: &[&Finding]| Allowance::of(&vp3, findings, (NOW, NOW), ("ines", &reason));
        let (one, worst) = (report(1, Severity::Low), report(1, Severity::Critical));
        let other = Finding { key: Text::lossy("another"), ..one.clone() };
        assert_eq!((of(&[&one, &worst]), of(&[&one, &other]), of(&[])), (None, None, None));
        assert!(of(&[&one, &one]).is_some());
    }

    #[test]
    fn a_stored_allowance_reads_for_ever() {
        // Goal: old documents survive an upgrade. Method: golden JSON, and a version of tomorrow.
        let text = r#"{"v":1,"id":"a-ee1f656e0858","model":"VP-3","detector":"beacon","key":"203.0.113.0/16 443/tcp","title":"Calls one outside address every 60 seconds","severity":"medium","until":1795338306,"by":"ines","at":1795251906,"reason":"the new time server"}"#;
        let written = String::from_utf8(allowance().to_body()).expect("text");
        assert_eq!(written, text);
        assert_eq!(Allowance::from_body(text.as_bytes()), Some(allowance()));
        assert_eq!(Allowance::from_body(text.replace("\"v\":1", "\"v\":2").as_bytes()), None);
    }
}

//! What orders are to be made: from the flags of one command, or many from one file, all signed in one session.
//!
//! A plan is only what somebody wishes. Each order that comes of it is checked against the maker's word and the lists
//! as any other, and shown in full. Paths in a file are relative to the file. Read next: [`super::check`].

use std::path::{Path, PathBuf};

use cordon_proto::ids::{Name, TargetPath};
use cordon_proto::limits;
use cordon_proto::update::order::{Back, Order};
use cordon_proto::update::release::{InterlockClass, Release};
use cordon_proto::update::scope::Scope;
use cordon_proto::update::window::Window;
use serde::Deserialize;

use super::list::ScopeList;
use crate::arguments::{self, read_file};
use crate::chain::Maker;
use crate::failure::Failure;
use crate::session::Session;

/// Bytes of a file of plans.
const FILE_BYTES: u64 = 1 << 20;

/// What is wished for one release: an order for each list, or one by facts.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The orders' name; with several lists -1, -2, … is added.
    pub id: Name,
    /// The release to install.
    pub release: TargetPath,
    /// The maker's repository.
    pub repository: Name,
    /// The files of the scopes' lists.
    pub lists: Vec<PathBuf>,
    /// Instead of lists: model, hardware revision, and the installed counters from which.
    pub facts: Option<(String, String, (u64, u64))>,
    /// One order for all, although the release needs its application's word.
    pub whole: bool,
    /// When the orders begin to hold.
    pub not_before: String,
    /// When they end.
    pub expires: String,
    /// When devices may reboot.
    pub windows: Vec<Window>,
    /// The way back, and until when.
    pub back: Option<(TargetPath, String)>,
    /// Seconds for which the server's go stays fresh; none where devices need no go.
    pub permit_s: Option<u32>,
    /// Why.
    pub reason: String,
    /// Further orders for the same devices, for a second try where the first failed.
    pub spare: u32,
}

/// What a file says of one order, or at its top of all that do not say otherwise.
#[derive(Clone, Debug, Default, Deserialize)]
struct Said {
    id: Option<String>,
    release: Option<String>,
    repository: Option<String>,
    #[serde(default)]
    scope_list: Vec<PathBuf>,
    match_model: Option<String>,
    match_hardware: Option<String>,
    from: Option<String>,
    whole: Option<bool>,
    not_before: Option<String>,
    expires: Option<String>,
    #[serde(default)]
    window: Vec<String>,
    back: Option<String>,
    back_until: Option<String>,
    permit_s: Option<u32>,
    offline: Option<bool>,
    reason: Option<String>,
    spare: Option<u32>,
    /// What has no meaning here: a word that was mistyped must not be passed over.
    #[serde(flatten)]
    unknown: std::collections::BTreeMap<String, toml::Value>,
}

impl Plan {
    /// Reads a file of plans.
    ///
    /// # Errors
    /// It is no such file, or a field is missing or wrong.
    pub fn read(path: &Path) -> Result<Vec<Self>, Failure> {
        let wrong = |why: &dyn std::fmt::Display| Failure::Usage(format!("{}: {why}", path.display()));
        let bytes = read_file(path, FILE_BYTES)?;
        let text = std::str::from_utf8(&bytes).map_err(|error| wrong(&error))?;
        let folder = path.parent().unwrap_or(Path::new("."));
        Self::parse(text, folder).map_err(|why| wrong(&why))
    }

    fn parse(text: &str, folder: &Path) -> Result<Vec<Self>, String> {
        let value: toml::Table = text.parse().map_err(|error: toml::de::Error| error.to_string())?;
        let mut common = value;
        let orders = common.remove("order").unwrap_or(toml::Value::Array(Vec::new()));
        let said = |value: toml::Value| value.try_into::<Said>().map_err(|error| error.to_string());
        let common = said(toml::Value::Table(common))?;
        let toml::Value::Array(orders) = orders else {
            return Err("write each order as [[order]]".to_owned());
        };
        if orders.is_empty() {
            return Err("it names no order: write each as [[order]]".to_owned());
        }
        orders.into_iter().map(|order| said(order)?.over(&common).plan(folder)).collect()
    }

    /// The orders of this plan.
    ///
    /// # Errors
    /// The maker lists no such release, nobody is named, or one wave would take a release that treats patients.
    pub fn orders(
        &self,
        maker: &Maker,
        lists: &[ScopeList],
        session: &Session<'_>,
    ) -> Result<Vec<Order>, Failure> {
        let release = maker.listed(&self.release, &session.rules())?;
        let scopes = self.scopes(lists)?;
        self.wave_by_wave(&release, &scopes)?;
        let several = scopes.len() > 1;
        let mut orders = Vec::new();
        for (number, scope) in (1..).zip(scopes) {
            let id = if several { format!("{}-{number}", self.id) } else { self.id.to_string() };
            for spare in 0..=self.spare {
                let id = if spare == 0 { id.clone() } else { format!("{id}-spare-{spare}") };
                let id = id
                    .parse()
                    .map_err(|error| Failure::Usage(format!("the name {id} is too long: {error}")))?;
                orders.push(self.order(id, &release, scope.clone(), (maker, session))?);
            }
        }
        Ok(orders)
    }

    fn scopes(&self, lists: &[ScopeList]) -> Result<Vec<Scope>, Failure> {
        let text = |text: &str| text.parse().map_err(|error| Failure::Usage(format!("`{text}`: {error}")));
        if let Some((model, hardware, (from_least, from_most))) = &self.facts {
            return Ok(vec![Scope::Match {
                model: text(model)?,
                hardware: text(hardware)?,
                from_least: *from_least,
                from_most: *from_most,
            }]);
        }
        if lists.is_empty() {
            return Err(Failure::Usage(
                "for whom? give --scope-list, or --match-model with --match-hardware and --from".to_owned(),
            ));
        }
        Ok(lists.iter().map(|list| Scope::Set { root: list.root(), count: list.count() }).collect())
    }

    /// A release that may stop a therapy is ordered in waves, unless somebody says otherwise.
    fn wave_by_wave(&self, release: &Release, scopes: &[Scope]) -> Result<(), Failure> {
        let one_device = matches!(scopes, [Scope::Set { count: 1, .. }]);
        if self.whole || release.interlock != InterlockClass::Application || scopes.len() > 1 || one_device {
            return Ok(());
        }
        let detail = "this release reboots devices that treat patients: give one --scope-list for each wave, or say --whole";
        Err(Failure::refused("one wave", detail))
    }

    fn order(
        &self,
        id: Name,
        release: &Release,
        scope: Scope,
        (maker, session): (&Maker, &Session<'_>),
    ) -> Result<Order, Failure> {
        let now = session.now;
        let back = match &self.back {
            Some((back, until)) => {
                let image = maker.listed(back, &session.rules())?.image;
                Some(Back { image, until: arguments::time(until, now)? })
            }
            None => None,
        };
        Ok(Order {
            id,
            repository: self.repository.clone(),
            image: release.image.clone(),
            scope,
            issued: now,
            not_before: arguments::time(&self.not_before, now)?,
            expires: arguments::time(&self.expires, now)?,
            windows: self.windows.clone(),
            back,
            permit_s: self.permit_s,
            reason: self.reason.parse().map_err(|error| Failure::Usage(format!("the reason: {error}")))?,
        })
    }
}

impl Said {
    /// What is said of one order, over what is said of all.
    fn over(self, common: &Self) -> Self {
        let or = |own: Option<String>, all: &Option<String>| own.or_else(|| all.clone());
        let lists = |own: Vec<PathBuf>, all: &[PathBuf]| if own.is_empty() { all.to_vec() } else { own };
        let by_facts = self.match_model.is_some() || !self.scope_list.is_empty();
        let facts = |own, all: &Option<String>| if by_facts { own } else { or(own, all) };
        let mut unknown = self.unknown;
        unknown.extend(common.unknown.clone());
        Self {
            id: self.id,
            release: or(self.release, &common.release),
            repository: or(self.repository, &common.repository),
            scope_list: if self.match_model.is_some() {
                self.scope_list
            } else {
                lists(self.scope_list, &common.scope_list)
            },
            match_model: facts(self.match_model, &common.match_model),
            match_hardware: facts(self.match_hardware, &common.match_hardware),
            from: facts(self.from, &common.from),
            whole: self.whole.or(common.whole),
            not_before: or(self.not_before, &common.not_before),
            expires: or(self.expires, &common.expires),
            window: if self.window.is_empty() { common.window.clone() } else { self.window },
            back: or(self.back, &common.back),
            back_until: or(self.back_until, &common.back_until),
            permit_s: self.permit_s.or(common.permit_s),
            offline: self.offline.or(common.offline),
            reason: or(self.reason, &common.reason),
            spare: self.spare.or(common.spare),
            unknown,
        }
    }

    fn plan(self, folder: &Path) -> Result<Plan, String> {
        let id = self.id.ok_or("an order has no id")?;
        let wrong = |what: &str| format!("order {id}: {what}");
        if let Some(name) = self.unknown.keys().next() {
            return Err(wrong(&format!("`{name}` has no meaning here")));
        }
        let need =
            |value: Option<String>, name: &str| value.ok_or_else(|| wrong(&format!("{name} is missing")));
        let window = |text: &String| arguments::window(text).map_err(|error| wrong(&error));
        let windows = self.window.iter().map(window).collect::<Result<Vec<_>, _>>()?;
        if windows.is_empty() {
            return Err(wrong("window is missing"));
        }
        let facts = match (self.match_model, self.match_hardware, self.from) {
            (Some(model), Some(hardware), Some(from)) => {
                Some((model, hardware, arguments::counters(&from).map_err(|error| wrong(&error))?))
            }
            (None, None, None) => None,
            _ => return Err(wrong("match_model, match_hardware and from go together")),
        };
        if facts.is_some() && !self.scope_list.is_empty() {
            return Err(wrong("give scope_list or match_model, not both"));
        }
        let back = match (self.back, self.back_until) {
            (Some(back), Some(until)) => Some((parse(&back, &wrong)?, until)),
            (None, None) => None,
            (Some(_), None) | (None, Some(_)) => return Err(wrong("back and back_until go together")),
        };
        let offline = self.offline.unwrap_or(false);
        if offline && self.permit_s.is_some() {
            return Err(wrong("offline needs no permit_s"));
        }
        Ok(Plan {
            release: parse(&need(self.release, "release")?, &wrong)?,
            repository: parse(&need(self.repository, "repository")?, &wrong)?,
            lists: self.scope_list.iter().map(|file| folder.join(file)).collect(),
            facts,
            whole: self.whole.unwrap_or(false),
            not_before: self.not_before.unwrap_or_else(|| "0m".to_owned()),
            expires: need(self.expires, "expires")?,
            windows,
            back,
            permit_s: (!offline).then_some(self.permit_s.unwrap_or(limits::PERMIT_S)),
            reason: need(self.reason, "reason")?,
            spare: self.spare.unwrap_or(0),
            id: parse(&id, &wrong)?,
        })
    }
}

fn parse<T: std::str::FromStr<Err: std::fmt::Display>>(
    text: &str,
    wrong: &dyn Fn(&str) -> String,
) -> Result<T, String> {
    text.parse().map_err(|error| wrong(&format!("`{text}`: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"
repository = "halden"
expires = "30d"
window = ["daily 22:00-05:00"]
reason = "closes a hole"

[[order]]
id = "pumps"
release = "vp-3/4.2.2"
scope_list = ["one.tsv", "two.tsv"]
back = "vp-3/4.2.1"
back_until = "40d"
spare = 1

[[order]]
id = "kiosks"
release = "k-1/2"
match_model = "K-1"
match_hardware = "A"
from = "1:5"
reason = "another reason"
offline = true
"#;

    #[test]
    fn one_file_holds_many_orders_and_what_they_share() {
        // Goal: a night's work in one file. Method: defaults, overrides, paths; golden values.
        let plans = Plan::parse(FILE, Path::new("/desk")).unwrap();
        let [pumps, kiosks] = plans.as_slice() else { panic!("two orders") };
        assert_eq!(pumps.lists, [Path::new("/desk/one.tsv"), Path::new("/desk/two.tsv")]);
        assert_eq!((pumps.permit_s, pumps.spare, pumps.reason.as_str()), (Some(900), 1, "closes a hole"));
        assert_eq!(pumps.back.as_ref().map(|(_, until)| until.as_str()), Some("40d"));
        assert_eq!(kiosks.facts, Some(("K-1".to_owned(), "A".to_owned(), (1, 5))));
        assert_eq!((kiosks.permit_s, kiosks.reason.as_str()), (None, "another reason"));
        assert!(kiosks.lists.is_empty() && kiosks.windows.len() == 1);
    }

    #[test]
    fn a_word_that_is_missing_or_mistyped_is_named() {
        // Goal: nothing is passed over in silence. Method: one fault each.
        for (from, to, wanted) in [
            ("expires = \"30d\"", "", "expires is missing"),
            ("window = [\"daily 22:00-05:00\"]", "", "window is missing"),
            ("window = [\"daily", "window = [\"never", "no window"),
            ("spare = 1", "spare_orders = 1", "`spare_orders` has no meaning"),
            ("repository = \"halden\"", "repository = \"halden\"\nholiday = 1", "`holiday` has no meaning"),
            ("back_until = \"40d\"", "", "go together"),
            ("from = \"1:5\"", "", "go together"),
            ("from = \"1:5\"", "from = \"5:1\"", "no range"),
            ("offline = true", "offline = true\npermit_s = 9", "needs no permit_s"),
            ("id = \"pumps\"", "", "no id"),
            ("release = \"vp-3/4.2.2\"", "release = \"../x\"", "`../x`"),
            ("[[order]]\nid = \"kiosks\"", "[other]\nid = \"kiosks\"", "no meaning"),
        ] {
            assert!(FILE.contains(from), "{from}");
            let told = Plan::parse(&FILE.replacen(from, to, 1), Path::new(".")).unwrap_err();
            assert!(told.contains(wanted), "{told}");
        }
        assert!(Plan::parse("repository = \"halden\"", Path::new(".")).unwrap_err().contains("no order"));
    }
}

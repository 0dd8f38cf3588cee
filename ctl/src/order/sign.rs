//! `order sign`, the first signer: the next document of orders, with new orders in it and others withdrawn.
//!
//! All live orders stand in one document; what has ended falls out. One order is made for each list (a wave), so that
//! a halted wave needs no new signature. Orders for releases of interlock `application` are signed wave by wave unless
//! `--whole` is given. Read next: [`super::check`], [`super::add`].

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;
use cordon_proto::ids::{Name, TargetPath};
use cordon_proto::limits;
use cordon_proto::time::Timestamp;
use cordon_proto::update::author;
use cordon_proto::update::delegation::Delegations;
use cordon_proto::update::metadata::{TargetFile, Targets};
use cordon_proto::update::order::{Back, Order};
use cordon_proto::update::release::{InterlockClass, Release};
use cordon_proto::update::scope::Scope;
use cordon_proto::update::window::Window;

use super::list::ScopeList;
use super::{check, describe, facts};
use crate::arguments;
use crate::chain::{Director, Maker, Signed, orders_of, orders_role};
use crate::failure::Failure;
use crate::folder::Folder;
use crate::key::SecretKey;
use crate::repo::add::counted;
use crate::repo::sign_as;
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
    #[arg(long, conflicts_with_all = ["id", "withdraw"])]
    pub add: bool,
    /// The devices of a scope: lines of MANUFACTURER, MODEL, SERIAL. One list makes one order, a wave. Repeat.
    #[arg(long, value_name = "FILE", conflicts_with = "match_model")]
    pub scope_list: Vec<PathBuf>,
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
}

impl Sign {
    /// Does it.
    ///
    /// # Errors
    /// An order is not to be signed, a key may not sign, or the person does not agree.
    pub fn run(&self, session: &mut Session<'_>) -> Result<Report, Failure> {
        if self.id.is_none() && self.withdraw.is_empty() {
            return Err(Failure::Usage(
                "nothing to sign: give --id for a new order, --withdraw or --add".to_owned(),
            ));
        }
        let (rules, example) = (session.rules(), session.options.example_keys);
        let director = Director::open(Folder::open(&self.director)?, &rules, example)?;
        let maker = Maker::open(Folder::open(&self.image)?, &rules, example)?;
        let (newest, in_force) = director.orders(&rules)?;
        if let Some(pending) = newest.as_ref().filter(|newest| !newest.complete) {
            let detail = format!(
                "{}.orders.json waits for another signature: add it with --add, or remove the file",
                pending.version
            );
            return Err(Failure::refused("not signed enough", detail));
        }
        let lists = self.lists()?;
        let mut orders = self.kept(in_force.as_ref(), session.now)?;
        let mut shown =
            format!("orders version {}\n", newest.as_ref().map_or(1, |newest| newest.version + 1));
        for order in self.made(&maker, &lists, session)? {
            if orders.iter().any(|other| other.id == order.id) {
                return Err(Failure::refused("name taken", format!("an order {} is live already", order.id)));
            }
            let checked = check(order, &maker, &lists, &rules)?;
            shown += &describe(&checked, &lists);
            orders.push(checked.order);
        }
        shown += &self
            .withdraw
            .iter()
            .map(|id| format!("withdraws {id}, and closes its way back\n"))
            .collect::<String>();
        let document = self.document(&orders, newest.as_ref(), session.now)?;
        let keys =
            self.key.iter().map(|file| SecretKey::read(file, example)).collect::<Result<Vec<_>, _>>()?;
        session.about_to_sign(&shown)?;
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
        let over =
            |order: &Order| order.expires <= now && order.back.as_ref().is_none_or(|back| back.until <= now);
        orders.retain(|order| !self.withdraw.contains(&order.id) && !over(order));
        Ok(orders)
    }

    /// The new orders: one for each list, or one by facts.
    fn made(&self, maker: &Maker, lists: &[ScopeList], session: &Session<'_>) -> Result<Vec<Order>, Failure> {
        let (Some(id), Some(release), Some(repository)) = (&self.id, &self.release, &self.repository) else {
            return Ok(Vec::new());
        };
        let release = maker.listed(release, &session.rules())?;
        let scopes = self.scopes(lists)?;
        self.wave_by_wave(&release, &scopes)?;
        let several = scopes.len() > 1;
        let named = |number: usize| if several { format!("{id}-{number}").parse() } else { Ok(id.clone()) };
        let mut orders = Vec::new();
        for (number, scope) in (1..).zip(scopes) {
            let id = named(number)
                .map_err(|error| Failure::Usage(format!("the name {id} is too long: {error}")))?;
            orders.push(self.order((id, repository.clone()), &release, scope, (maker, session))?);
        }
        Ok(orders)
    }

    fn scopes(&self, lists: &[ScopeList]) -> Result<Vec<Scope>, Failure> {
        let text = |text: &str| text.parse().map_err(|error| Failure::Usage(format!("`{text}`: {error}")));
        if let (Some(model), Some(hardware), Some((from_least, from_most))) =
            (&self.match_model, &self.match_hardware, self.from)
        {
            return Ok(vec![Scope::Match {
                model: text(model)?,
                hardware: text(hardware)?,
                from_least,
                from_most,
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
        (id, repository): (Name, Name),
        release: &Release,
        scope: Scope,
        (maker, session): (&Maker, &Session<'_>),
    ) -> Result<Order, Failure> {
        let now = session.now;
        let back = match (&self.back, &self.back_until) {
            (Some(back), Some(until)) => {
                let image = maker.listed(back, &session.rules())?.image;
                Some(Back { image, until: arguments::time(until, now)? })
            }
            (None, _) | (_, None) => None,
        };
        let reason = self.reason.as_deref().unwrap_or_default();
        Ok(Order {
            id,
            repository,
            image: release.image.clone(),
            scope,
            issued: now,
            not_before: arguments::time(&self.not_before, now)?,
            expires: arguments::time(self.expires.as_deref().unwrap_or_default(), now)?,
            windows: self.window.clone(),
            back,
            permit_s: (!self.offline).then_some(self.permit_s),
            reason: reason.parse().map_err(|error| Failure::Usage(format!("the reason: {error}")))?,
        })
    }

    /// The document of these orders, read back as a device would read it.
    fn document(
        &self,
        orders: &[Order],
        newest: Option<&Signed>,
        now: Timestamp,
    ) -> Result<Targets, Failure> {
        let expires = arguments::time(&self.document_expires, now)?;
        if expires.seconds_since(now) > limits::ORDERS_DAYS * 86_400 {
            let detail = format!("the document of orders lives at most {} days", limits::ORDERS_DAYS);
            return Err(Failure::Usage(detail));
        }
        let mut targets = BTreeMap::new();
        for order in orders {
            let file = TargetFile::new(order.image.length, order.image.sha256, Some(order.custom()));
            targets.insert(order.path().as_str().to_owned(), file);
        }
        let version = newest.map_or(1, |newest| newest.version + 1);
        let document = Targets { version, expires, targets, delegations: Delegations::default() };
        orders_of(&document)?;
        let bytes = author::targets(&document).json().len();
        if bytes > limits::DEVICE_TARGETS_BYTES * 3 / 4 {
            let detail = format!(
                "the document has {bytes} bytes; devices read {}: withdraw orders",
                limits::DEVICE_TARGETS_BYTES
            );
            return Err(Failure::refused("document too large", detail));
        }
        Ok(document)
    }
}

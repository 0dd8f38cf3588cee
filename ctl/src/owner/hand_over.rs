//! `owner hand-over`: the first signer makes the file, every further one adds a signature to it.
//!
//! All signers bring their own copies of everything: the folder whose root keys sign, the new owner's root, the list. A
//! second signer whose copies make another statement signs nothing. Read next: [`super::verify`].

use std::path::PathBuf;

use clap::Args;
use cordon_proto::ids::Sha256;
use cordon_proto::limits;
use cordon_proto::time::Timestamp;
use cordon_proto::update::handover::{Carried, HandOver};
use cordon_proto::update::metadata::Root;
use cordon_proto::update::scope::Scope;
use cordon_proto::update::{Fault, Role, Rules};

use super::{describe, facts, root_file};
use crate::arguments::{self, read_file};
use crate::chain::{made_in, no_example, roots};
use crate::clock;
use crate::failure::Failure;
use crate::folder::{Folder, write_whole};
use crate::key::SecretKey;
use crate::order::list::ScopeList;
use crate::repo::add::{add, counted};
use crate::repo::sign_as;
use crate::report::Report;
use crate::session::Session;

/// Sign a change of owner.
#[derive(Clone, Debug, Args)]
pub struct Sign {
    /// The present owner's folder, whose root keys sign.
    #[arg(long, value_name = "DIR", conflicts_with = "image", required_unless_present = "image")]
    pub director: Option<PathBuf>,
    /// Where that owner is gone: a maker's folder, whose root keys sign. Each device then asks for a person.
    #[arg(long, value_name = "DIR", requires = "from_root")]
    pub image: Option<PathBuf>,
    /// With --image: the director root that the devices trust, or its SHA-256, which a device tells that refuses another.
    #[arg(long, value_name = "FILE|SHA256", requires = "image")]
    pub from_root: Option<String>,
    /// The new owner's director root, as that owner's people gave it to you.
    #[arg(long, value_name = "FILE")]
    pub to: PathBuf,
    /// The devices: lines of MANUFACTURER, MODEL, SERIAL parted by tabs.
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with = "match_model",
        required_unless_present = "match_model"
    )]
    pub scope_list: Option<PathBuf>,
    /// Instead of a list: every device of this model, also those that nobody thought of.
    #[arg(long, value_name = "MODEL", requires_all = ["match_hardware", "counters"])]
    pub match_model: Option<String>,
    /// Its hardware revision.
    #[arg(long, value_name = "REVISION", requires = "match_model")]
    pub match_hardware: Option<String>,
    /// The installed counters, such as 30:41.
    #[arg(long, value_name = "MIN:MAX", value_parser = arguments::counters, requires = "match_model")]
    pub counters: Option<(u64, u64)>,
    /// Until when devices take it.
    #[arg(long, value_name = "TIME", default_value = "30d", conflicts_with = "add")]
    pub expires: String,
    /// A private root key. Repeat only if one person may hold both.
    #[arg(long, value_name = "FILE", required = true)]
    pub key: Vec<PathBuf>,
    /// The file to write; with --add the one that waits for a signature.
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// Put the next signature under the file that waits for it.
    #[arg(long)]
    pub add: bool,
}

/// What is said from where, and who signs it.
struct Signers {
    root: Root,
    from: Sha256,
    words: &'static str,
}

impl Sign {
    /// Does it.
    ///
    /// # Errors
    /// A root or the list is refused, a key may not sign, the file states something else, or the person does not agree.
    pub fn run(&self, session: &mut Session<'_>) -> Result<Report, Failure> {
        let (rules, example) = (session.rules(), session.options.example_keys);
        if let Some(folder) = &self.director {
            clock::not_behind(session.now, &made_in(&Folder::open(folder)?, &rules))?;
        }
        let signers = self.signers(&rules, example)?;
        let (next, to) = root_file(&self.to, &rules, example)?;
        fresh(&next, &rules)?;
        let list = self.scope_list.as_deref().map(ScopeList::read).transpose()?;
        let scope = self.scope(list.as_ref())?;
        let expires = arguments::time(&self.expires, session.now)?;
        let wanted = HandOver { scope, from: signers.from, to, issued: session.now, expires };
        let waiting = if self.add { Some(self.waiting(&wanted, session.now)?) } else { None };
        let hand_over = match &waiting {
            Some((_, stated)) => stated.clone(),
            None => self.first(wanted)?,
        };
        let keys =
            self.key.iter().map(|file| SecretKey::read(file, example)).collect::<Result<Vec<_>, _>>()?;
        let shown = format!("change of owner, {}\n{}", signers.words, describe(&hand_over, list.as_ref()));
        session.about_to_sign(&shown)?;
        let authority = &signers.root.root;
        let (document, count) = match waiting {
            None => {
                let keys: Vec<_> = keys.iter().collect();
                let bytes = sign_as(&hand_over.value(), &Role::Root, authority, &keys)?;
                (bytes, u64::try_from(keys.len()).unwrap_or(u64::MAX))
            }
            Some((mut bytes, _)) => {
                let mut count = 0;
                for key in &keys {
                    let signed = (&Role::Root, authority);
                    (bytes, count) = add(&bytes, limits::HAND_OVER_BYTES, signed, key, &rules)?;
                }
                (bytes, count)
            }
        };
        let devices = list.iter().flat_map(ScopeList::identities);
        let file =
            Carried::write(&document, devices).map_err(|error| Failure::refused("not signed", error))?;
        write_whole(&self.out, &file)?;
        let name = self.out.display().to_string();
        Ok(counted(&name, count, authority.threshold()).with("hand_over", facts(&hand_over)))
    }

    /// Whose root keys sign, and from which root devices are handed over.
    fn signers(&self, rules: &Rules<'_>, example: bool) -> Result<Signers, Failure> {
        if let Some(folder) = &self.director {
            let chain = roots(&Folder::open(folder)?, rules)?;
            no_example(&chain.root, example)?;
            fresh(&chain.root, rules)?;
            return Ok(Signers { root: chain.root, from: chain.newest, words: "by the present owner" });
        }
        let (Some(folder), Some(from)) = (&self.image, &self.from_root) else {
            return Err(Failure::Usage("who signs? give --director, or --image with --from-root".to_owned()));
        };
        let chain = roots(&Folder::open(folder)?, rules)?;
        no_example(&chain.root, example)?;
        let from = match from.parse() {
            Ok(hash) => hash,
            Err(_) => root_file(std::path::Path::new(from), rules, example)?.1,
        };
        let words = "by the maker: EACH DEVICE'S SITE MUST BE FORGOTTEN BY ROOT AT THE DEVICE, NOT IN USE";
        Ok(Signers { root: chain.root, from, words })
    }

    fn scope(&self, list: Option<&ScopeList>) -> Result<Scope, Failure> {
        let text = |text: &str| text.parse().map_err(|error| Failure::Usage(format!("`{text}`: {error}")));
        if let (Some(model), Some(hardware), Some((from_least, from_most))) =
            (&self.match_model, &self.match_hardware, self.counters)
        {
            let (model, hardware) = (text(model)?, text(hardware)?);
            return Ok(Scope::Match { model, hardware, from_least, from_most });
        }
        let list = list.ok_or_else(|| {
            Failure::Usage("which devices? give --scope-list, or --match-model and its facts".to_owned())
        })?;
        let most = u64::try_from(limits::HAND_OVER_DEVICES).unwrap_or(u64::MAX);
        if list.count() > most {
            let detail = format!("the list names {} devices, one file holds {most}: part it", list.count());
            return Err(Failure::refused("list too long", detail));
        }
        Ok(Scope::Set { root: list.root(), count: list.count() })
    }

    /// The first signer's statement, read back as a device would read it.
    fn first(&self, hand_over: HandOver) -> Result<HandOver, Failure> {
        if self.out.exists() {
            let detail = format!(
                "{} is there already: add a signature to it with --add, or choose another name",
                self.out.display()
            );
            return Err(Failure::refused("file exists", detail));
        }
        HandOver::read(&hand_over.value()).map_err(|error| Failure::refused("hand-over not signed", error))
    }

    /// The document that waits for a signature. It must state what this signer's own copies make.
    fn waiting(&self, own: &HandOver, now: Timestamp) -> Result<(Vec<u8>, HandOver), Failure> {
        let limit = u64::try_from(limits::HAND_OVER_BYTES).unwrap_or(u64::MAX);
        let bytes = read_file(&self.out, limit)?;
        let unusable = |error: &dyn std::fmt::Display| {
            Failure::refused("unusable hand-over", format!("{}: {error}", self.out.display()))
        };
        let carried = Carried::parse(&bytes).map_err(|error| unusable(&error))?;
        let stated = carried.states().map_err(|error| unusable(&error))?;
        let differs = [
            (stated.from == own.from, "from another director root than yours"),
            (stated.to == own.to, "to another director root than the one you were given"),
            (stated.scope == own.scope, "for other devices than your list names"),
            (carried.lists(&stated.scope), "with a list that does not make its root"),
            (stated.issued <= now, "signed in the future: somebody's clock is wrong"),
            (now < stated.expires, "over already"),
        ];
        match differs.into_iter().find(|(same, _)| !same) {
            Some((_, why)) => Err(unusable(&format!("it is {why}"))),
            None => Ok((bytes, stated)),
        }
    }
}

/// Refuses a root whose time is over, as devices do.
fn fresh(root: &Root, rules: &Rules<'_>) -> Result<(), Failure> {
    let at = root.expires;
    if rules.now >= at { Err(Fault::Expired { at }.of(Role::Root).into()) } else { Ok(()) }
}

//! Making knowledge of files: read on a thread of its own, asked once about everything that is installed, then swapped in.
//!
//! A file that is missing or damaged is told by its feed and makes nothing safe: what it spoke of becomes unknown. Read next:
//! [`super::read`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use cordon_proto::ids::{Name, Sha256};
use cordon_server_core::exposure::{Builder, ModelKey, World};
use cordon_server_core::feeds::intake::{Feed, Tally};
use cordon_server_core::feeds::vex::subject::Thing;
use cordon_server_core::matching::component::Component;
use tokio::time::{Instant, sleep};

use super::Knowledge;
use super::matched::{Made, is_in_use, model_of};
use super::read::{Source, Unread, read};
use crate::app::App;
use crate::log::chain;
use crate::store::blobs::Blob;

/// How often it is looked whether something new was found on devices.
const LOOK: Duration = Duration::from_secs(30);
/// Pause after a failure.
const PAUSE: Duration = Duration::from_secs(5);

/// A feed and its file, if it is here.
type Opened = (Feed, Option<Blob>);

/// Keeps knowledge up to date until the server drains.
pub async fn run(app: Arc<App>) {
    while !app.is_draining() {
        let failed = match app.knowledge.bring_up_to_date(&app).await {
            Ok(()) => false,
            Err(error) => {
                tracing::error!(error, "what is known of weaknesses could not be made anew; tried again");
                true
            }
        };
        tokio::select! {
            () = app.drained() => {}
            () = sleep(PAUSE), if failed => {}
            () = app.knowledge.wake.notified(), if !failed => {}
            () = sleep(LOOK), if !failed => {}
        }
    }
}

impl Knowledge {
    /// Makes knowledge anew if other feeds are in force than it was made of, and notes what is found for the first time.
    ///
    /// # Errors
    /// What could not be done, in words.
    pub async fn bring_up_to_date(&self, app: &Arc<App>) -> Result<(), String> {
        let wanted = self.wanted();
        let made = self.read(|state| state.made.clone());
        let made = match made {
            Some(made) if made.feeds == wanted => Some(made),
            None if wanted.is_empty() => None,
            _ => Some(self.make(app).await?),
        };
        let Some(made) = made else { return Ok(()) };
        let shelf = self.shelf(app, &made).await.map_err(|error| chain(&error).to_string())?;
        let looker = app.clone();
        let look = move || looker.knowledge.look_at_releases(&looker.fleet.all(), shelf);
        if tokio::task::spawn_blocking(look).await.map_err(|error| error.to_string())? {
            // What repairs something may be another release now.
            app.fleet.nudge();
        }
        self.tidy(&made);
        self.write_days(app, &made).await.map_err(|error| chain(&error).to_string())
    }

    async fn make(&self, app: &Arc<App>) -> Result<Arc<Made>, String> {
        let begun = Instant::now();
        let mut opened: Vec<Opened> = Vec::new();
        for feed in self.feeds() {
            let blob = self.files.get(feed.sha256).await.map_err(|error| chain(&error).to_string())?;
            opened.push((feed, blob));
        }
        let feeds: Vec<(Name, Sha256)> =
            opened.iter().map(|(feed, _)| (feed.name.clone(), feed.sha256)).collect();
        let number = self.read(|state| state.made.as_ref().map_or(1, |made| made.number + 1));
        let (holdings, members) = (self.holdings.clone(), app.fleet.all());
        let models: BTreeSet<ModelKey> =
            members.iter().filter(|member| is_in_use(member)).map(|member| model_of(member)).collect();
        let work = move || {
            let (world, missing) = build(&opened)?;
            let mut made = Made::new(number, world, feeds);
            made.missing = missing;
            // Copied, so that nothing that comes in meanwhile has to wait.
            let components: Vec<(u32, Arc<Component>)> = {
                let holdings = holdings.read().unwrap_or_else(std::sync::PoisonError::into_inner);
                holdings.components().map(|(number, component)| (number, component.clone())).collect()
            };
            warm(&mut made, &components, &models);
            made.took = begun.elapsed();
            Ok::<_, String>(made)
        };
        let made = tokio::task::spawn_blocking(work).await.map_err(|error| error.to_string())??;
        let made = Arc::new(made);
        let counts = made.world.index.counts();
        tracing::info!(
            feeds = made.feeds.len(),
            missing = made.missing.len(),
            statements = counts.statements,
            took_ms = u64::try_from(made.took.as_millis()).unwrap_or(u64::MAX),
            "what is known of weaknesses was made anew"
        );
        self.write(|state| {
            state.made = Some(made.clone());
            state.sets = Arc::default();
        });
        // Scores change with it.
        app.fleet.nudge();
        Ok(made)
    }
}

/// A world of these files, and the feeds whose file cannot be read.
fn build(opened: &[Opened]) -> Result<(World, BTreeMap<Name, String>), String> {
    let (mut left_out, mut missing) = (BTreeSet::new(), BTreeMap::new());
    // A file that fails half-way must not leave half of itself: then it begins anew without it.
    'anew: loop {
        let mut builder = Builder::default();
        for (place, (feed, blob)) in opened.iter().enumerate() {
            if left_out.contains(&feed.name) {
                continue;
            }
            match take(feed, blob.as_ref(), place, &mut builder) {
                Ok(()) => builder.dated(feed.kind, feed.as_of),
                Err(error) => {
                    tracing::error!(feed = %feed.name, error = chain(&error), "a feed cannot be read");
                    missing.insert(feed.name.clone(), error.to_string());
                    left_out.insert(feed.name.clone());
                    continue 'anew;
                }
            }
        }
        let world = builder.finish().map_err(|error| error.to_string())?;
        return Ok((world, missing));
    }
}

fn take(feed: &Feed, blob: Option<&Blob>, place: usize, builder: &mut Builder) -> Result<(), Unread> {
    let blob = blob.ok_or(Unread::Missing)?;
    let open = || -> Box<dyn std::io::Read> { Box::new(blob.reader()) };
    let source = Source { kind: feed.kind, feed: u16::try_from(place).unwrap_or(u16::MAX), open: &open };
    let found = read(&source, builder, &mut Tally::default())?;
    if found == feed.sha256 { Ok(()) } else { Err(Unread::Damaged) }
}

/// Asks once about everything that is installed, so that nobody waits for it later, and notes which statements meet something.
fn warm(made: &mut Made, components: &[(u32, Arc<Component>)], models: &BTreeSet<ModelKey>) {
    let mut met: Vec<(Vec<String>, Thing)> = Vec::new();
    for (number, component) in components {
        let hits = made.hits(*number, component);
        for hit in &hits.hits {
            let name = made.world.index.group_name(hit.group);
            if made.world.ledger.speaks_of(name) {
                met.push((vec![name.to_owned()], Thing::of_component(component)));
            }
        }
    }
    for model in models {
        for said in made.said_of(model).iter().filter(|said| said.row.answer.is_open()) {
            if said.names.iter().any(|name| made.world.ledger.speaks_of(name)) {
                met.push((said.names.clone(), model.thing()));
            }
        }
    }
    // A statement may speak of a component in any of the models.
    let products: Vec<Option<Thing>> =
        std::iter::once(None).chain(models.iter().map(|model| Some(model.thing()))).collect();
    for (names, thing) in &met {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        products.iter().for_each(|product| made.world.meet(&names, thing, product.as_ref()));
    }
}

//! `bench knowledge`: a server with 20,000 inventories, and how it answers while 200,000 ranges are read in.
//!
//! The devices come by a list, their inventories into the store while no server runs, in few distinct compositions as a hospital has
//! them. Then the server starts as a process: its memory as the kernel says it, after the start, at the peak of reading, and
//! afterwards; and how long both planes take to answer, idle and while it reads. No peer keeps all this. Read next:
//! [`crate::answering`].

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};
use cordon_proto::ids::{DeviceId, Text};
use cordon_proto::inventory::{Inventory, Row, Section};
use cordon_proto::{limits, wire};
use cordon_server::store::open::{Terms, open};
use cordon_server::store::{Cursor, Index, Key, Kind, Store};
use cordon_server_core::audit::Actor;
use cordon_server_core::change::Commit;
use tokio::time::{Instant, sleep};

use super::footprint::Footprint;
use crate::answering::{Answers, SETTINGS};
use crate::command::Folder;
use crate::hospital::Hospital;
use crate::one_device::OneDevice;

const DEVICES: usize = 20_000;
const PACKAGES: usize = 1_000;
/// Compositions that differ, each from its neighbour in one package in twenty.
const COMPOSITIONS: usize = 20;
const RANGES: usize = 200_000;
/// Ranges of one package.
const EACH: usize = 5;
/// Of the installed packages, those with a weakness that is not repaired, so that each device has twenty.
const WEAK: usize = 20;
/// Inventories of one commit.
const BATCH: usize = 100;
/// Longer than reading may take.
const PATIENCE: Duration = Duration::from_secs(600);

/// Runs it.
pub fn run() -> anyhow::Result<()> {
    tokio::runtime::Runtime::new()?.block_on(measure())
}

async fn measure() -> anyhow::Result<()> {
    let folder = Folder::open(None)?;
    let sim = std::env::current_exe()?;
    let mut hospital = Hospital::open(&sim, folder.path(), &SETTINGS).await?;
    let list = folder.path().join("cmms.csv");
    std::fs::write(&list, assets())?;
    hospital.ctl(&["devices", "import", &list.display().to_string()]).await?;
    let device = OneDevice::enrol(&hospital, &folder.path().join("devices"), "PUMP-1").await?;
    hospital.stop().await?;
    let (filled, begun) = (fill(&folder.path().join("server")).await?, Instant::now());
    println!("{filled} devices with {PACKAGES} packages each, in {COMPOSITIONS} compositions");
    hospital.start(&SETTINGS).await?;
    println!("started in {:.1} s", begun.elapsed().as_secs_f64());
    let look = || Footprint::of(hospital.ready().pid).context("the server is there");
    // Its first scores.
    let (_, _) = (hospital.api("/api/v1/devices?limit=50").await?, device.checkin().await?);
    println!("memory after the start          {}", shown(&look()?));
    let idle = async {
        sleep(Duration::from_secs(5)).await;
        anyhow::Ok(())
    };
    let ((), answers) = Answers::during(&hospital, &device, idle).await?;
    println!("idle: {answers}");

    let feed = folder.path().join("debian.csv");
    std::fs::write(&feed, ranges())?;
    let (took, answers) = Answers::during(&hospital, &device, import(&hospital, &feed)).await?;
    println!("memory with {RANGES} ranges     {}", shown(&look()?));
    println!("read in within {:.1} s: {answers}", took.as_secs_f64());
    let (_, answers) = Answers::during(&hospital, &device, survey(&hospital)).await?;
    println!("while every device was scored anew: {answers}");
    println!("memory afterwards               {}", shown(&look()?));
    let slowest = answers.slowest();
    ensure!(slowest < Duration::from_secs(30), "an answer took {slowest:?}: a device would have given up");
    hospital.stop().await
}

fn shown(footprint: &Footprint) -> String {
    let mib = |kib: u64| kib as f64 / 1024.0;
    format!(
        "{:.0} MiB resident, {:.0} MiB of it its own, {:.0} MiB at the peak (pid {})",
        mib(footprint.rss_kib),
        mib(footprint.anon_kib),
        mib(footprint.peak_kib),
        footprint.pid
    )
}

/// Imports a feed and waits until answers are made of it.
async fn import(hospital: &Hospital, file: &Path) -> anyhow::Result<Duration> {
    let begun = Instant::now();
    let path = file.display().to_string();
    hospital.ctl(&["feeds", "import", "debian", &path, "--kind", "debian"]).await?;
    while hospital.api("/api/v1/feeds").await?.get("matching").is_none_or(|word| word != "ready") {
        ensure!(begun.elapsed() < PATIENCE, "not read in after {PATIENCE:?}");
        sleep(Duration::from_millis(100)).await;
    }
    Ok(begun.elapsed())
}

/// Asks for what counts over the whole fleet.
async fn survey(hospital: &Hospital) -> anyhow::Result<()> {
    let board = hospital.api("/api/v1/risk/fleet?by=owner").await?;
    let counted = board.pointer("/all/devices").and_then(serde_json::Value::as_u64);
    ensure!(counted >= Some(DEVICES as u64), "{board}");
    let list = hospital.api("/api/v1/vulnerabilities").await?;
    let found = list.get("vulnerabilities").and_then(serde_json::Value::as_array).map_or(0, Vec::len);
    ensure!(found >= WEAK, "{found} weaknesses were found");
    println!("{found} weaknesses hit the fleet");
    Ok(())
}

fn assets() -> String {
    let mut text = String::from("tag,manufacturer,model,version,serial,site,department\n");
    for number in 0..DEVICES {
        let _ = writeln!(text, "T-{number},Halden,VP-3,4.2,S-{number},St. Anna,Ward {}", number % 60);
    }
    text
}

/// Debian's data about forty thousand packages, of which a thousand are installed; all but a few are repaired there.
fn ranges() -> String {
    let mut text = String::from("release,source,cve,fixed_version,advisory\n");
    for number in 0..RANGES {
        let (package, of) = (number / EACH, number % EACH);
        let fixed = if package < WEAK && of == 0 { "9-1" } else { "1-1" };
        let _ = writeln!(text, "bookworm,package{package},CVE-2024-{},{fixed},", 100_000 + number);
    }
    text
}

fn composition(number: usize) -> Vec<u8> {
    let row = |section, key: &str, fields: &[&str]| Row {
        section,
        key: Text::lossy(key),
        fields: fields.iter().map(|field| (*field).to_owned()).collect(),
    };
    let package = |place: usize| {
        let (name, version) = (format!("package{place}"), if place % 20 == number { "3-1" } else { "2-1" });
        row(Section::Package, &format!("deb/{name}/arm64"), &[version, &name, version])
    };
    let mut rows: Vec<Row> = (0..PACKAGES).map(package).collect();
    rows.push(row(Section::System, "id", &["debian"]));
    rows.push(row(Section::System, "version-id", &["12"]));
    wire::write(&Inventory::new(rows))
}

/// Gives every device in the store of a server that does not run its inventory.
async fn fill(folder: &Path) -> anyhow::Result<usize> {
    let store = open("redb:store.redb", folder, Terms::default()).await?;
    let compositions: Vec<Vec<u8>> = (0..COMPOSITIONS).map(composition).collect();
    let devices = devices(&*store).await?;
    let now = cordon_server::clock::Clock::system().now();
    let actor = Actor::Server("bench".parse().context("a name")?);
    for batch in devices.chunks(BATCH) {
        let mut draft = Commit::draft(now, actor.clone());
        for (place, id) in batch.iter().enumerate() {
            let body = compositions.get(place % COMPOSITIONS).context("few compositions")?;
            draft = draft.put(Key::Inventory(*id), body.clone());
        }
        store.commit(draft.finish()?).await?;
    }
    Ok(devices.len())
}

async fn devices(store: &dyn Store) -> anyhow::Result<Vec<DeviceId>> {
    let (mut found, mut from) = (Vec::new(), Some(Cursor::First));
    while let Some(cursor) = from {
        let page = store.scan(Index::All(Kind::Device), cursor, limits::PAGE_ROWS).await?;
        found.extend(page.rows.iter().filter_map(|(key, _)| match key {
            Key::Device(id) => Some(*id),
            _ => None,
        }));
        from = page.next;
    }
    Ok(found)
}

//! The whole agent and the carriers of its image: cuts, site mirrors, a cap; what a mirror learns, and what it costs where
//! it is no good.

use tokio::time::Instant;

use super::*;
use crate::fake::mirror::{Manner, Mirror};
use cordon_proto::update::release::FileRef;

/// A stall limit that is soon over.
const SHORT: Duration = Duration::from_secs(2);

impl Rig {
    /// Waits until a reason was told. One that passes, because the device tries again, stands in a single check-in, so all
    /// of them count.
    pub(super) async fn told(&self, what: &str, is_it: impl Fn(&Blocked) -> bool) {
        self.until(what, |world| {
            let mut reasons = world.checkins.iter().flat_map(|checkin| &checkin.update.blocked_by);
            reasons.any(&is_it).then_some(())
        })
        .await;
    }
}

/// A rig with an order to install, whose device knows these mirrors.
async fn with(mirrors: &[&Mirror]) -> Rig {
    let mut rig = Rig::new().await;
    rig.mirrors = mirrors.iter().map(|mirror| mirror.url.clone()).collect();
    rig.world().offer = true;
    rig
}

/// What `status` says of the mirrors.
fn said(rig: &Rig) -> Vec<Option<String>> {
    let status = Status::read(&rig.state()).expect("reads");
    status.map(|status| status.mirrors.into_iter().map(|mirror| mirror.error).collect()).unwrap_or_default()
}

/// The device's application says that nobody is treated.
async fn standby(rig: &Rig) -> Client {
    let mut client = rig.client().await;
    client.hold(Claim::Standby, None).await.expect("holds");
    client
}

async fn installed(rig: &Rig) {
    rig.reported(UpdateState::Waiting).await;
    assert_eq!(fs::read(rig.path("B")).expect("reads"), new_image());
}

#[tokio::test]
async fn a_mirror_serves_the_image_and_learns_its_hash_alone() {
    // Goal: the server is spared, and nobody learns who asks. Method: one good mirror; the head it was sent.
    let mirror = Mirror::start(new_image(), Manner::Well);
    let rig = with(&[&mirror]).await;
    let agent = rig.start();
    installed(&rig).await;
    agent.stop().await;
    assert!(rig.world().ranges.is_empty(), "the server was not asked for it");
    let [head] = mirror.heads().try_into().expect("was asked once");
    let mut lines: Vec<&str> = head.lines().filter(|line| !line.is_empty()).collect();
    lines.sort_unstable();
    let path = format!("get /site/targets/{} http/1.1", Sha256::of(&new_image()));
    let host = format!("host: {}", mirror.url.trim_start_matches("http://").trim_end_matches("/site"));
    assert_eq!(lines, ["accept: */*", path.as_str(), host.as_str()]);
    assert_eq!(said(&rig), [None]);
}

#[tokio::test]
async fn mirrors_that_fail_are_followed_in_their_order_and_then_by_the_server_at_the_very_byte() {
    // Goal: dead, missing, redirecting, short, endless, cut: each costs time. Method: six mirrors, and what `status`, the
    // timeline and the server say.
    let manners = [Manner::Missing, Manner::Elsewhere, Manner::Short, Manner::Endless, Manner::Cut(100_000)];
    let mirrors = manners.map(|manner| Mirror::start(new_image(), manner));
    let mut rig = with(&mirrors.each_ref()).await;
    rig.mirrors.insert(0, "http://127.0.0.1:1".to_owned());
    rig.world().chatty = true;
    let agent = rig.start();
    installed(&rig).await;
    assert_eq!(
        rig.world().ranges,
        [Some("bytes=100000-".to_owned())],
        "the server goes on where the last one died"
    );
    let told = |world: &World| {
        let note = |body: &Body| if let Body::Update(event) = body { event.note.clone() } else { None };
        let notes = world.bodies.iter().filter_map(note);
        notes.filter(|note| note.as_str().starts_with("The mirror http://127.0.0.1:")).count()
    };
    rig.until("the timeline has each of them", |world| (told(world) == 6).then_some(())).await;
    rig.until("status has them", |_| said(&rig).iter().all(Option::is_some).then_some(())).await;
    agent.stop().await;
    let said = said(&rig).into_iter().map(Option::unwrap_or_default).collect::<Vec<_>>();
    let words =
        ["cannot be reached", "answers 404", "answers 302", "as long as", "as long as", "cannot be reached"];
    assert!(said.iter().zip(words).all(|(said, word)| said.contains(word)) && said.len() == 6, "{said:?}");
}

#[tokio::test]
async fn a_mirror_that_trickles_is_left_within_the_stall_limit() {
    // Goal: slow retrieval from a mirror. Method: a byte every 20 ms, far above any silence, far below the least rate; to
    // its end it would take two hours.
    let mirror = Mirror::start(new_image(), Manner::Drip(20));
    let rig = Rig { stall: SHORT, ..with(&[&mirror]).await };
    let begun = Instant::now();
    let agent = rig.start();
    installed(&rig).await;
    assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", begun.elapsed());
    agent.stop().await;
    assert!(said(&rig)[0].as_ref().is_some_and(|said| said.contains("next to nothing")));
}

#[tokio::test]
async fn a_mirror_that_lies_is_found_out_at_the_end_and_the_server_alone_is_asked_from_then_on() {
    // Goal: a lie costs time, never safety. Method: one flipped byte; a second mirror that is good and must not be asked
    // either, because nobody can say who lied where several sent.
    let (liar, other) =
        (Mirror::start(new_image(), Manner::Lie(70_000)), Mirror::start(new_image(), Manner::Well));
    let rig = with(&[&liar, &other]).await;
    let agent = rig.start();
    let told = rig
        .until("the damage is reported", |world| {
            let blocked = &world.checkins.last()?.update.blocked_by;
            let damaged = blocked.iter().any(|blocked| blocked.code.as_str() == "image-damaged");
            damaged.then(|| blocked.iter().find(|blocked| blocked.code.as_str() == "mirror-left").cloned())
        })
        .await;
    let told = told.map(|told| told.sentence.to_string());
    assert!(told.is_some_and(|told| told.contains(&liar.url) && told.contains("not the signed one")));
    rig.until("status names it", |_| said(&rig).first()?.as_ref().map(|_| ())).await;
    let words = said(&rig);
    assert!(words[0].as_ref().is_some_and(|said| said.contains("not the signed one")), "{words:?}");
    assert_eq!(words[1], None, "the other one sent nothing of it");
    // A restart in between makes no difference.
    agent.stop().await;
    let agent = rig.start();
    installed(&rig).await;
    agent.stop().await;
    assert_eq!(rig.world().ranges, [None]);
    assert_eq!((liar.heads().len(), other.heads().len()), (1, 0));
}

#[tokio::test]
async fn an_image_that_comes_whole_although_there_is_a_delta_is_told_with_the_reason() {
    // Goal: a delta that never helps is seen. Method: a server whose index is not the signed one; `status` and timeline.
    let rig = with(&[]).await;
    let file = |length, byte| FileRef { length, sha256: Sha256([byte; 32]) };
    let release = Release { deltas: vec![file(1000, 1), file(90_000, 2)], ..release() };
    rig.world().maker = maker(1, &[release]).files;
    rig.world().chatty = true;
    let agent = rig.start();
    installed(&rig).await;
    let why = "the index is not the one in the release";
    rig.until("status says why", |_| {
        let status = Status::read(&rig.state()).ok()??;
        (status.update.whole.as_deref() == Some(why)).then_some(())
    })
    .await;
    rig.until("the timeline has it", |world| {
        let note = |body: &Body| if let Body::Update(event) = body { event.note.clone() } else { None };
        let said = format!("The image is fetched whole: {why}.");
        world.bodies.iter().filter_map(note).any(|note| note.as_str() == said).then_some(())
    })
    .await;
    agent.stop().await;
}

#[tokio::test]
async fn a_mirror_without_ranges_is_of_use_all_the_same() {
    // Goal: any static server does. Method: the first one dies after a part, the second one begins anew.
    let mirrors =
        [Mirror::start(new_image(), Manner::Cut(50_000)), Mirror::start(new_image(), Manner::WithoutRanges)];
    let rig = with(&mirrors.each_ref()).await;
    let agent = rig.start();
    installed(&rig).await;
    agent.stop().await;
    assert!(rig.world().ranges.is_empty());
    assert!(mirrors[1].heads()[0].contains("range: bytes=50000-"));
}

#[tokio::test]
async fn a_capped_image_comes_no_faster_and_check_ins_do_not_wait_for_it() {
    // Goal: the cap, and nobody starves. Method: 400,000 bytes at 100,000 a second, and one report after the other. How
    // near to the cap it comes is printed.
    let mut rig = with(&[]).await;
    rig.image_kbit_s = Some(800);
    rig.world().chatty = true;
    let begun = Instant::now();
    let agent = rig.start();
    installed(&rig).await;
    let took = begun.elapsed();
    println!("400,000 bytes at 100,000 a second took {took:?}");
    assert!((3700..60_000).contains(&took.as_millis()), "{took:?}");
    let fetching = |checkin: &&CheckinRequest| checkin.update.state == UpdateState::Fetching;
    let told = rig.world().checkins.iter().filter(fetching).count();
    assert!(told >= 3, "{told} reports in {took:?}");
    assert_eq!(rig.world().ranges, [None], "no stall, no second attempt");
    agent.stop().await;
}

#[tokio::test]
async fn a_cut_download_goes_on_where_it_stopped() {
    // Goal: no byte is fetched twice without need. Method: a server that dies after 300,000 of 400,000 bytes.
    let rig = Rig::new().await;
    *rig.world() = World { offer: true, cut: Some(300_000), ..World::new() };
    let agent = rig.start();
    rig.reported(UpdateState::Waiting).await;
    assert_eq!(rig.world().ranges, [None, Some("bytes=300000-".to_owned())]);
    agent.stop().await;
}

#[tokio::test]
async fn a_root_that_is_huge_or_never_ends_is_left_within_the_limits_and_that_is_told() {
    // Goal: endless metadata. Method: a root of 10 GB, and one without an end; each is given up soon and its reason is in
    // a check-in, from which the console shows it; reports go on.
    let roots: [fn() -> Reply; 2] =
        [|| Reply::Stall(10_000_000_000, vec![b'x'; 1000]), || Reply::Endless(vec![b'x'; 100_000])];
    for (number, root) in roots.into_iter().enumerate() {
        let rig = with(&[]).await;
        {
            let mut world = rig.world();
            (world.root, world.chatty) = (Some(root), true);
        }
        let begun = Instant::now();
        let agent = rig.start();
        let told =
            rig.until("it is told", |world| world.checkins.last()?.update.blocked_by.first().cloned()).await;
        assert!(begun.elapsed() < Duration::from_secs(60), "{number}: {:?}", begun.elapsed());
        assert!(told.sentence.as_str().contains("bytes and was cut off"), "{told:?}");
        let reports = rig.world().checkins.len();
        rig.until("reports go on", |world| (world.checkins.len() > reports + 2).then_some(())).await;
        agent.stop().await;
        assert!(!rig.path("B").exists(), "not a byte was written");
    }
}

#[tokio::test]
async fn an_image_that_trickles_is_given_up_told_and_asked_for_again() {
    // Goal: slow retrieval from the server. Method: a byte every 20 ms, where two seconds are enough to judge it; then all.
    let rig = Rig { stall: SHORT, ..with(&[]).await };
    rig.world().bent = Some(|rest| Reply::Drip(rest.len(), 20));
    let agent = rig.start();
    rig.told("the reason", |blocked| blocked.sentence.as_str().contains("does not come")).await;
    rig.world().bent = None;
    installed(&rig).await;
    agent.stop().await;
}

#[tokio::test]
async fn a_server_that_asks_to_wait_is_not_asked_again_before() {
    // Goal: many devices do not hammer a server that has no room. Method: a 503 with a second of patience, over and over,
    // while every look is a few milliseconds apart; then all. Never more requests than seconds went by, but for the first.
    let rig = with(&[]).await;
    rig.world().chatty = true;
    rig.world().bent = Some(|_| Reply::Full(503, "retry-after: 1\r\n", Vec::new()));
    let begun = Instant::now();
    let agent = rig.start();
    rig.until("it is asked a second time", |world| (world.ranges.len() == 2).then_some(())).await;
    assert!(begun.elapsed() >= Duration::from_secs(1), "{:?}", begun.elapsed());
    rig.world().bent = None;
    installed(&rig).await;
    agent.stop().await;
    let (asked, seconds) = (rig.world().ranges.len(), begun.elapsed().as_secs());
    assert!(
        (3..=seconds + 1).contains(&u64::try_from(asked).expect("few")),
        "{asked} requests in {seconds} s"
    );
}

#[tokio::test]
async fn an_image_that_never_ends_is_no_more_than_its_signed_length() {
    // Goal: endless data into a slot. Method: a bent image over and over; the slot's size, and the reason.
    let rig = with(&[]).await;
    rig.world().bent = Some(|mut rest| {
        rest[3] ^= 1;
        Reply::Endless(rest)
    });
    let agent = rig.start();
    rig.told("the damage", |blocked| blocked.code.as_str() == "image-damaged").await;
    agent.stop().await;
    let length = fs::metadata(rig.path("B")).expect("is there").len();
    assert_eq!(length, u64::try_from(new_image().len()).expect("small"));
}

#[tokio::test]
async fn an_image_is_fetched_at_once_and_installed_in_its_window() {
    // Goal: download early, install in the window. Method: an order without any window but with permit and standby: the
    // image is written and verified, and the window alone is in the way; then the same order with its window open.
    let rig = with(&[]).await;
    rig.world().permit = true;
    let shut = Order { windows: Vec::new(), ..order() };
    rig.world().director = director(1, &[shut]).files;
    let agent = rig.start();
    let held = standby(&rig).await;
    rig.until("only the window is in the way", |world| {
        let update = &world.checkins.last()?.update;
        let [blocked] = update.blocked_by.as_slice() else { return None };
        (update.state == UpdateState::Waiting && blocked.code.as_str() == "outside-window").then_some(())
    })
    .await;
    assert_eq!(fs::read(rig.path("B")).expect("reads"), new_image());
    sleep(Duration::from_millis(300)).await;
    assert!(!agent.task.is_finished(), "no reboot outside its window");
    drop(held);
    agent.stop().await;
    rig.world().director = director(2, &[order()]).files;
    let agent = rig.start();
    let held = standby(&rig).await;
    assert!(matches!(agent.ended().await, Exit::Reboot));
    drop(held);
    assert_eq!(rig.world().ranges, [None], "it was fetched once");
}

#[tokio::test]
async fn a_repository_that_cannot_be_reached_is_said_and_nothing_else_stops() {
    // Goal: trouble with metadata is a reason, not silence. Method: no director files at all.
    let rig = Rig::new().await;
    *rig.world() = World { offer: true, director: BTreeMap::new(), ..World::new() };
    let agent = rig.start();
    let codes = rig
        .until("a reason", |world| {
            let blocked = &world.checkins.last()?.update.blocked_by;
            blocked.first().map(|blocked| blocked.code.to_string())
        })
        .await;
    assert!(codes.contains("root"), "{codes}");
    rig.until("telemetry goes on", |world| (!world.bodies.is_empty()).then_some(())).await;
    agent.stop().await;
}

//! What the spool promises, tried on a storage in memory that can fill up, fail, tear and rot.

use super::*;
use alloc::collections::BTreeMap;
use alloc::vec;
use proptest::prelude::*;

/// A disk in memory.
#[derive(Clone, Debug, Default)]
struct Disk {
    files: BTreeMap<u64, Vec<u8>>,
    mark: Option<Mark>,
    /// Bytes it can hold; `None` without end.
    room: Option<usize>,
    broken: bool,
    /// Cuts fail too, as on a disk that went read-only.
    stuck: bool,
    syncs: u64,
    peak: usize,
}

impl Disk {
    fn used(&self) -> usize {
        self.files.values().map(Vec::len).sum()
    }
}

impl Storage for &mut Disk {
    fn segments(&mut self) -> Result<Vec<(u64, u64)>, Fault> {
        Ok(self.files.iter().map(|(number, bytes)| (*number, bytes.len() as u64)).collect())
    }
    fn create(&mut self, segment: u64) -> Result<(), Fault> {
        if self.broken {
            return Err(Fault::Broken);
        }
        assert!(self.files.insert(segment, Vec::new()).is_none(), "a segment is never made twice");
        Ok(())
    }
    fn append(&mut self, segment: u64, bytes: &[u8]) -> Result<(), Fault> {
        if self.broken {
            return Err(Fault::Broken);
        }
        let free = self.room.map_or(usize::MAX, |room| room.saturating_sub(self.used()));
        let file = self.files.get_mut(&segment).ok_or(Fault::Broken)?;
        // A full disk takes what still fits, as write(2) does.
        file.extend_from_slice(&bytes[..bytes.len().min(free)]);
        if bytes.len() > free {
            return Err(Fault::Full);
        }
        self.syncs += 1;
        self.peak = self.peak.max(self.used());
        Ok(())
    }
    fn truncate(&mut self, segment: u64, length: u64) -> Result<(), Fault> {
        if self.stuck {
            return Err(Fault::Broken);
        }
        self.files.get_mut(&segment).ok_or(Fault::Broken)?.truncate(size(length));
        Ok(())
    }
    fn read(&mut self, segment: u64, offset: u64, buffer: &mut [u8]) -> Result<usize, Fault> {
        let file = self.files.get(&segment).ok_or(Fault::Broken)?;
        let rest = file.get(size(offset)..).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }
    fn remove(&mut self, segment: u64) -> Result<(), Fault> {
        self.files.remove(&segment).map(|_| ()).ok_or(Fault::Broken)
    }
    fn mark(&mut self) -> Option<Mark> {
        self.mark
    }
    fn keep_mark(&mut self, mark: Mark) {
        self.mark = Some(mark);
    }
}

const SMALL: Bounds = Bounds { total: 4096, segment: 1024, record: 400 };

fn size(bytes: u64) -> usize {
    usize::try_from(bytes).expect("small")
}

fn open(disk: &mut Disk, boot: u64) -> Spool<&mut Disk> {
    Spool::open(disk, SMALL, boot).expect("opens")
}

/// A record that can be told from every other: a sensor change with a number and some length.
fn note(number: u32, length: usize) -> (Millis, Body) {
    let text = alloc::format!("{number:08}{}", "x".repeat(length % 240));
    let reason = text.parse().expect("a text");
    (Millis(i64::from(number)), Body::Sensor(cordon_proto::telemetry::SensorChange { tier: Some(0), reason }))
}

fn number(record: &Record) -> Option<u32> {
    match Body::of(record).expect("readable").expect("known") {
        Body::Sensor(change) => change.reason.as_str()[..8].parse().ok(),
        _ => None,
    }
}

fn gap(record: &Record) -> Option<Gap> {
    match Body::of(record).expect("readable").expect("known") {
        Body::Gap(gap) => Some(gap),
        _ => None,
    }
}

/// Reads and acknowledges until nothing is left.
fn drain(spool: &mut Spool<&mut Disk>) -> Vec<Record> {
    let mut all: Vec<Record> = Vec::new();
    loop {
        let batch = spool.read(700).expect("reads");
        let Some(last) = batch.last() else { return all };
        spool.acknowledge(last.position);
        all.extend(batch);
    }
}

fn rising(records: &[Record]) -> bool {
    records.windows(2).all(|pair| pair[0].position < pair[1].position)
}

#[test]
fn what_was_stored_comes_back_after_a_restart_in_order() {
    // Goal: store and forward. Method: three boots append, a fourth reads everything with its boot and sequence.
    let mut disk = Disk::default();
    for (boot, tens) in [(1, 10), (2, 20), (3, 30)] {
        let mut spool = open(&mut disk, boot);
        let group: Vec<_> = (0..4).map(|n| note(tens + n, 20)).collect();
        assert_eq!(spool.append(&group), Kept::Stored(Position { boot, sequence: 4 }));
    }
    let mut spool = open(&mut disk, 4);
    assert_eq!(spool.health().waiting, 12);
    let records = drain(&mut spool);
    assert_eq!(spool.health().waiting, 0);
    let numbers: Vec<_> = records.iter().filter_map(number).collect();
    assert_eq!(numbers, [10, 11, 12, 13, 20, 21, 22, 23, 30, 31, 32, 33]);
    assert_eq!(records[5].position, Position { boot: 2, sequence: 2 });
    assert_eq!(records[5].time, Millis(21));
}

#[test]
fn a_group_is_one_write_and_one_sync() {
    // Goal: the cost of durability is bounded. Method: count syncs of a group that fits one segment.
    let mut disk = Disk::default();
    let mut spool = open(&mut disk, 1);
    spool.append(&[note(1, 50), note(2, 50), note(3, 50)]);
    drop(spool);
    assert_eq!(disk.syncs, 1);
}

#[test]
fn a_boot_number_that_fell_is_raised_above_what_is_stored() {
    // Goal: positions always rise, or the server would take new records for old ones. Method: a lost boot counter.
    let mut disk = Disk::default();
    open(&mut disk, 9).append(&[note(1, 0)]);
    assert_eq!(open(&mut disk, 2).boot(), 10);
    disk.files.clear();
    disk.mark = Some(Mark { through: Position { boot: 30, sequence: 5 }, lost: 7 });
    assert_eq!(open(&mut disk, 2).boot(), 31, "the watermark counts too");
    assert_eq!(open(&mut disk, 2).health().lost, 7, "and what was ever lost is remembered");
}

#[test]
fn a_full_spool_drops_its_oldest_segment_and_says_how_many_were_lost() {
    // Goal: bounded, newest kept, the loss counted. Method: 200 records into 4 KiB; read + gaps = 200.
    let mut disk = Disk::default();
    let mut spool = open(&mut disk, 1);
    for n in 0..200 {
        assert!(matches!(spool.append(&[note(n, 60)]), Kept::Stored(_)));
    }
    let Health { lost, waiting, .. } = spool.health();
    let records = drain(&mut spool);
    assert_eq!((records.len() as u64, spool.health().waiting), (waiting, 0));
    drop(spool);
    assert!(disk.peak as u64 <= SMALL.total, "peak {}", disk.peak);
    let kept = records.iter().filter_map(number).count() as u64;
    let told: u64 = records.iter().filter_map(gap).map(|gap| gap.count).sum();
    assert_eq!((kept + told, told), (200, lost));
    assert_eq!(records.iter().filter_map(number).next_back(), Some(199), "the newest is never dropped");
    let first_lost =
        records.iter().filter_map(gap).map(|gap| (gap.reason, gap.after)).min_by_key(|(_, after)| *after);
    assert_eq!(first_lost, Some((GapReason::SpoolFull, Position { boot: 1, sequence: 0 })));
    assert!(rising(&records));
}

#[test]
fn a_gap_record_that_is_itself_dropped_is_told_by_the_next_one() {
    // Goal: the count stays exact however long the server is away. Method: the spool turns over many times.
    let mut disk = Disk::default();
    let mut spool = open(&mut disk, 1);
    for n in 0..2000 {
        spool.append(&[note(n, 200)]);
    }
    let records = drain(&mut spool);
    let kept = records.iter().filter_map(number).count() as u64;
    let told: u64 = records.iter().filter_map(gap).map(|gap| gap.count).sum();
    assert_eq!(kept + told, 2000);
}

#[test]
fn a_full_disk_costs_counted_records_and_nothing_else() {
    // Goal: the agent goes on; the hole is told when there is room again. Method: room for two records, then plenty.
    let mut disk = Disk { room: Some(200), ..Disk::default() };
    let mut spool = open(&mut disk, 1);
    assert!(matches!(spool.append(&[note(1, 20)]), Kept::Stored(_)));
    assert!(matches!(spool.append(&[note(2, 90)]), Kept::Lost { count: 1, fault: Fault::Full }));
    assert!(matches!(spool.append(&[note(3, 90), note(4, 90)]), Kept::Lost { count: 2, fault: Fault::Full }));
    assert_eq!(spool.health().fault, Some(Fault::Full));
    assert_eq!(spool.pending_gap().map(|gap| (gap.count, gap.reason)), Some((3, GapReason::DiskFull)));
    spool.storage.room = None;
    assert!(matches!(spool.append(&[note(5, 90)]), Kept::Stored(_)));
    assert_eq!((spool.health().fault, spool.pending_gap()), (None, None));
    let records = drain(&mut spool);
    assert_eq!(records.iter().filter_map(number).collect::<Vec<_>>(), [1, 5]);
    let gap = records.iter().find_map(gap).expect("a gap record");
    assert_eq!((gap.count, gap.reason), (3, GapReason::DiskFull));
    assert_eq!(
        (gap.after.sequence, gap.before.sequence),
        (1, 2),
        "the gap stands where the records would have stood"
    );
}

#[test]
fn a_disk_that_neither_writes_nor_cuts_loses_nothing_that_was_stored() {
    // Goal: the half-written group cannot hide later ones. Method: full and stuck at once, then well again.
    let mut disk = Disk::default();
    let mut spool = open(&mut disk, 1);
    spool.append(&[note(1, 20)]);
    spool.storage.room = Some(110);
    spool.storage.stuck = true;
    assert!(matches!(spool.append(&[note(2, 90)]), Kept::Lost { .. }));
    spool.storage.room = None;
    spool.storage.stuck = false;
    assert!(matches!(spool.append(&[note(3, 20)]), Kept::Stored(_)));
    let records = drain(&mut spool);
    assert_eq!(records.iter().filter_map(number).collect::<Vec<_>>(), [1, 3]);
    assert!(rising(&records));
}

#[test]
fn a_torn_end_is_cut_and_writing_goes_on() {
    // Goal: a power cut in the middle of a write costs only that write. Method: cut the file at every length.
    let mut whole = Disk::default();
    let mut spool = open(&mut whole, 1);
    spool.append(&[note(1, 10), note(2, 30)]);
    let full = spool.storage.files[&1].len();
    drop(spool);
    for length in 0..full {
        let mut disk = whole.clone();
        disk.files.get_mut(&1).expect("there").truncate(length);
        let mut spool = open(&mut disk, 2);
        assert!(matches!(spool.append(&[note(3, 0)]), Kept::Stored(_)));
        let numbers: Vec<_> = drain(&mut spool).iter().filter_map(number).collect();
        let expected: &[u32] = if length < 36 + 22 { &[3] } else { &[1, 3] };
        assert!(numbers == expected || numbers == [1, 3], "length {length}: {numbers:?}");
    }
}

#[test]
fn a_flipped_byte_in_the_middle_costs_one_record_and_is_told() {
    // Goal: damage stays where it is, and is counted. Method: flip each byte of the third of six records in turn.
    let mut whole = Disk::default();
    let mut spool = open(&mut whole, 1);
    let ends: Vec<usize> = (0..6)
        .map(|n| {
            spool.append(&[note(n, 10)]);
            spool.storage.files[&1].len()
        })
        .collect();
    drop(spool);
    for place in ends[1]..ends[2] {
        let mut disk = whole.clone();
        disk.files.get_mut(&1).expect("there")[place] ^= 0x10;
        let mut spool = open(&mut disk, 2);
        assert!(spool.health().damaged_bytes > 0);
        let numbers: Vec<_> = drain(&mut spool).iter().filter_map(number).collect();
        assert_eq!(numbers, [0, 1, 3, 4, 5], "byte {place}");
        let pending = spool.pending_gap().expect("told");
        assert_eq!((pending.count, pending.reason), (1, GapReason::Damaged));
        spool.append(&[note(9, 0)]);
        assert_eq!(drain(&mut spool).iter().find_map(gap).map(|gap| gap.count), Some(1));
    }
}

#[test]
fn a_lost_watermark_means_sending_again_not_losing() {
    // Goal: the watermark is only a hint. Method: acknowledge, forget the mark, open again.
    let mut disk = Disk::default();
    let mut spool = open(&mut disk, 1);
    spool.append(&[note(1, 0), note(2, 0)]);
    let first = spool.read(1).expect("reads");
    assert_eq!(first.len(), 1, "at least one record whatever the size");
    spool.acknowledge(first[0].position);
    assert_eq!(spool.read(9999).expect("reads").iter().filter_map(number).collect::<Vec<_>>(), [2]);
    drop(spool);
    assert_eq!(drain(&mut open(&mut disk.clone(), 2)).iter().filter_map(number).collect::<Vec<_>>(), [2]);
    disk.mark = None;
    assert_eq!(drain(&mut open(&mut disk, 2)).iter().filter_map(number).collect::<Vec<_>>(), [1, 2]);
}

#[test]
fn reading_without_acknowledging_gives_the_same_again() {
    // Goal: at least once. Method: read twice; a foreign acknowledgement moves nothing.
    let mut disk = Disk::default();
    let mut spool = open(&mut disk, 5);
    spool.append(&[note(1, 0), note(2, 0)]);
    let once = spool.read(9999).expect("reads");
    spool.acknowledge(Position { boot: 4, sequence: 99 });
    assert_eq!(spool.read(9999).expect("reads"), once);
}

#[test]
fn a_record_beyond_the_bound_is_refused_whole() {
    // Goal: nothing is stored that could never be read back. Method: one byte too many by configuration.
    let mut disk = Disk::default();
    let mut spool = Spool::open(&mut disk, Bounds { record: 20, ..SMALL }, 1).expect("opens");
    assert_eq!(spool.append(&[note(1, 200)]), Kept::TooLarge);
    assert!(spool.read(9999).expect("reads").is_empty());
}

#[test]
fn markers_without_frames_do_not_stall_opening() {
    // Goal: the work on garbage is bounded. Method: a segment of nothing but heads that claim long bodies.
    let mut head = Vec::new();
    frame::write(
        &mut head,
        &Head { position: Position::default(), time: Millis(0), kind: 1, length: 0 },
        &[],
    );
    head[6] = 200;
    let disk_file: Vec<u8> = head.iter().copied().cycle().take(1 << 20).collect();
    let mut disk = Disk { files: BTreeMap::from([(1, disk_file)]), ..Disk::default() };
    let spool = Spool::open(&mut disk, Bounds::default(), 1).expect("opens");
    assert_eq!(spool.health().damaged_bytes, 1 << 20);
}

#[derive(Clone, Debug)]
enum Act {
    Append(Vec<usize>),
    Send(usize),
    Restart,
    Crash(prop::sample::Index),
    Fill(bool),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        6 => proptest::collection::vec(0_usize..240, 1..6).prop_map(Act::Append),
        2 => (1_usize..3000).prop_map(Act::Send),
        1 => Just(Act::Restart),
        1 => any::<prop::sample::Index>().prop_map(Act::Crash),
        1 => any::<bool>().prop_map(Act::Fill),
    ];
    proptest::collection::vec(act, 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn nothing_stored_is_lost_unless_it_is_counted(acts in acts()) {
        // Goal: sent + counted as lost = stored, for every history without rot. Method: a model beside the spool; a
        // crash keeps what was synced and a random part of an unsynced tail.
        let mut disk = Disk::default();
        let mut boot = 0;
        let (mut made, mut acknowledged, mut sent) = (0_u32, 0_u64, Vec::new());
        for act in acts.into_iter().chain([Act::Fill(false), Act::Restart]) {
            boot += 1;
            let mut spool = open(&mut disk, boot);
            match act {
                Act::Append(lengths) => {
                    let group: Vec<_> = lengths.iter().map(|length| { made += 1; note(made, *length) }).collect();
                    let lost = match spool.append(&group) { Kept::Lost { count, .. } => count, _ => 0 };
                    // This process ends here: a gap that could not be written yet is told by nobody.
                    let untold = spool.pending_gap().map_or(0, |gap| gap.count);
                    prop_assert!(untold >= lost);
                    acknowledged += untold;
                }
                Act::Send(size) => {
                    let batch = spool.read(size).expect("reads");
                    prop_assert!(rising(&batch));
                    if let Some(last) = batch.last() { spool.acknowledge(last.position); }
                    sent.extend(batch);
                }
                Act::Restart => {}
                Act::Crash(part) => {
                    drop(spool);
                    let mut tail = Vec::new();
                    let position = Position { boot: boot + 1, sequence: 1 };
                    frame::write(&mut tail, &Head { position, time: Millis(0), kind: 5, length: 20 }, &[7; 20]);
                    tail.truncate(part.index(tail.len()));
                    if let Some(newest) = disk.files.values_mut().next_back() { newest.extend(tail); }
                }
                Act::Fill(full) => {
                    drop(spool);
                    disk.room = full.then_some(disk.used() + 100);
                }
            }
        }
        boot += 1;
        let mut spool = open(&mut disk, boot);
        sent.extend(drain(&mut spool));
        prop_assert!(rising(&sent));
        let kept = sent.iter().filter_map(number).count() as u64;
        let told: u64 = sent.iter().filter_map(gap).map(|gap| gap.count).sum();
        prop_assert_eq!(kept + told + acknowledged, u64::from(made));
        prop_assert!(disk.peak as u64 <= SMALL.total);
    }

    #[test]
    fn whatever_rots_the_rest_is_read_and_writing_goes_on(
        count in 1_u32..40, flips in proptest::collection::vec((any::<prop::sample::Index>(), 1_u8..=255), 1..6),
    ) {
        // Goal: no damage stops the spool or invents a record. Method: flip bytes anywhere, read what is left.
        let mut disk = Disk::default();
        let mut spool = open(&mut disk, 1);
        for n in 0..count { spool.append(&[note(n, 40)]); }
        drop(spool);
        let numbers: Vec<u64> = disk.files.keys().copied().collect();
        for (place, flip) in &flips {
            let file = disk.files.get_mut(&numbers[place.index(numbers.len())]).expect("there");
            let at = place.index(file.len());
            file[at] ^= flip;
        }
        let mut spool = open(&mut disk, 2);
        prop_assert!(matches!(spool.append(&[note(77, 0)]), Kept::Stored(_)));
        let records = drain(&mut spool);
        prop_assert!(rising(&records));
        let read: Vec<u32> = records.iter().filter_map(number).collect();
        prop_assert_eq!(read.last().copied(), Some(77));
        prop_assert!(read.len() + flips.len() > count as usize || records.iter().any(|r| gap(r).is_some()));
        prop_assert!(read[..read.len() - 1].iter().all(|n| *n < count));
    }

    #[test]
    fn any_bytes_open_as_a_spool(
        files in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..600), 0..4), markers in vec![any::<u16>(); 3],
    ) {
        // Goal: no file content stops the agent. Method: noise, with markers strewn in.
        let mut disk = Disk::default();
        for (number, mut bytes) in (1..).zip(files) {
            for marker in &markers {
                let at = usize::from(*marker) % (bytes.len() + 1);
                bytes.splice(at..at, [0xc0, 0x5d]);
            }
            disk.files.insert(number, bytes);
        }
        let mut spool = open(&mut disk, 1);
        prop_assert!(matches!(spool.append(&[note(1, 0)]), Kept::Stored(_)));
        prop_assert_eq!(drain(&mut spool).iter().filter_map(number).collect::<Vec<_>>(), [1]);
    }
}

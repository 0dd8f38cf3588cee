//! Tests of an import that is interrupted: every fault of the store, and then the same list again.

use std::sync::Arc;

use cordon_proto::ids::{Sha256, Text};
use cordon_server_core::feeds::asset::Assets;

use super::*;
use crate::clock::Clock;
use crate::store::memory::Memory;
use crate::store::{Kind, Store};
use crate::testing::faulty::{Fault, Faulty};
use crate::testing::{Bench, person, text};

/// A list of so many devices.
fn brought(devices: usize) -> Brought {
    let mut assets = Assets::default();
    assets.row(&["tag", "manufacturer", "model", "serial", "version"]).expect("a header");
    for at in 0..devices {
        let (tag, serial) = (format!("T{at}"), format!("S{at}"));
        assets.row(&[&tag, "Halden", "VP-3", &serial, "4.1"]).expect("a row");
    }
    let assets = Arc::new(assets.finish().expect("a list"));
    Brought { list: name("cmms"), site: Some(text("St. Anna")), assets, sha256: Sha256::of(b"the file") }
}

#[tokio::test]
async fn an_import_that_is_cut_off_anywhere_is_completed_by_the_same_list() {
    // Goal: a kill in between loses and doubles nothing. Method: three batches; each kind of fault at the first and at a
    // later one; the same list again; documents and the index of serials counted.
    const DEVICES: usize = 2 * BATCH + 40;
    let cases = [Fault::Before, Fault::After, Fault::Conflict].map(|fault| [(fault, false), (fault, true)]);
    for (fault, is_begun) in cases.into_iter().flatten() {
        let store = Arc::new(Faulty::new(Arc::new(Memory::new())));
        let clock = Clock::held(Clock::system().now_ms());
        let bench = Bench::over(store.clone() as Arc<dyn Store>, Bench::laid().await, &[], clock).await;
        let (app, list) = (bench.app(), brought(DEVICES));
        if is_begun {
            app.import_assets(&brought(BATCH), &person()).await.expect("comes in");
        }
        store.next(fault);
        let cut = app.import_assets(&list, &person()).await;
        assert_eq!(cut.is_err(), fault != Fault::Conflict, "{fault:?}: only a conflict is tried again");
        app.import_assets(&list, &person()).await.expect("completes it");
        let again = app.plan_assets(&list).await.expect("a plan");
        assert_eq!((again.new.len(), again.changed.len(), again.unchanged), (0, 0, DEVICES), "{fault:?}");
        for kind in [Kind::Device, Kind::DeviceBySerial] {
            assert_eq!(bench.count(kind).await, DEVICES, "{fault:?}: {kind:?}");
        }
        let lists = app.asset_lists().await.expect("reads").lists;
        assert_eq!(lists.get(&name("cmms")).map(|list| list.devices), Some(DEVICES));
    }
}

#[tokio::test]
async fn a_corrected_serial_takes_its_index_along_and_an_enrolled_device_keeps_its_own() {
    // Goal: the index of serials never leads to the wrong device. Method: a serial that is corrected; one that an enrolled
    // device of another maker holds.
    let bench = Bench::start(&[]).await;
    let app = bench.app();
    let enrolled = bench.enrol("A-1").await;
    let list = |serial: &str| {
        let mut assets = Assets::default();
        assets.row(&["tag", "manufacturer", "model", "serial"]).expect("a header");
        assets.row(&["T1", "Vell", "VP-3", serial]).expect("a row");
        Brought { assets: Arc::new(assets.finish().expect("a list")), ..brought(1) }
    };
    let leads =
        async |serial: &str| app.device_by_serial(text("VP-3"), Text::lossy(serial)).await.expect("reads");
    app.import_assets(&list("S1"), &person()).await.expect("comes in");
    let listed = leads("S1").await;
    assert!(listed.is_some());
    app.import_assets(&list("S2"), &person()).await.expect("comes in");
    assert_eq!((leads("S1").await, leads("S2").await), (None, listed));
    app.import_assets(&list("A-1"), &person()).await.expect("comes in");
    assert_eq!((leads("S2").await, leads("A-1").await), (None, Some(enrolled.id)));
    assert_eq!(bench.count(Kind::Device).await, 2);
}

//! What is fed: one target for each kind of bytes that comes from outside.
//!
//! A target reads its input as the program does and says whether it was read. It panics if what came out breaks a
//! promise: a certificate that is more than a leaf, a message that reads differently once written again. Read next:
//! [`super::feed`].

use std::sync::{Arc, LazyLock};

use cordon_proto::authorities::SignedAuthorities;
use cordon_proto::checkin::CheckinRequest;
use cordon_proto::enrol::{EnrolmentString, hardware_header, read_hardware_header};
use cordon_proto::farewell::Farewell;
use cordon_proto::ids::DeviceId;
use cordon_proto::limits;
use cordon_proto::receipt::Receipt;
use cordon_proto::telemetry::{Batch, Body};
use cordon_proto::update::bundle::Bundle;
use cordon_proto::update::chunks::{self, Index};
use cordon_proto::update::document::Document;
use cordon_proto::update::handover::{Carried, HandOver};
use cordon_proto::update::metadata::{Root, Snapshot, Targets, Timestamp as TufTimestamp};
use cordon_proto::update::tree::{ENDING, Part, Reader};
use cordon_proto::wire;
use cordon_server::ca::request::Request;
use cordon_server::ca::{Authority, Ca, PeerLeaf, Subject};
use cordon_server::clock::Clock;
use cordon_server::config::Config;
use cordon_server::init;
use minicbor::{Decode, Encode};
use rcgen::PublicKeyData;
use rustls::pki_types::CertificateDer;

use super::{der, dissectors, est, feeds, leaf, matching, mud, packages, packets, samples, sboms, siem};

/// One kind of bytes from outside.
#[derive(Debug)]
pub struct Target {
    /// Its name.
    pub name: &'static str,
    /// What its inputs that were read are called where they are counted.
    pub parsed: &'static str,
    /// Whether inputs are DER.
    pub der: bool,
    /// Real samples.
    pub samples: fn() -> Vec<Vec<u8>>,
    /// Reads an input as the program does, and says whether it was read.
    pub run: fn(&[u8]) -> bool,
}

/// All targets.
pub const TARGETS: [Target; 52] = [
    Target {
        name: "link",
        parsed: "links read",
        der: false,
        samples: packets::packets,
        run: dissectors::run_link,
    },
    Target {
        name: "ip",
        parsed: "datagrams read",
        der: false,
        samples: dissectors::datagrams,
        run: dissectors::run_ip,
    },
    Target {
        name: "arp",
        parsed: "ARP read",
        der: false,
        samples: dissectors::arps,
        run: dissectors::run_arp,
    },
    Target {
        name: "dhcp",
        parsed: "DHCP read",
        der: false,
        samples: dissectors::leases,
        run: dissectors::run_dhcp,
    },
    Target {
        name: "dns",
        parsed: "DNS read",
        der: false,
        samples: dissectors::messages,
        run: dissectors::run_dns,
    },
    Target {
        name: "client-hello",
        parsed: "names of servers read",
        der: false,
        samples: dissectors::hellos,
        run: dissectors::run_hello,
    },
    Target {
        name: "pcap",
        parsed: "pcap files read",
        der: false,
        samples: dissectors::classic,
        run: dissectors::run_classic,
    },
    Target {
        name: "pcapng",
        parsed: "pcapng files read",
        der: false,
        samples: dissectors::blocks,
        run: dissectors::run_blocks,
    },
    Target {
        name: "conn-log-lines",
        parsed: "lists of connections read",
        der: false,
        samples: packets::lists,
        run: dissectors::run_lines,
    },
    Target {
        name: "sock-diag",
        parsed: "diagnoses read",
        der: false,
        samples: dissectors::diagnoses,
        run: dissectors::run_diagnosis,
    },
    Target {
        name: "proc-net",
        parsed: "tables of sockets read",
        der: false,
        samples: dissectors::socket_tables,
        run: dissectors::run_socket_table,
    },
    Target {
        name: "archive",
        parsed: "archive parsed",
        der: false,
        samples: samples::archives,
        run: archive,
    },
    Target {
        name: "packet",
        parsed: "packet read",
        der: false,
        samples: packets::packets,
        run: packets::run_packet,
    },
    Target {
        name: "capture",
        parsed: "capture read",
        der: false,
        samples: packets::captures,
        run: packets::run_capture,
    },
    Target {
        name: "packet-losses",
        parsed: "losses read",
        der: false,
        samples: packets::losses,
        run: packets::run_losses,
    },
    Target {
        name: "conn-log",
        parsed: "conn-log read",
        der: false,
        samples: packets::lists,
        run: packets::run_list,
    },
    Target { name: "csr", parsed: "csr issued", der: true, samples: samples::requests, run: csr },
    Target {
        name: "csr-signed",
        parsed: "csr-signed issued",
        der: true,
        samples: samples::request_infos,
        run: csr_signed,
    },
    Target { name: "est", parsed: "est issued", der: false, samples: samples::est, run: est::run },
    Target {
        name: "certificate",
        parsed: "certificate parsed",
        der: true,
        samples: samples::certificates,
        run: |input| PeerLeaf::of(&CertificateDer::from(input)).is_some(),
    },
    Target {
        name: "checkin",
        parsed: "checkin parsed",
        der: false,
        samples: samples::checkins,
        run: message::<CheckinRequest>,
    },
    Target {
        name: "telemetry",
        parsed: "telemetry parsed",
        der: false,
        samples: samples::batches,
        run: batch,
    },
    Target {
        name: "receipt",
        parsed: "receipt parsed",
        der: false,
        samples: samples::receipts,
        run: receipt,
    },
    Target {
        name: "farewell",
        parsed: "farewell parsed",
        der: false,
        samples: samples::farewells,
        run: farewell,
    },
    Target {
        name: "authorities",
        parsed: "authorities parsed",
        der: false,
        samples: samples::authorities,
        run: |input| SignedAuthorities::read(input).is_ok(),
    },
    Target {
        name: "metadata",
        parsed: "metadata parsed",
        der: false,
        samples: samples::metadata,
        run: metadata,
    },
    Target { name: "bundle", parsed: "bundle parsed", der: false, samples: samples::bundles, run: bundle },
    Target {
        name: "chunks",
        parsed: "chunks parsed",
        der: false,
        samples: samples::chunk_indexes,
        run: chunks,
    },
    Target {
        name: "hand-over",
        parsed: "hand-over parsed",
        der: false,
        samples: samples::hand_overs,
        run: hand_over,
    },
    Target { name: "string", parsed: "string parsed", der: false, samples: samples::strings, run: string },
    Target {
        name: "hardware",
        parsed: "hardware parsed",
        der: false,
        samples: samples::hardware_headers,
        run: hardware,
    },
    Target {
        name: "version",
        parsed: "versions compared",
        der: false,
        samples: matching::versions,
        run: matching::version,
    },
    Target {
        name: "osv",
        parsed: "osv parsed",
        der: false,
        samples: matching::records,
        run: matching::record,
    },
    Target {
        name: "debian",
        parsed: "debian parsed",
        der: false,
        samples: matching::debian_feeds,
        run: matching::debian_feed,
    },
    Target {
        name: "dpkg",
        parsed: "dpkg parsed",
        der: false,
        samples: matching::databases,
        run: matching::database,
    },
    Target {
        name: "inventory",
        parsed: "inventory parsed",
        der: false,
        samples: matching::rows,
        run: matching::row_lines,
    },
    Target {
        name: "purl",
        parsed: "purl parsed",
        der: false,
        samples: matching::package_urls,
        run: matching::package_url,
    },
    Target {
        name: "csaf",
        parsed: "advisories read",
        der: false,
        samples: feeds::advisories,
        run: feeds::advisory,
    },
    Target { name: "mud", parsed: "MUD files read", der: false, samples: mud::files, run: mud::file },
    Target { name: "usage", parsed: "usages read", der: false, samples: mud::usages, run: mud::usage },
    Target { name: "vex", parsed: "VEX read", der: false, samples: feeds::statements, run: feeds::statement },
    Target { name: "tables", parsed: "tables read", der: false, samples: feeds::tables, run: feeds::table },
    Target { name: "assets", parsed: "lists read", der: false, samples: feeds::lists, run: feeds::list },
    Target {
        name: "folders",
        parsed: "folders read",
        der: false,
        samples: feeds::folders,
        run: feeds::folder,
    },
    Target {
        name: "apk",
        parsed: "apk databases read",
        der: false,
        samples: packages::apk_databases,
        run: packages::apk_database,
    },
    Target {
        name: "opkg",
        parsed: "opkg databases read",
        der: false,
        samples: packages::opkg_databases,
        run: packages::opkg_database,
    },
    Target {
        name: "rpm-header",
        parsed: "headers read",
        der: false,
        samples: packages::headers,
        run: packages::header,
    },
    Target {
        name: "rpm-database",
        parsed: "databases read",
        der: false,
        samples: packages::databases,
        run: packages::database,
    },
    Target {
        name: "language-package",
        parsed: "packages read",
        der: false,
        samples: packages::language_files,
        run: packages::language_file,
    },
    Target {
        name: "sbom",
        parsed: "SBOMs read",
        der: false,
        samples: sboms::documents,
        run: sboms::document,
    },
    Target { name: "siem", parsed: "peers told", der: false, samples: siem::sayings, run: siem::run },
    Target { name: "cvss", parsed: "vectors read", der: false, samples: sboms::vectors, run: sboms::vector },
];

/// A target with a fault in it, that must be found: it fails where a part at least two levels down holds 80 bytes or more.
pub const PLANTED: Target =
    Target { name: "planted", parsed: "planted parsed", der: true, samples: samples::requests, run: planted };

/// The authority that the driver issues under.
static CA: LazyLock<Arc<Ca>> = LazyLock::new(|| {
    let made = || -> anyhow::Result<Arc<Ca>> {
        let folder = tempfile::Builder::new().prefix("cordon-fuzz-").tempdir()?;
        let options = init::Options {
            folder: folder.path().to_owned(),
            admin_token_file: None,
            host: "localhost".to_owned(),
            example_keys: false,
            store: init::STORE.to_owned(),
            ca_key: None,
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let laid = runtime.block_on(init::run(&options, Clock::system().now()))?;
        Ok(Authority::open(&Config::load(&laid.config, &[])?)?.for_server())
    };
    made().unwrap_or_else(|error| panic!("no authority for the fuzz driver: {error:#}"))
});

/// The archive of a folder, its checksums made right: what is read stays in the folder, comes in order, and is written
/// again byte for byte.
fn archive(input: &[u8]) -> bool {
    let (mut input, mut written) = (input.to_vec(), Vec::new());
    samples::right_checksums(&mut input);
    let length = u64::try_from(input.len()).expect("has at most 64 bits");
    let (mut reader, mut rest, mut filling) = (Reader::new(length), &input[..], 0);
    let mut last = String::new();
    loop {
        match reader.next(&mut rest) {
            Ok(Some(Part::Entry(entry))) => {
                let path = entry.path();
                let inside = |path: &str| path.split('/').all(|name| !matches!(name, "" | "." | ".."));
                assert!(path.is_empty() || (inside(path) && last.split('/').lt(path.split('/'))), "{path}");
                last = path.to_owned();
                written.extend(vec![0; filling]);
                written.extend(entry.header());
                filling = entry.filling();
            }
            Ok(Some(Part::Content(bytes))) => written.extend(bytes),
            Ok(Some(Part::End)) => break,
            Ok(None) | Err(_) => return false,
        }
    }
    written.extend(vec![0; filling]);
    written.extend(ENDING);
    assert_eq!(written, input, "it is written differently");
    true
}

/// A certification request: what is read and proved gets a certificate, and that is a leaf.
fn csr(input: &[u8]) -> bool {
    let Ok(request) = Request::parse(input) else { return false };
    let subject = Subject { device: DeviceId::from_random([7; 16]), serial: &request.serial };
    let issued =
        CA.issue(&request.key, subject, 30, Clock::system().now()).expect("a proved key gets a leaf");
    leaf::check(&issued.der, Some(request.serial.as_str()), Some(request.key.der_bytes()));
    true
}

/// The same, with the proof made anew, so that bent contents are not thrown away for it.
fn csr_signed(info: &[u8]) -> bool {
    csr(&samples::signed_request(info))
}

/// A message, written again and read again: the same.
fn message<T>(input: &[u8]) -> bool
where
    T: for<'b> Decode<'b, ()> + Encode<()> + PartialEq + std::fmt::Debug,
{
    let Ok(message) = wire::read::<T>(input, limits::BODY_BYTES) else { return false };
    let again: T =
        wire::read(&wire::write(&message), limits::BODY_BYTES * 2).expect("our own writing is readable");
    assert_eq!(again, message);
    true
}

fn batch(input: &[u8]) -> bool {
    let Ok(batch) = Batch::read(input) else { return false };
    let again = Batch::read(&wire::write(&batch)).expect("our own writing is readable");
    assert_eq!(again, batch);
    batch.records.iter().all(|record| match Body::of(record) {
        Ok(Some(Body::InventoryPacked(packed))) => packages::unpacks(&packed),
        Ok(Some(Body::InventoryDelta(delta))) => packages::applies(delta),
        read => read.is_ok(),
    })
}

fn receipt(input: &[u8]) -> bool {
    let Ok(receipt) = wire::read::<Receipt>(input, limits::BODY_BYTES) else { return false };
    // Everything signed, so that the body is read too.
    receipt.open(|_, _| true).is_ok()
}

fn farewell(input: &[u8]) -> bool {
    let Ok(farewell) = wire::read::<Farewell>(input, limits::BODY_BYTES) else { return false };
    farewell.open(|_, _| true).is_ok()
}

/// A change of owner: what states one is written again as the very same, and its list makes its root or does not.
fn hand_over(input: &[u8]) -> bool {
    let Ok(carried) = Carried::parse(input) else { return false };
    let Ok(stated) = carried.states() else { return false };
    assert_eq!(HandOver::read(&stated.value()).as_ref(), Ok(&stated), "it reads differently");
    assert!(carried.devices().len() <= limits::HAND_OVER_DEVICES);
    let _ = carried.lists(&stated.scope);
    true
}

fn metadata(input: &[u8]) -> bool {
    let Ok(document) = Document::parse(input, limits::BODY_BYTES) else { return false };
    let signed = document.signed();
    let again = cordon_proto::canonical::Value::parse(&signed.json(), limits::BODY_BYTES * 2);
    assert_eq!(again.as_ref(), Ok(signed), "what is signed reads differently");
    Root::read(signed).is_ok()
        || TufTimestamp::read(signed).is_ok()
        || Snapshot::read(signed).is_ok()
        || Targets::read(signed).is_ok()
}

/// The index of a bundle: what is read is written in one form, and no path leaves the folder.
fn bundle(input: &[u8]) -> bool {
    let Ok(bundle) = Bundle::claim(input) else { return false };
    let again = cordon_proto::update::author::sign(&bundle.value(), &[]);
    assert_eq!(Bundle::claim(&again), Ok(bundle.clone()), "our own writing reads differently");
    let inside = |path: &str| path.split('/').all(|part| !part.is_empty() && !part.starts_with('.'));
    assert!(bundle.files.keys().all(|path| inside(path.as_str())), "a path leaves the folder");
    bundle.offers().count() > 0
}

/// The index of a chunk delta: what is read is written again as the very same, and every piece is found by its hash.
fn chunks(input: &[u8]) -> bool {
    let Ok(index) = Index::read(input.to_vec()) else { return false };
    let entries: Vec<_> = index.pieces().map(|piece| piece.entry).collect();
    assert_eq!(
        chunks::write(&index.parameters, index.image, index.store, &entries),
        input,
        "it is written otherwise"
    );
    let found = |entry: &chunks::Entry| index.find(&entry.id).and_then(|first| index.entry(first));
    let stored = |entry| found(entry).is_some_and(|first| first.is_stored() && first.length == entry.length);
    assert!(entries.iter().all(stored), "a piece is nowhere");
    true
}

fn string(input: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(input) else { return false };
    let Ok(string) = text.parse::<EnrolmentString>() else { return false };
    assert_eq!(string.to_string().parse().as_ref(), Ok(&string));
    true
}

fn hardware(input: &[u8]) -> bool {
    let Some(hardware) = std::str::from_utf8(input).ok().and_then(read_hardware_header) else { return false };
    assert_eq!(read_hardware_header(&hardware_header(&hardware)), Some(hardware));
    true
}

fn planted(input: &[u8]) -> bool {
    fn deep(nodes: &[der::Node], depth: usize) -> bool {
        nodes.iter().any(|node| match node {
            der::Node::Leaf { content, .. } => depth > 1 && content.len() >= 80,
            der::Node::Branch { parts, .. } => deep(parts, depth + 1),
            der::Node::Raw(_) => false,
        })
    }
    let Some(nodes) = der::read(input) else { return false };
    assert!(!deep(&nodes, 0), "planted");
    true
}

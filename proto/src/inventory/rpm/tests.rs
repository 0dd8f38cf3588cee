//! Tests of RPM's headers, and headers for the tests of the databases that hold them.

use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;

use proptest::prelude::*;

use super::*;

/// A value of a tag.
pub(in crate::inventory) enum Value<'a> {
    Text(&'a str),
    Number(u32),
}

/// A header with these tags, and a long list of files between the last two of them.
pub(in crate::inventory) fn header(tags: &[(u32, Value<'_>)]) -> Vec<u8> {
    let (mut index, mut values) = (Vec::new(), Vec::new());
    for (place, (tag, value)) in tags.iter().enumerate() {
        if place + 1 == tags.len() {
            values.extend([b'f'; 3000]);
        }
        let (kind, bytes) = match value {
            Value::Text(text) => (STRING, [text.as_bytes(), b"\0"].concat()),
            Value::Number(number) => {
                values.resize(values.len().next_multiple_of(4), 0);
                (INT32, number.to_be_bytes().to_vec())
            }
        };
        let offset = u32::try_from(values.len()).expect("small");
        for word in [*tag, kind, offset, 1] {
            index.extend(word.to_be_bytes());
        }
        values.extend(bytes);
    }
    let count = |bytes: usize| u32::try_from(bytes).expect("small").to_be_bytes();
    [&count(tags.len())[..], &count(values.len()), &index, &values].concat()
}

/// A package of a modular source.
pub(in crate::inventory) fn sample(name: &str) -> Vec<u8> {
    header(&[
        (NAME, Value::Text(name)),
        (VERSION, Value::Text("3.0.7")),
        (RELEASE, Value::Text("24.el9")),
        (EPOCH, Value::Number(1)),
        (ARCHITECTURE, Value::Text("x86_64")),
        (SOURCE, Value::Text("openssl-fips-3.0.7-24.el9.src.rpm")),
        (MODULE, Value::Text("openssl:3:9050020230208:a75119d5")),
    ])
}

#[test]
fn a_package_is_known_by_its_source_epoch_and_module() {
    // Goal: what advisories are matched against. Method: a header with everything, one with little, a signer's key.
    let wanted = Package {
        name: "openssl-libs".to_string(),
        version: "1:3.0.7-24.el9".to_string(),
        architecture: "x86_64".to_string(),
        source: "openssl-fips".to_string(),
        source_version: "1:3.0.7-24.el9".to_string(),
        module: Some("openssl:3:9050020230208:a75119d5".to_string()),
    };
    assert_eq!(package(&sample("openssl-libs")), Ok(Some(wanted)));
    let plain = [
        (NAME, Value::Text("pump")),
        (VERSION, Value::Text("2")),
        (RELEASE, Value::Text("1")),
        (ARCHITECTURE, Value::Text("noarch")),
    ];
    let plain = package(&header(&plain)).expect("is one").expect("is a package");
    assert_eq!((plain.version.as_str(), plain.source_version.as_str()), ("2-1", "0:2-1"));
    assert_eq!((plain.source.as_str(), plain.module), ("pump", None));
    assert_eq!(package(&header(&[(NAME, Value::Text("gpg-pubkey"))])), Ok(None));
}

#[test]
fn only_the_bytes_that_matter_are_asked_for() {
    // Goal: a kernel's ten thousand files are not read. Method: follow what is asked for; then the front alone must do.
    let whole = [sample("kernel-core"), vec![b'x'; 1 << 20]].concat();
    let mut front = 0;
    loop {
        let wanted = extent(&whole[..front]);
        if wanted <= front {
            break;
        }
        front = wanted;
    }
    assert!(front < 5000, "{front}");
    assert_eq!(package(&whole[..front]), package(&sample("kernel-core")));
    assert_eq!(extent(&[0xff; 8]), COUNTS, "what is no header asks for no more");
    let giant = [1_u32.to_be_bytes(), u32::MAX.to_be_bytes(), NAME.to_be_bytes(), STRING.to_be_bytes()];
    let giant = [giant.concat(), [u32::MAX.to_be_bytes(), 1_u32.to_be_bytes()].concat()].concat();
    assert_eq!(extent(&giant), limits::RPM_HEADER_BYTES);
    assert_eq!(package(&giant), Err(Broken));
}

#[test]
fn what_is_cut_off_or_of_another_type_is_broken() {
    // Goal: no package with half a version. Method: every cut of a header; a name that is a number; a path for a name.
    let whole = sample("openssl-libs");
    for cut in 0..whole.len() {
        assert_eq!(package(&whole[..cut]), Err(Broken), "{cut}");
    }
    let mut short = whole.clone();
    short[7] -= 1;
    assert_eq!(package(&short), Err(Broken), "the last value lies beyond the end that is stated");
    assert_eq!(package(&header(&[(NAME, Value::Number(7))])), Err(Broken));
    assert_eq!(package(&sample("../openssl")), Err(Broken));
    assert_eq!(package(&sample("")), Err(Broken));
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = package(&bytes);
        prop_assert!(extent(&bytes) <= limits::RPM_HEADER_BYTES);
    }

    #[test]
    fn any_damage_to_a_header_is_read_without_a_panic(place in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = sample("openssl-libs");
        let at = place.index(bytes.len());
        bytes[at] = byte;
        let _ = (package(&bytes), extent(&bytes));
    }
}

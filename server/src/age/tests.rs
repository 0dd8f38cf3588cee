//! Tests of the format against itself and its rules. That other programs read it is shown with `age` itself, in the
//! house's outside tests.

use std::io::{Read, Write};

use proptest::prelude::*;

use super::keys::KeyError;
use super::stream::PIECE_BYTES;
use super::*;

fn sealed(recipient: &Recipient, bytes: &[u8]) -> Vec<u8> {
    let mut sealer = Sealer::new(Vec::new(), recipient).expect("a head");
    sealer.write_all(bytes).expect("written");
    sealer.finish().expect("finished")
}

fn opened(file: &[u8], identity: &Identity) -> Result<Vec<u8>, String> {
    let mut opener = Opener::new(file, std::slice::from_ref(identity)).map_err(|error| error.to_string())?;
    let mut bytes = Vec::new();
    opener.read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    Ok(bytes)
}

#[test]
fn a_file_that_age_itself_sealed_is_read_for_ever() {
    // Goal: the public format, also where no `age` is installed. Method: golden bytes of age 1.1.1, made for this test
    // with a key that is used for nothing else.
    use base64::Engine;
    let key = "AGE-SECRET-KEY-1Y6JHZZCV937HMMZCLXXUZA69AYFFAANWNY02DA8866F9CDEVPNDSW38ZE6";
    let file = concat!(
        "YWdlLWVuY3J5cHRpb24ub3JnL3YxCi0+IFgyNTUxOSBKNDd4ZTQ4cUt1b3FtQzd1WGswSEluY1BJSkhZeE5PYmQ2Y0QzV2FvQTIwCnhB",
        "aHhidTJoKzNUU3UzNGo2NUFyZkVtQ2I2MEhWSHZ1dmhEdWM4REtHaTAKLS0tIDllR0dlQklWVlhoSEJVRXU1Q2dqdDFOdFdYZzIrMWhB",
        "bC9SWm00enhJa0UKbq34IF1EB9brumsdSe0+8kyMCV7ds1bNfl7IiNEmmt1CEKMaNUw/yvqdBQUY7m++By6QQL0AvsOVmCSFSd8lT7aU",
        "yxz6Zvg="
    );
    let file = base64::engine::general_purpose::STANDARD.decode(file).expect("base64");
    let identity = Identity::read_all(key).expect("a key").remove(0);
    assert_eq!(opened(&file, &identity).as_deref(), Ok(&b"a file of age 1.1.1, sealed for one key"[..]));
}

#[test]
fn keys_read_back_and_have_one_form() {
    // Goal: no other key by a slip of the pen. Method: round trip; each letter changed; case; the halves swapped.
    let identity = Identity::make();
    let (text, public) = (identity.text(), identity.recipient().to_string());
    let file = format!("# created: today\n# public key: {public}\n\n{}\n", text.as_str());
    let read = Identity::read_all(&file).expect("an identity file");
    assert_eq!(read[0].recipient(), identity.recipient());
    assert_eq!(public.parse::<Recipient>(), Ok(identity.recipient()));
    assert!(public.starts_with("age1") && text.starts_with("AGE-SECRET-KEY-1"));
    for place in 0..public.len() {
        let mut letters = public.clone().into_bytes();
        letters[place] = if letters[place] == b'q' { b'p' } else { b'q' };
        let changed = String::from_utf8(letters).expect("letters");
        assert_eq!(changed.parse::<Recipient>(), Err(KeyError::Recipient), "{changed}");
    }
    assert_eq!(Recipient([0; 32]).to_string().parse::<Recipient>(), Err(KeyError::Recipient), "low order");
    assert!(public.to_uppercase().parse::<Recipient>().is_err());
    assert!(text.parse::<Recipient>().is_err());
    assert_eq!(Identity::read_all(&text.to_lowercase()).err(), Some(KeyError::Identity(1)));
    assert_eq!(Identity::read_all(&public).err(), Some(KeyError::Identity(1)));
    assert_eq!(Identity::read_all("# nothing\n").err(), Some(KeyError::Empty));
}

#[test]
fn every_length_about_the_pieces_reads_back() {
    // Goal: the borders of the stream. Method: lengths at and beside each border, written whole and in crumbs.
    let identity = Identity::make();
    for length in [0, 1, PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, 2 * PIECE_BYTES, 2 * PIECE_BYTES + 1]
    {
        let bytes: Vec<u8> = (0..length).map(|n| u8::try_from(n % 251).expect("small")).collect();
        let whole = sealed(&identity.recipient(), &bytes);
        let mut sealer = Sealer::new(Vec::new(), &identity.recipient()).expect("a head");
        bytes.chunks(1000).for_each(|crumb| sealer.write_all(crumb).expect("written"));
        let crumbs = sealer.finish().expect("finished");
        assert_eq!(whole.len(), crumbs.len());
        for file in [whole, crumbs] {
            assert!(opened(&file, &identity).as_deref() == Ok(bytes.as_slice()), "{length}");
        }
    }
}

#[test]
fn what_is_cut_off_or_added_at_any_border_is_refused() {
    // Goal: no shorter and no longer file passes for the whole. Method: cuts at and about each piece; one byte more.
    let identity = Identity::make();
    let file = sealed(&identity.recipient(), &vec![7; 2 * PIECE_BYTES]);
    let body = file.len() - 2 * (PIECE_BYTES + 16);
    for border in [body, body + PIECE_BYTES + 16, file.len()] {
        for cut in [border.saturating_sub(1), border, border + 1] {
            if cut < file.len() {
                assert!(opened(&file[..cut], &identity).is_err(), "cut at {cut}");
            }
        }
    }
    assert!(opened(&[&file[..], b"x"].concat(), &identity).is_err(), "a byte more");
    let piece = &file[body..body + PIECE_BYTES + 16];
    assert!(opened(&[&file[..body], piece, piece].concat(), &identity).is_err(), "a piece twice");
}

#[test]
fn a_file_for_others_or_with_another_head_is_refused() {
    // Goal: what is said is true, and each refusal has its name. Method: another key; heads made by hand.
    let identity = Identity::make();
    let file = sealed(&identity.recipient(), b"bytes");
    let other = opened(&file, &Identity::make()).expect_err("refused");
    assert!(other.contains("another key"), "{other}");
    let text = String::from_utf8_lossy(&file).into_owned();
    let head_end = text.find("---").expect("an end");
    let with = |from: &str, to: &str| {
        let place = file.windows(from.len()).position(|found| found == from.as_bytes()).expect("there");
        [&file[..place], to.as_bytes(), &file[place + from.len()..]].concat()
    };
    for (changed, word) in [
        (with("/v1\n", "/v2\n"), "no age file"),
        (with("-> X25519", "-> X25518"), "another key"),
        (with("-> X25519", "->  X25519"), "words"),
        (with("-> X25519", "-> a b\n\n-> X25519"), "changed"),
        (with("-> X25519", "-> scrypt a 10\n\n-> X25519"), "password"),
        (with("\n---", "=\n---"), "base64"),
        (file[..head_end].to_vec(), "cut off"),
        (vec![], "no age file"),
        ([b"age-encryption.org/v1\n", vec![b'-'; 70_000].as_slice()].concat(), "too long"),
    ] {
        let refused = opened(&changed, &identity).expect_err(word);
        assert!(refused.contains(word), "{word}: {refused}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(ProptestConfig::default().cases.min(400)))]
    #[test]
    fn any_flipped_bit_is_refused(
        length in 0_usize..300, place in any::<prop::sample::Index>(), bit in 0_u8..8,
    ) {
        // Goal: nothing of a changed file passes for the whole. Method: one bit anywhere, head, nonce and body.
        let identity = Identity::make();
        let mut file = sealed(&identity.recipient(), &vec![9; length]);
        let place = place.index(file.len());
        file[place] ^= 1 << bit;
        prop_assert!(opened(&file, &identity).is_err(), "byte {}", place);
    }

    #[test]
    fn any_bytes_are_a_file_or_refused_without_a_panic(bytes: Vec<u8>) {
        let identity = Identity::make();
        let _ = opened(&bytes, &identity);
        let _ = opened(&[b"age-encryption.org/v1\n-> ", bytes.as_slice()].concat(), &identity);
        let _ = Identity::read_all(&String::from_utf8_lossy(&bytes));
    }
}

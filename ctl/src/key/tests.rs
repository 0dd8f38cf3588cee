//! Key files in all their forms, and whom they are refused to.

use super::*;
use cordon_proto::update::deny::EXAMPLE_KEYS;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

fn write(folder: &tempfile::TempDir, name: &str, bytes: &[u8], mode: u32) -> PathBuf {
    let path = folder.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    path
}

fn refusal<T>(result: Result<T, Failure>) -> String {
    match result {
        Err(failure @ Failure::Refused(_)) => failure.to_string(),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("must be refused"),
    }
}

#[test]
fn a_private_key_is_read_in_its_three_forms() {
    // Goal: PEM, hexadecimal and raw seeds are one key. Method: the PEM of OpenSSL for the seed of RFC 8032 test 1.
    let folder = tempfile::tempdir().unwrap();
    let seed = decode_hex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60").unwrap();
    let text = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n-----END PRIVATE KEY-----\n";
    let wanted = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
    for (name, bytes) in [("pem", text.as_bytes()), ("raw", &seed), ("hex", encode_hex(&seed).as_bytes())] {
        let key = SecretKey::read(&write(&folder, name, bytes, 0o600), false).map_err(|e| e.to_string());
        let public = key.map(|key| public_text(key.public()));
        assert_eq!(public.as_deref(), Ok(wanted), "{name}");
    }
    let path = folder.path().join("made.pem");
    SecretKey::from_seed(seed.as_slice().try_into().unwrap()).write_new(&path, 0o600).unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
    assert!(
        refusal(SecretKey::from_seed(&[1; 32]).write_new(&path, 0o600)).contains("exists"),
        "never overwritten"
    );
}

#[test]
fn an_open_key_file_is_refused_and_told_how_to_close() {
    // Goal: a key others can read signs nothing. Method: group, world, and owner only.
    let folder = tempfile::tempdir().unwrap();
    for mode in [0o640, 0o604, 0o644, 0o660, 0o620] {
        let path = write(&folder, "key", &[7; 32], mode);
        let said = refusal(SecretKey::read(&path, false));
        assert!(said.contains(&format!("mode {mode:04o}")) && said.contains("chmod 600"), "{said}");
    }
    assert!(SecretKey::read(&write(&folder, "key", &[7; 32], 0o400), false).is_ok());
}

#[test]
fn an_example_key_is_refused_unless_it_is_asked_for() {
    // Goal: nobody goes live with a published key. Method: private, public by file and by digits, with the flag.
    let folder = tempfile::tempdir().unwrap();
    let (name, _) = EXAMPLE_KEYS[0];
    let key = crate::example::key(name);
    let secret = folder.path().join("secret.pem");
    key.write_new(&secret, 0o644).unwrap();
    let digits = public_text(key.public());
    for result in [SecretKey::read(&secret, false).map(drop), public(&digits, false).map(drop)] {
        assert!(refusal(result).contains("--example-keys"));
    }
    assert!(SecretKey::read(&secret, true).is_ok(), "an example key may be open: it is published anyway");
    assert!(public(&digits, true).is_ok());
}

#[test]
fn public_keys_are_read_as_digits_and_as_pem() {
    // Goal: what the server prints and what OpenSSL writes. Method: both spellings of one key, and no key at all.
    let folder = tempfile::tempdir().unwrap();
    let key = SecretKey::from_seed(&[9; 32]);
    let digits = public_text(key.public());
    assert_eq!(public(&digits, false).unwrap(), *key.public());
    let path = write(&folder, "key.pub", public_pem(key.public()).as_bytes(), 0o644);
    assert_eq!(public(path.to_str().unwrap(), false).unwrap(), *key.public());
    assert!(matches!(KeyFile::read(&path, false), Ok(KeyFile::Public(read)) if read == *key.public()));
    assert!(matches!(KeyFile::read(Path::new(&digits), false), Ok(KeyFile::Public(_))));
    let path = write(&folder, "digits", digits.as_bytes(), 0o600);
    assert_eq!(
        public(path.to_str().unwrap(), false).unwrap(),
        *key.public(),
        "where only a public key can stand"
    );
    assert!(refusal(KeyFile::read(&path, false)).contains("private or a public"));
    let path = write(&folder, "none", b"no key", 0o600);
    assert!(refusal(public(path.to_str().unwrap(), false)).contains("is no public key"));
    assert!(refusal(SecretKey::read(&path, false)).contains("PKCS#8"));
}

#[test]
fn a_key_on_p256_is_written_read_and_signs_what_devices_verify() {
    // Goal: the second scheme of the contract, in a file. Method: make, write, read, sign, verify; the public half by PEM;
    // a broken one; a URI in a build that may know no token.
    let folder = tempfile::tempdir().unwrap();
    let made = SecretKey::new_p256().map_err(|failure| failure.to_string()).unwrap();
    let path = folder.path().join("p256.pem");
    made.write_new(&path, 0o600).unwrap();
    let read = SecretKey::read(&path, false).map_err(|failure| failure.to_string()).unwrap();
    assert_eq!((read.public(), read.public().scheme), (made.public(), Scheme::EcdsaP256));
    let signature = read.sign(b"message").map_err(|failure| failure.to_string()).unwrap();
    use cordon_proto::update::Verifier;
    assert!(crate::verifier::RingVerifier.verify(made.public(), b"message", &signature));
    assert!(!crate::verifier::RingVerifier.verify(made.public(), b"massage", &signature));
    assert_eq!(parse_public(public_pem(made.public()).as_bytes()).as_ref(), Some(made.public()));
    let text = std::fs::read_to_string(&path).unwrap();
    let mut der = unpem("PRIVATE KEY", text.trim()).unwrap().to_vec();
    der.truncate(der.len() - 4);
    let broken = write(&folder, "broken.pem", pem("PRIVATE KEY", &der).as_bytes(), 0o600);
    assert!(refusal(SecretKey::read(&broken, false)).contains("P-256"));
    let uri = Path::new("pkcs11:object=a?module-path=/nowhere.so&pin-source=file:/nowhere");
    assert!(SecretKey::read(uri, false).is_err() && KeyFile::read(uri, false).is_err());
}

//! Tests of the configuration file: keys, refusals, where a device's hardware identity comes from.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::config::key_place::KeyPlace;
use crate::link::proxy::Proxy;

const HARDWARE: &str =
    "hardware = { manufacturer = \"Halden\", model = \"VP-3\", revision = \"C\", serial = \"VP3-1\" }\n";

fn written(text: &str) -> (tempfile::TempDir, Sources) {
    let root = tempfile::tempdir().expect("a scratch folder");
    let path = root.path().join("agent.toml");
    fs::write(&path, text).expect("writes");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("changes the mode");
    let machine = root.path().join("machine");
    fs::create_dir(&machine).expect("makes the folder");
    (root, Sources { config: Some(path), state: None, root: machine })
}

fn error_of(text: &str) -> String {
    let (_root, sources) = written(text);
    Config::load(&sources).expect_err("is refused").to_string()
}

#[test]
fn every_fixed_key_is_read_and_paths_count_from_the_file() {
    // Goal: the keys of the fixed command line. Method: one file with all of them.
    let text = format!(
        "{HARDWARE}state = \"state\"\nslots = [\"A\", \"/dev/b\"]\nboot = \"file:boot\"\ntimezone = \"Europe/Berlin\"\n\
         interlock_socket = \"/run/therapy.sock\"\ninterlock = \"person\"\nserver = \"192.0.2.7\"\nproxy = \"http://proxy:3128\"\n\
         proxy_auth_file = \"auth\"\nmetered = true\n\
         mirrors = [\"http://mirror/cordon/\", \"http://192.0.2.9:8080\"]\nimage_kbit_s = 20_000\nkey = \"file\"\n\
         clock_floor = \"2026-11-02T00:00:00Z\"\nhealth = [\"check\", \"--all\"]\ntrial_s = 600\nmud = \"pump.usage\"\npackets = false\ndata = [\"/srv/data\"]\ncabinet = [\"door:/sys/class/gpio/gpio17/value=1\"]\nimage_root = {{ halden = \"root.json\" }}\n"
    );
    let (root, sources) = written(&text);
    let config = Config::load(&sources).expect("is read");
    let here = root.path();
    assert_eq!(config.state, here.join("state"));
    assert_eq!(config.slots, Some([here.join("A"), PathBuf::from("/dev/b")]));
    assert_eq!(config.boot, Some(Setting::File(here.join("boot"))));
    assert_eq!(config.hardware.serial.as_str(), "VP3-1");
    let roots: Vec<_> = config.image_root.iter().collect();
    assert_eq!(roots, [(&"halden".parse().expect("a name"), &here.join("root.json"))]);
    assert_eq!(config.timezone, "Europe/Berlin");
    assert_eq!(config.interlock_socket, Some(PathBuf::from("/run/therapy.sock")));
    assert_eq!(config.interlock, Some(InterlockClass::Person));
    assert_eq!(config.server, [IpAddr::from([192, 0, 2, 7])]);
    let proxy = Proxy::parse(Some("http://proxy:3128".to_owned()), Some(here.join("auth"))).expect("is one");
    assert_eq!((config.proxy, config.metered, config.key), (proxy, Some(21_600), KeyPlace::File));
    assert_eq!(config.mirrors, ["http://mirror/cordon", "http://192.0.2.9:8080"]);
    assert_eq!(config.image_kbit_s, Some(20_000));
    assert_eq!(config.clock_floor, Some(Timestamp(1_793_577_600)));
    assert_eq!(config.health, Health::Program(vec!["check".to_owned(), "--all".to_owned()]));
    assert_eq!((config.trial_s, config.mud, config.packets), (600, Some(here.join("pump.usage")), false));
    assert_eq!(config.data, ["/srv/data"]);
    assert_eq!(config.cabinet, [Contact::parse("door:/sys/class/gpio/gpio17/value=1").expect("is one")]);
    let other = Sources { state: Some(PathBuf::from("elsewhere")), ..sources };
    assert_eq!(Config::load(&other).expect("is read").state, PathBuf::from("elsewhere"));
}

#[test]
fn a_mistake_is_named_with_its_key() {
    // Goal: a person finds the line. Method: one mistake each.
    let with = |line: &str| error_of(&format!("{HARDWARE}{line}\n"));
    assert!(with("sate = \"x\"").contains("unknown field `sate`"));
    assert!(with("boot = \"lilo\"").contains("key `boot`: boot = \"lilo\" is not known; use file:PATH"));
    assert!(with("proxy = \"socks5://x\"").contains("key `proxy`"));
    assert!(with("proxy = \"http://me:pw@x\"").contains("key `proxy`: must not hold a name or password"));
    assert!(with("proxy_auth_file = \"x\"").contains("key `proxy_auth_file`: needs `proxy"));
    assert!(with("metered = 0").contains("key `metered` must be true, false, or seconds"));
    assert!(with("metered = 604801").contains("key `metered`"));
    for wrong in
        ["https://mirror", "mirror", "http://me:pw@mirror", "http://mirror/?a", "http://", "file:///x"]
    {
        assert!(
            with(&format!("mirrors = [\"{wrong}\"]")).contains("key `mirrors` must be a list"),
            "{wrong}"
        );
    }
    assert!(with("mirrors = [\"http://spiegel.m\u{fc}nchen.example\"]").contains("xn-- form"));
    assert!(with("proxy = \"http://m\u{fc}nchen.example:3128\"").contains("xn-- form"));
    let eight = ["\"http://mirror\""; 8].join(", ");
    assert!(with(&format!("mirrors = [{eight}]")).contains("at most 7"));
    for wrong in ["255", "10000001", "-1", "\"fast\"", "true"] {
        assert!(
            with(&format!("image_kbit_s = {wrong}")).contains("key `image_kbit_s` must be kilobits"),
            "{wrong}"
        );
    }
    assert!(with("data = [\"data\"]").contains("key `data` must be a list of at most 8 folders"));
    assert!(with("cabinet = [\"door\"]").contains("key `cabinet` must be a list of at most 8 switches"));
    let nine = ["\"a:/b=1\""; 9].join(", ");
    assert!(with(&format!("cabinet = [{nine}]")).contains("at most 8 switches"));
    assert!(with("key = \"pkcs11:token=x?pin-value=1\"").contains("key `key`: must not hold a PIN"));
    assert!(with("clock_floor = \"yesterday\"").contains("key `clock_floor`"));
    assert!(with("health = []").contains("key `health`"));
    for wrong in ["0", "3601", "\"600\"", "1.5"] {
        assert!(with(&format!("trial_s = {wrong}")).contains("key `trial_s` must be seconds"), "{wrong}");
    }
    assert!(with("image_root = { \"../x\" = \"f\" }").contains("image_root"));
    assert!(with("slots = [\"A\"]").contains("line 2: key `slots` must be two paths"));
    assert!(with("server = [\"192.0.2.7\", \"here\"]").contains("key `server`"));
    assert!(with("timezone = 3").contains("key `timezone` must be a text"));
    assert!(with("state = \"x\"\nstate = \"y\"").contains("duplicate key"));
    assert!(error_of("hardware = { model = \"VP-3\" }").contains("`manufacturer` is missing"));
    assert!(error_of(&HARDWARE.replace(" }", ", colour = \"grey\" }")).contains("and nothing else"));
}

#[test]
fn an_international_name_is_taken_as_its_bytes() {
    // Goal: the form that name servers know works without a table of all letters. Method: one of each kind, a capital
    // letter among them, and a path that is no host.
    let (_root, sources) = written(&format!(
        "{HARDWARE}proxy = \"http://xn--mnchen-3ya.example:3128\"\nserver = \"192.0.2.7\"\n\
         mirrors = [\"http://Spiegel.xn--mnchen-3ya.example/gr\u{fc}n\"]\n"
    ));
    let config = Config::load(&sources).expect("is read");
    assert_eq!(config.mirrors, ["http://spiegel.xn--mnchen-3ya.example/gr%C3%BCn"]);
    assert!(config.proxy.is_some_and(|proxy| proxy.for_client().is_ok()));
}

#[test]
fn a_file_that_anyone_may_change_is_refused() {
    // Goal: nobody without rights redirects the agent. Method: mode 0666.
    let (_root, sources) = written(HARDWARE);
    let path = sources.config.clone().expect("was given");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).expect("changes the mode");
    let error = Config::load(&sources).expect_err("is refused");
    assert!(matches!(error, ConfigError::File(FileError::WorldWritable { mode: 0o666, .. })), "{error}");
}

#[test]
fn hardware_comes_from_dmi_and_placeholders_do_not_count() {
    // Goal: a device says what it is or the agent refuses. Method: made-up DMI tables, then a placeholder serial.
    let (_root, sources) = written("");
    let dmi = sources.root.join("sys/class/dmi/id");
    fs::create_dir_all(&dmi).expect("makes the folder");
    let put = |name: &str, text: &str| fs::write(dmi.join(name), text).expect("writes");
    put("sys_vendor", "Halden\n");
    put("product_name", "Kiosk 7\n");
    put("product_serial", "K7-0001\n");
    let hardware = Config::load(&sources).expect("is read").hardware;
    assert_eq!((hardware.model.as_str(), hardware.serial.as_str()), ("Kiosk 7", "K7-0001"));
    put("product_serial", "To Be Filled By O.E.M.\n");
    let error = Config::load(&sources).expect_err("is refused").to_string();
    assert!(error.contains("hardware = {"), "{error}");
}

#[test]
fn an_installer_is_named_once_and_with_what_belongs_to_it() {
    // Goal: no key that nobody reads. Method: a folder and a command as written, then each mistake by its key.
    use crate::install::Setting as Installing;
    let here = Path::new("/etc/cordon");
    let parsed = |lines: &str| {
        let text = format!(
            "{lines}\nhardware = {{ manufacturer = \"H\", model = \"M\", revision = \"R\", serial = \"S\" }}"
        );
        Config::parse(&text, &here.join("agent.toml"), &Sources::default())
    };
    let folder = parsed("install = \"directory:pump\"\nrestart = [\"systemctl\", \"restart\", \"pump\"]");
    let folder = folder.expect("is read");
    assert_eq!(folder.install, Some(Installing::Folder(here.join("pump"))));
    assert_eq!(folder.restart, ["systemctl", "restart", "pump"]);
    let command = parsed("install = \"exec:/usr/lib/cordon/rauc --one\"\nboot = \"grub\"").expect("is read");
    assert_eq!(command.install, Some(Installing::Command("/usr/lib/cordon/rauc --one".into())));
    for (lines, key) in [
        ("install = \"pump\"", "install"),
        ("install = \"directory:\"", "install"),
        ("install = \"exec:rauc\"", "install"),
        ("install = \"directory:pump\"\nslots = [\"A\", \"B\"]", "install"),
        ("install = \"directory:pump\"\nboot = \"grub\"", "boot"),
        ("install = \"exec:/rauc\"\nrestart = [\"pump\"]", "restart"),
        ("restart = [\"pump\"]", "restart"),
        ("restart = []", "restart"),
    ] {
        let error = parsed(lines).expect_err(lines).to_string();
        assert!(error.contains(&format!("`{key}`")), "{lines}: {error}");
    }
}

//! `cordon-server init`: lays a server's folder, with keys made there and then.
//!
//! It writes nothing over anything: a folder that holds a server already is left as it is. Every secret is a file of
//! mode 0600, and the API token's secret leaves once, into the file that was asked for. Read next: `serve`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use cordon_proto::enrol::base64url;
use cordon_proto::ids::{Sha256, Text, TokenId};
use cordon_proto::time::Timestamp;
use cordon_server_core::audit::{Entry, Summary};
use cordon_server_core::change::{Commit, Malformed};

use crate::app::{ApiToken, name, server};
use crate::audit_log::AuditKey;
use crate::ca::{CaError, make};
use crate::chance;
use crate::config::{Config, ConfigError};
use crate::example::ExampleDirector;
use crate::files::{self, FileError};
use crate::online::{OnlineError, OnlineKeys};
use crate::people::Doer;
use crate::repositories::{PublishError, Repositories};
use crate::serve;
use crate::store::open::StoreOpenError;
use crate::store::{Key, Store, StoreError};

/// File of the settings.
pub const CONFIG: &str = "cordon.toml";
/// File of the root certificate, for tools and devices.
pub const CA: &str = "ca.pem";
/// File of the public halves of the director's online keys.
pub const ONLINE_KEYS: &str = "director-online-keys.json";
/// File of the public half of the audit log's key.
pub const AUDIT_LOG: &str = "audit-key.json";

/// What to lay.
#[derive(Clone, Debug)]
pub struct Options {
    /// The folder.
    pub folder: PathBuf,
    /// Where the API token's secret goes.
    pub admin_token_file: Option<PathBuf>,
    /// Host under which devices reach the server.
    pub host: String,
    /// Whether to take the throw-away keys of `keys-example`.
    pub example_keys: bool,
    /// Where documents and telemetry are kept, as in the settings.
    pub store: String,
    /// How the issuing key is kept, as in the settings.
    pub ca_key: Option<String>,
}

/// Where they are kept unless said otherwise.
pub const STORE: &str = "redb:store.redb";

/// Folder of the example director's documents, laid out as `cordonctl repo` keeps a repository.
pub const EXAMPLE_DIRECTOR: &str = "example-director";

/// What was laid, for the person who asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Laid {
    /// SHA-256 of the example director's root, where example keys were asked for.
    pub director_root: Option<Sha256>,
    /// The settings.
    pub config: PathBuf,
    /// The pin in enrolment strings.
    pub ca_pin: String,
    /// The public halves of the online keys, as JSON.
    pub online_keys: String,
}

/// Why nothing, or not all, was laid.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// There is a server already.
    #[error("{} holds a server already: choose another folder, or remove it if it is not needed", .0.display())]
    Exists(PathBuf),
    /// A file.
    #[error(transparent)]
    File(#[from] FileError),
    /// The authority.
    #[error(transparent)]
    Ca(#[from] CaError),
    /// The online keys.
    #[error(transparent)]
    Online(#[from] OnlineError),
    /// The settings that were just written.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The store.
    #[error(transparent)]
    Open(#[from] StoreOpenError),
    /// The first commit.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The example director.
    #[error("the example director could not be published")]
    Publish(#[from] PublishError),
    /// Cannot happen with one small document, and is still no panic.
    #[error(transparent)]
    Malformed(#[from] Malformed),
}

/// Lays a server's folder.
pub async fn run(options: &Options, now: Timestamp) -> Result<Laid, InitError> {
    let folder = &options.folder;
    files::create_folder(folder)?;
    let path = folder.join(CONFIG);
    if path.exists() {
        return Err(InitError::Exists(folder.clone()));
    }
    let text = settings(options);
    // Checked before anything is written: a bad host is the caller's mistake, not a broken folder.
    let config = Config::parse(&text, &[], folder.clone())?;
    let laid = make::lay(&config.path(&config.ca), &config.ca_key.within(folder), now)?;
    files::create_public(&folder.join(CA), laid.root.as_bytes())?;
    let online = if options.example_keys { OnlineKeys::example() } else { OnlineKeys::make() };
    online.write(&config.path(&config.keys))?;
    let online_keys = online.document();
    files::create_public(&folder.join(ONLINE_KEYS), online_keys.as_bytes())?;
    let audit = AuditKey::make();
    audit.write(&config.path(&config.keys))?;
    files::create_public(&folder.join(AUDIT_LOG), audit.document().as_bytes())?;
    let store = serve::open_store(&config).await?;
    if let Some(file) = &options.admin_token_file {
        admin_token(&*store, file, now).await?;
    }
    let director_root = match options.example_keys {
        true => Some(example_director(store, online, &folder.join(EXAMPLE_DIRECTOR), now).await?),
        false => None,
    };
    // Last, because its presence says that the folder is whole.
    files::create_public(&path, text.as_bytes())?;
    Ok(Laid { director_root, config: path, ca_pin: base64url(&laid.pin.0), online_keys })
}

/// Makes the API token of the first administrator.
async fn admin_token(store: &dyn Store, file: &Path, now: Timestamp) -> Result<(), InitError> {
    let secret = chance::secret();
    let id = TokenId::of(&secret);
    let token = ApiToken {
        v: 1,
        name: Text::lossy("made by init"),
        scopes: vec!["*".to_owned()],
        created: now,
        expires: None,
    };
    let entry = Entry {
        after: Some(Summary::of("may do everything, until it is taken back")),
        ..Entry::new(name("api-token.create"), Text::lossy(&format!("token:{id}")))
    };
    let draft = Commit::draft(now, server("init")).put(Key::ApiToken(id), token.to_body()).audit(entry);
    store.commit(draft.finish()?).await?;
    files::create_secret(file, format!("{secret}\n").as_bytes())?;
    Ok(())
}

/// Signs the example director, publishes it, and leaves its files for `cordonctl`.
async fn example_director(
    store: Arc<dyn Store>,
    online: OnlineKeys,
    folder: &Path,
    now: Timestamp,
) -> Result<Sha256, InitError> {
    let director = ExampleDirector::sign(now);
    let repositories = Repositories::new(store, Arc::new(online));
    files::create_folder(folder)?;
    for (file, bytes) in [("1.root.json", &director.root), ("1.targets.json", &director.targets)] {
        repositories.publish_director(file, bytes, Doer { actor: &server("init"), now }).await?;
        files::create_public(&folder.join(file), bytes)?;
    }
    Ok(Sha256::of(&director.root))
}

/// The settings of a new server. Everything that stands at its default is left to the documentation.
fn settings(options: &Options) -> String {
    let host = toml::Value::from(options.host.as_str());
    let store = toml::Value::from(options.store.as_str());
    let mut text = format!(
        "# Settings of one Cordon server. Paths start at this file's folder; unknown keys are errors.\n\
         \n\
         # Name or address under which devices and people reach this server.\n\
         host = {host}\n\
         \n\
         # Documents and telemetry.\n\
         store = {store}\n\
         \n\
         # Backups are sealed for one public key: run `age-keygen -o backup-identity.txt` on another machine, keep that\n\
         # file there, and write the `age1…` it printed here. With a folder, the server backs up into it by itself.\n\
         # [backup]\n\
         # recipient = \"age1…\"\n\
         # folder = \"/srv/cordon-backups\"\n\
         # every_hours = 24\n\
         # keep = 14\n"
    );
    if let Some(place) = &options.ca_key {
        let place = toml::Value::from(place.as_str());
        text.push_str(&format!(
            "\n# How issuing keys are kept: sealed for an identity, or in a token.\nca_key = {place}\n"
        ));
    }
    if options.example_keys {
        text.push_str(
            "\n# The director's online keys are the throw-away ones of keys-example, known to everybody. The server\n\
             # starts only while every listener below is on loopback.\n\
             allow_example_keys = true\n\
             \n[enrolment]\nlisten = \"127.0.0.1:8444\"\n\n[device]\nlisten = \"127.0.0.1:8443\"\n\
             \n[operator]\nlisten = \"127.0.0.1:8080\"\n",
        );
    } else {
        text.push_str(
            "\n# Devices enrol here, with a token.\n[enrolment]\nlisten = \"0.0.0.0:8444\"\n\
             \n# Devices check in here, with their certificate.\n[device]\nlisten = \"0.0.0.0:8443\"\n\
             \n# Console and API. TLS is spoken wherever this is not a loopback address.\n[operator]\n\
             listen = \"127.0.0.1:8080\"\n",
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    const NOW: Timestamp = Timestamp(1_800_000_000);

    fn options(folder: &Path, example_keys: bool) -> Options {
        Options {
            folder: folder.join("server"),
            admin_token_file: Some(folder.join("token")),
            host: "cordon.example".to_owned(),
            example_keys,
            store: STORE.to_owned(),
            ca_key: None,
        }
    }

    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).expect("listed") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                walk(&path, found);
            } else {
                found.push(path);
            }
        }
    }

    #[tokio::test]
    async fn a_folder_is_laid_once_and_its_secrets_are_its_owners_alone() {
        // Goal: the fixed command line `init`. Method: lay, look at every file's mode and for the token's secret, lay again.
        let folder = tempfile::tempdir().expect("a folder");
        let options = options(folder.path(), false);
        let laid = run(&options, NOW).await.expect("laid");
        assert_eq!(laid.ca_pin.len(), 43);
        let secret = std::fs::read_to_string(folder.path().join("token")).expect("the token");
        let mut files = Vec::new();
        walk(folder.path(), &mut files);
        for file in &files {
            let name = file.file_name().and_then(|name| name.to_str()).expect("a name");
            let mode = std::fs::metadata(file).expect("there").mode() & 0o777;
            let secret_file = name.contains("key.pem") || name == "token" || name == "store.redb";
            assert_eq!(mode, if secret_file { 0o600 } else { 0o644 }, "{}", file.display());
            let bytes = std::fs::read(file).expect("read");
            let found = bytes.windows(43).any(|window| window == secret.trim().as_bytes());
            assert_eq!(found, name == "token", "only the hash is kept: {}", file.display());
        }
        let names: Vec<&str> = files.iter().filter_map(|file| file.file_name()?.to_str()).collect();
        for wanted in [
            "cordon.toml",
            "ca.pem",
            "issuing.key.pem",
            "root.key.pem",
            "snapshot.key.pem",
            "audit.key.pem",
            ONLINE_KEYS,
            AUDIT_LOG,
        ] {
            assert!(names.contains(&wanted), "{wanted} in {names:?}");
        }
        assert!(matches!(run(&options, NOW).await, Err(InitError::Exists(_))));
    }

    #[tokio::test]
    async fn example_keys_come_with_loopback_and_say_so() {
        // Goal: example keys never leave loopback. Method: the settings that are written, and the keys.
        let folder = tempfile::tempdir().expect("a folder");
        let laid = run(&options(folder.path(), true), NOW).await.expect("laid");
        let config = Config::load(&laid.config, &[]).expect("loads");
        assert!(config.allow_example_keys && config.is_loopback_only());
        assert_eq!(laid.online_keys, OnlineKeys::example().document());
        let root = files::read(&folder.path().join("server/example-director/1.root.json")).expect("written");
        assert_eq!(laid.director_root, Some(Sha256::of(&root)));
        let own = tempfile::tempdir().expect("a folder");
        let laid = run(&options(own.path(), false), NOW).await.expect("laid");
        assert_ne!(laid.online_keys, OnlineKeys::example().document());
    }

    #[tokio::test]
    async fn a_bad_host_leaves_no_half_server() {
        // Goal: a mistake can be repeated rightly. Method: a host with a space, then a good one in the same folder.
        let folder = tempfile::tempdir().expect("a folder");
        let bad = Options { host: "two words".to_owned(), ..options(folder.path(), false) };
        assert!(matches!(run(&bad, NOW).await, Err(InitError::Config(_))));
        run(&options(folder.path(), false), NOW).await.expect("laid");
    }
}

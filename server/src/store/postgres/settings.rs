//! From the text behind `postgres:` to where the database is, how to speak to it, and whom to believe there.
//!
//! The text is libpq's, as a URL or in keywords, with words of our own: `schema`, `password_file`, `sslrootcert`. Over a
//! network only TLS is spoken, with a certificate that the named authorities signed for that very host: `require`
//! means the same as `verify-full` here. A
//! password stands in a file; one that was written into the text is refused, and no error repeats any of it. Read next:
//! [`Settings::parse`].

use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::tls::{self, TlsError};

/// Where the tables are unless the text says otherwise.
const SCHEMA: &str = "cordon";
const SCHEMA_BYTES: usize = 40;
const OWN_WORDS: [&str; 4] = ["schema", "password_file", "sslrootcert", "sslmode"];

/// How a database is reached.
#[derive(Clone)]
pub(super) struct Settings {
    /// Address, user, times.
    pub(super) config: Config,
    /// Our side of TLS, where it is spoken.
    pub(super) tls: Option<MakeRustlsConnect>,
    /// Where the tables are: a plain name, safe in a statement.
    pub(super) schema: String,
}

/// What is wrong with the text. None of these says what stands in it.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// Neither a URL nor keywords.
    #[error(
        "`store = \"postgres:…\"` is not understood: write `postgres://USER@HOST/DATABASE?sslrootcert=FILE`, or \
         `postgres:host=/SOCKET/FOLDER user=USER dbname=DATABASE`"
    )]
    Form,
    /// No host.
    #[error("`store = \"postgres:…\"` names no host: give the server's name, or the folder of its socket")]
    NoHost,
    /// A schema that is no plain name.
    #[error("the schema in `store` must be a plain name: small letters, digits and `_`, at most 40")]
    Schema,
    /// A network without TLS.
    #[error(
        "PostgreSQL over a network needs TLS: remove `sslmode`, or set it to `verify-full`, and name the \
         authority of its certificate by `sslrootcert=FILE`"
    )]
    Plain,
    /// TLS without an authority.
    #[error("TLS to PostgreSQL needs the authority of its certificate: name it by `sslrootcert=FILE`")]
    NoAuthority,
    /// A secret among the settings.
    #[error(
        "a password does not belong into `store`: put it alone into a file, and name it by `password_file=FILE`"
    )]
    Password,
    /// The authority cannot be used.
    #[error("the authority of PostgreSQL's certificate cannot be used")]
    Authority(#[source] TlsError),
    /// The password's file cannot be read.
    #[error("{} cannot be read: make it a file with the password alone, for the server's user only", .path.display())]
    PasswordFile {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Everybody can read the password.
    #[error("{} is open to everybody: `chmod 600` it, and change the password", .0.display())]
    PasswordOpen(PathBuf),
}

/// Our own words of the text.
#[derive(Default)]
struct Own<'t> {
    schema: Option<&'t str>,
    password_file: Option<&'t str>,
    authorities: Option<&'t str>,
    mode: Option<&'t str>,
}

impl Settings {
    /// Reads the text behind `postgres:`; paths start at `folder`.
    pub(super) fn parse(text: &str, folder: &Path) -> Result<Self, SettingsError> {
        let (rest, own) = split(text);
        let mut config: Config = rest.parse().map_err(|_| SettingsError::Form)?;
        if config.get_password().is_some() {
            return Err(SettingsError::Password);
        }
        let schema = own.schema.unwrap_or(SCHEMA);
        if !is_plain(schema) {
            return Err(SettingsError::Schema);
        }
        if let Some(file) = own.password_file {
            config.password(password(&folder.join(file))?);
        }
        let tls = own.tls(is_remote(&config)?, folder)?;
        config.ssl_mode(if tls.is_some() { SslMode::Require } else { SslMode::Disable });
        if config.get_hosts().len() > 1 {
            // Of a pair, the one that takes writes.
            config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        }
        if config.get_application_name().is_none() {
            config.application_name("cordon-server");
        }
        config
            .connect_timeout(Duration::from_secs(3))
            .tcp_user_timeout(Duration::from_secs(10))
            .keepalives_idle(Duration::from_secs(10))
            .keepalives_interval(Duration::from_secs(3))
            .keepalives_retries(3);
        Ok(Self { config, tls, schema: schema.to_owned() })
    }
}

impl Own<'_> {
    fn tls(&self, remote: bool, folder: &Path) -> Result<Option<MakeRustlsConnect>, SettingsError> {
        let wanted = match self.mode {
            Some("disable") if remote => return Err(SettingsError::Plain),
            Some("disable") => false,
            None | Some("prefer") => remote,
            Some("require" | "verify-full") => true,
            Some(_) => return Err(SettingsError::Form),
        };
        if !wanted {
            return Ok(None);
        }
        let file = folder.join(self.authorities.ok_or(SettingsError::NoAuthority)?);
        let config = tls::client(&file).map_err(SettingsError::Authority)?;
        Ok(Some(MakeRustlsConnect::new(config)))
    }
}

/// The text that libpq would understand, and our own words of it. Those are taken as they stand.
fn split(text: &str) -> (String, Own<'_>) {
    let mut own = Own::default();
    if let Some(address) = text.strip_prefix("//") {
        let (head, words) = address.split_once('?').unwrap_or((address, ""));
        let rest: Vec<&str> = words.split('&').filter(|word| !own.takes(word)).collect();
        return (format!("postgresql://{head}?{}", rest.join("&")), own);
    }
    let rest: Vec<&str> = text.split(' ').filter(|word| !own.takes(word)).collect();
    (rest.join(" "), own)
}

impl<'t> Own<'t> {
    /// Whether a word is one of ours.
    fn takes(&mut self, word: &'t str) -> bool {
        let Some((name, value)) = word.split_once('=') else { return false };
        let place = match OWN_WORDS.iter().position(|own| *own == name) {
            Some(0) => &mut self.schema,
            Some(1) => &mut self.password_file,
            Some(2) => &mut self.authorities,
            Some(_) => &mut self.mode,
            None => return false,
        };
        *place = Some(value);
        true
    }
}

/// Whether any address of the server is reached over a network.
fn is_remote(config: &Config) -> Result<bool, SettingsError> {
    let (hosts, addresses) = (config.get_hosts(), config.get_hostaddrs());
    if hosts.is_empty() && addresses.is_empty() {
        return Err(SettingsError::NoHost);
    }
    if !addresses.is_empty() {
        return Ok(!addresses.iter().all(IpAddr::is_loopback));
    }
    Ok(hosts.iter().any(|host| match host {
        Host::Unix(_) => false,
        Host::Tcp(name) => name != "localhost" && !name.parse().is_ok_and(|ip: IpAddr| ip.is_loopback()),
    }))
}

fn is_plain(name: &str) -> bool {
    let fits = |letter: u8| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == b'_';
    let begins = name.bytes().next().is_some_and(|first| !first.is_ascii_digit());
    begins && name.len() <= SCHEMA_BYTES && name.bytes().all(fits) && !name.starts_with("pg_")
}

fn password(path: &Path) -> Result<String, SettingsError> {
    let failed = |source| SettingsError::PasswordFile { path: path.to_owned(), source };
    let mode = std::fs::metadata(path).map_err(failed)?.permissions().mode();
    if mode & 0o007 != 0 {
        return Err(SettingsError::PasswordOpen(path.to_owned()));
    }
    let text = std::fs::read_to_string(path).map_err(failed)?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Settings, SettingsError> {
        Settings::parse(text, Path::new("/nowhere"))
    }

    #[test]
    fn both_forms_of_the_text_are_read_and_our_words_taken_out() {
        // Goal: an operator writes what libpq knows. Method: a URL and keywords; the parts that come out.
        for text in [
            "//ann@localhost:5433/fleet?schema=north&application_name=x",
            "host=localhost port=5433 user=ann dbname=fleet schema=north application_name=x",
        ] {
            let settings = parsed(text).expect("read");
            let config = &settings.config;
            assert_eq!((config.get_user(), config.get_dbname()), (Some("ann"), Some("fleet")), "{text}");
            assert_eq!((config.get_ports(), config.get_application_name()), (&[5433][..], Some("x")));
            assert_eq!((settings.schema.as_str(), settings.tls.is_none()), ("north", true));
        }
        assert_eq!(parsed("host=/run/postgresql").expect("read").schema, SCHEMA);
    }

    #[test]
    fn over_a_network_only_tls_with_a_named_authority_is_spoken() {
        // Goal: no password and no telemetry in clear on a network. Method: hosts and modes.
        for text in
            ["host=db.example", "host=10.0.0.1", "host=db sslmode=require", "//db.example/x?sslmode=prefer"]
        {
            assert!(matches!(parsed(text), Err(SettingsError::NoAuthority)), "{text}");
        }
        for text in ["host=db.example sslmode=disable", "host=localhost hostaddr=10.0.0.1 sslmode=disable"] {
            assert!(matches!(parsed(text), Err(SettingsError::Plain)), "{text}");
        }
        assert!(matches!(parsed("host=db sslrootcert=none.pem"), Err(SettingsError::Authority(_))));
        for text in ["host=127.0.0.1", "host=::1", "host=localhost sslmode=disable", "host=/tmp,localhost"] {
            assert!(parsed(text).is_ok_and(|settings| settings.tls.is_none()), "{text}");
        }
        assert!(matches!(parsed("host=localhost sslmode=verify-full"), Err(SettingsError::NoAuthority)));
    }

    #[test]
    fn no_error_repeats_what_stands_in_the_text() {
        // Goal: a password never reaches a log. Method: texts that fail, each with the same secret.
        for text in [
            "//ann:s3cret@localhost/fleet",
            "//ann:s3cret@ho st/fleet?sslmode=s3cret",
            "host=a s3cret=1",
            "host=a password='s3cret",
            "password=s3cret",
            "host=/a schema=S3cret password=s3cret",
            "host=db password=s3cret",
        ] {
            let error = parsed(text).err().expect(text);
            let said = format!("{error} {error:?}").to_lowercase();
            assert!(!said.contains("s3cret"), "{said}");
        }
    }

    #[test]
    fn a_password_file_is_for_its_owner() {
        // Goal: the password stands in a closed file. Method: open to all, closed, missing.
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("pw");
        std::fs::write(&file, "s3cret\n").expect("written");
        let read = || Settings::parse("host=/tmp password_file=pw", folder.path());
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o604)).expect("opened");
        assert!(matches!(read(), Err(SettingsError::PasswordOpen(_))));
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).expect("closed");
        assert_eq!(read().expect("read").config.get_password(), Some(&b"s3cret"[..]));
        std::fs::remove_file(&file).expect("removed");
        assert!(matches!(read(), Err(SettingsError::PasswordFile { .. })));
    }
}

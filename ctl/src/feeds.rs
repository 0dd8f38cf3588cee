//! `cordonctl feeds`: what a server knows of the world, and bringing it there.
//!
//! A folder travels as one archive, sorted by names and without times, so that the same folder is the same file and one
//! signature covers all of it. Nothing is fetched from anywhere: files come from whoever may reach their publishers. Read
//! next: [`crate::advisories`] for what is made of them.

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::Subcommand;
use cordon_proto::ids::{Name, Sha256};
use cordon_proto::limits;
use cordon_proto::time::Timestamp;
use cordon_proto::update::author::{Signer, sign};
use cordon_server_core::feeds::archive::{BLOCK, ENDING, filling, header};
use cordon_server_core::feeds::intake::Kind;
use cordon_server_core::feeds::intake::signed::{STATEMENT_BYTES, Statement};
use serde_json::{Value, json};

use crate::api::Api;
use crate::arguments::read_file;
use crate::failure::Failure;
use crate::folder::write_whole;
use crate::key::{Pens, SecretKey, describe};
use crate::report::Report;
use crate::session::Session;

/// What the list shows.
const COLUMNS: [&str; 8] = ["name", "kind", "age", "as_of", "records", "refused", "trust", "in_force"];
/// Folders within folders that are packed.
const FOLDERS: usize = 12;

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List the feeds with their age, and which kinds never came.
    List,
    /// Show one feed: what was refused and why, which statements meet nothing.
    Show {
        /// The feed.
        name: Name,
    },
    /// Bring a server a newer file of a feed. The former one is in force until the new one was read and judged.
    Import {
        /// The feed.
        name: Name,
        /// Its file, or a folder of documents.
        path: PathBuf,
        /// What it holds; may be left out for a feed that the server has.
        #[arg(long, value_parser = kind)]
        kind: Option<Kind>,
        /// Of when it is, where it does not say so itself: 2026-11-22T00:00:00Z.
        #[arg(long, value_name = "TIME")]
        as_of: Option<String>,
        /// The signed statement about it, by `feeds sign`.
        #[arg(long, value_name = "FILE")]
        signature: Option<PathBuf>,
        /// Take it although it is older, or has less than half of the records of what is in force.
        #[arg(long)]
        confirm: bool,
    },
    /// Take a feed out of force.
    Remove {
        /// The feed.
        name: Name,
        /// Why.
        #[arg(long)]
        reason: String,
    },
    /// Sign a file of a feed, or a folder of documents, offline.
    Sign {
        /// The file or the folder.
        path: PathBuf,
        /// The feed that it is for.
        #[arg(long)]
        feed: Name,
        /// What it holds.
        #[arg(long, value_parser = kind)]
        kind: Kind,
        /// The key.
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
        /// Of when it is; now, if it is not given.
        #[arg(long, value_name = "TIME")]
        made: Option<String>,
        /// The new file with the signed statement.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Write the archive as which a folder travels.
    Pack {
        /// The folder.
        folder: PathBuf,
        /// The new file.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
}

impl Command {
    /// Does it.
    ///
    /// # Errors
    /// Refused, a file cannot be read, or the server was not reached.
    pub fn run(&self, session: &mut Session<'_>) -> Result<Report, Failure> {
        match self {
            Self::List => list(&Api::new(session.options)?),
            Self::Show { name } => {
                Ok(Report::document(Api::new(session.options)?.get(&["feeds", name.as_str()], &[])?))
            }
            Self::Import { name, path, kind, as_of, signature, confirm } => {
                let mut query = Vec::new();
                query.extend(kind.map(|kind| ("kind", kind.word().to_owned())));
                query.extend(time(as_of.as_deref())?.map(|at| ("as_of", at.to_string())));
                query.extend(confirm.then(|| ("confirm", "true".to_owned())));
                import(session, (name, path), &query, signature.as_deref())
            }
            Self::Remove { name, reason } => {
                let api = Api::new(session.options)?;
                api.delete(&["feeds", name.as_str()], &json!({"reason": reason}))?;
                Ok(Report::new(format!("{name} is in force no more"), json!({"removed": name.as_str()})))
            }
            Self::Sign { path, feed, kind, key, made, out } => {
                let made = time(made.as_deref())?.unwrap_or(session.now);
                sign_file(session, path, &Wanted { feed, kind: *kind, made }, (key, out))
            }
            Self::Pack { folder, out } => {
                let bytes = whole(folder)?;
                write_whole(out, &bytes)?;
                let (out, sha256) = (out.display().to_string(), Sha256::of(&bytes).to_string());
                let text = format!("{out}: {} bytes, SHA-256 {sha256}", bytes.len());
                Ok(Report::new(text, json!({"file": out, "sha256": sha256, "length": bytes.len()})))
            }
        }
    }
}

fn list(api: &Api) -> Result<Report, Failure> {
    let answer = api.get(&["feeds"], &[])?;
    let rows = answer.get("feeds").and_then(Value::as_array).cloned().unwrap_or_default();
    let text = |value: &Value, name: &str| value.get(name).cloned().unwrap_or(Value::Null);
    let row = |feed: &Value| {
        let refused = text(feed, "refused");
        let refused = refused.as_object().into_iter().flatten().filter_map(|(_, count)| count.as_u64());
        let days = text(feed, "age_days").as_i64().map(|days| format!(", {days} days")).unwrap_or_default();
        let age = format!("{}{days}", text(feed, "age").as_str().unwrap_or_default());
        let mut row = feed.clone();
        if let Some(fields) = row.as_object_mut() {
            fields.insert("age".to_owned(), json!(age));
            fields.insert("refused".to_owned(), json!(refused.sum::<u64>()));
            if let Some(why) = text(feed, "missing").as_str() {
                fields.insert("in_force".to_owned(), json!(why));
            }
        }
        row
    };
    let shown: Vec<Value> = rows.iter().map(row).collect();
    let mut report = Report::table(&COLUMNS, &shown, answer.clone());
    let words = text(&answer, "matching_words");
    report.text += &format!("{}\n", words.as_str().unwrap_or_default());
    for never in text(&answer, "never").as_array().into_iter().flatten().filter_map(Value::as_str) {
        report.text += &format!("nothing of the kind {never} was ever imported\n");
    }
    Ok(report)
}

fn import(
    session: &Session<'_>,
    (name, path): (&Name, &Path),
    query: &[(&str, String)],
    signature: Option<&Path>,
) -> Result<Report, Failure> {
    let api = Api::new(session.options)?;
    let signature = signature.map(|path| read_file(path, STATEMENT_BYTES as u64)).transpose()?;
    let header = signature.map(|bytes| ("cordon-signature", URL_SAFE_NO_PAD.encode(bytes)));
    let answer = api.put_whole(&["feeds", name.as_str()], query, header, whole(path)?)?;
    let number = |name: &str| answer.get(name).and_then(Value::as_u64).unwrap_or_default();
    let refused = answer.get("refused").and_then(Value::as_object).cloned().unwrap_or_default();
    let mut text = format!("{name}: {} records taken\n", number("records"));
    for (why, count) in &refused {
        text += &format!("{count} left out: {why}\n");
    }
    text += "the server makes its answers anew; `cordonctl feeds list` says when they are in force\n";
    Ok(Report::new(text, answer))
}

/// What is to be signed about a file.
struct Wanted<'a> {
    feed: &'a Name,
    kind: Kind,
    made: Timestamp,
}

fn sign_file(
    session: &mut Session<'_>,
    path: &Path,
    wanted: &Wanted<'_>,
    (key, out): (&Path, &Path),
) -> Result<Report, Failure> {
    let bytes = whole(path)?;
    let (sha256, length) = (Sha256::of(&bytes), u64::try_from(bytes.len()).unwrap_or(u64::MAX));
    let Wanted { feed, kind, made } = *wanted;
    let statement = Statement { feed: feed.clone(), kind, sha256, length, made };
    let key = SecretKey::read(key, session.options.example_keys)?;
    session.about_to_sign(&format!(
        "The feed {feed}, which holds {}\nof {made}\n{length} bytes, SHA-256 {sha256}\nby {}\n",
        kind.word(),
        describe(key.public())
    ))?;
    let pens = Pens::default();
    let pen = |message: &[u8]| pens.sign(&key, message);
    let signed = sign(&statement.value(), &[Signer { key: key.public().id(), sign: &pen }]);
    pens.all_made()?;
    write_whole(out, &signed)?;
    let out = out.display().to_string();
    Ok(Report::new(format!("{out} written"), json!({"file": out, "sha256": sha256.to_string()})))
}

/// A file as it is, or a folder as the archive as which it travels.
fn whole(path: &Path) -> Result<Vec<u8>, Failure> {
    if !path.is_dir() {
        return read_file(path, limits::FEED_BYTES);
    }
    let mut files = Vec::new();
    collect(path, Path::new(""), FOLDERS, &mut files)?;
    files.sort_unstable();
    let too_large = || {
        let detail = format!("{} is more than {} bytes", path.display(), limits::FEED_BYTES);
        Failure::refused("too large", detail)
    };
    let mut archive = Vec::new();
    for name in &files {
        let bytes = read_file(&path.join(name), limits::FEED_BYTES)?;
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let head = header(name, length)
            .ok_or_else(|| Failure::refused("feed", format!("{name}: its name is too long")))?;
        archive.extend_from_slice(&head);
        archive.extend_from_slice(&bytes);
        archive.resize(archive.len() + usize::try_from(filling(length)).unwrap_or(BLOCK), 0);
        if archive.len() as u64 > limits::FEED_BYTES {
            return Err(too_large());
        }
    }
    if files.is_empty() {
        let detail = format!("{} holds no file that ends in .json or .csv", path.display());
        return Err(Failure::refused("feed", detail));
    }
    archive.extend_from_slice(&ENDING);
    Ok(archive)
}

/// The documents of a folder and of its subfolders by their paths; a link to a folder is not followed.
fn collect(root: &Path, below: &Path, depth: usize, files: &mut Vec<String>) -> Result<(), Failure> {
    let folder = root.join(below);
    let wrong = |error: std::io::Error| Failure::file("read", &folder, &error);
    for entry in std::fs::read_dir(&folder).map_err(wrong)? {
        let entry = entry.map_err(wrong)?;
        let name = below.join(entry.file_name());
        let kind = entry.file_type().map_err(wrong)?;
        if kind.is_dir() && depth > 0 {
            collect(root, &name, depth - 1, files)?;
        } else if root.join(&name).is_file()
            && name.extension().is_some_and(|ending| ending == "json" || ending == "csv")
        {
            let text = name.to_str().map(str::to_owned);
            let text = text.ok_or_else(|| {
                Failure::refused("feed", format!("{}: its name is not in UTF-8", name.display()))
            })?;
            files.push(text);
        }
        if files.len() > limits::FEED_ROWS {
            let detail = format!("{} has more than {} files", root.display(), limits::FEED_ROWS);
            return Err(Failure::refused("too large", detail));
        }
    }
    Ok(())
}

fn kind(text: &str) -> Result<Kind, String> {
    Kind::of(text).ok_or_else(|| format!("use {}", Kind::ALL.map(Kind::word).join(", ")))
}

/// A time as people write it: absolute.
fn time(text: Option<&str>) -> Result<Option<Timestamp>, Failure> {
    let parse = |text: &str| {
        Timestamp::parse(text).map_err(|error| Failure::Usage(format!("`{text}` is no time: {error}")))
    };
    text.map(parse).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;
    use cordon_server_core::feeds::archive::{Member, is_archive, member};

    #[test]
    fn the_same_folder_is_the_same_file_whatever_wrote_it() {
        // Goal: one signature covers a folder. Method: two folders with the same documents written in another order, and
        // files that are no documents.
        let archive = |names: [&str; 3]| {
            let folder = tempfile::tempdir().expect("a folder");
            std::fs::create_dir(folder.path().join("sub")).expect("a folder");
            for name in names {
                std::fs::write(folder.path().join(name), name).expect("written");
            }
            whole(folder.path()).expect("an archive")
        };
        let (one, two) =
            (archive(["a.json", "sub/b.json", "x.txt"]), archive(["x.txt", "sub/b.json", "a.json"]));
        assert_eq!(one, two);
        assert!(is_archive(&one));
        let head: [u8; BLOCK] = one[..BLOCK].try_into().expect("a block");
        let found = member(&head).expect("a header").map(|Member { name, length, .. }| (name, length));
        assert_eq!(found, Some(("a.json".to_owned(), 6)));
        assert_eq!(one.len(), 4 * BLOCK + ENDING.len());
        let empty = tempfile::tempdir().expect("a folder");
        assert!(whole(empty.path()).is_err());
    }
}

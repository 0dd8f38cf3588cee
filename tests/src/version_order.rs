//! The judges of our version orders: large vector sets of others, and the tools that the orders come from.
//!
//! The vectors (of osv-scalibr, Apache-2.0) are no part of the project: where the folder named by `CORDON_DATA` holds
//! `risk/versions/osv-scalibr` or `versions/osv-scalibr`, they are all asked and counted. dpkg, rpm and Python's
//! `packaging` judge random pairs where they are installed; for Alpine's order Debian has no judge, only vectors. Where
//! something is missing, the test says so. Read next: `cordon_server_core::matching::version`.

use std::cmp::Ordering;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, bail, ensure};
use cordon_server_core::matching::version::Scheme;
use fastrand::Rng;

use crate::program::program;

#[cfg(test)]
mod tests;

/// A comparison and its answer; `None` where there is none.
pub type Judged = (String, String, Option<Ordering>);

/// The folder with the vectors, where there is one.
#[must_use]
pub fn folder() -> Option<PathBuf> {
    let data = PathBuf::from(std::env::var_os("CORDON_DATA")?);
    ["risk/versions/osv-scalibr", "versions/osv-scalibr"]
        .map(|place| data.join(place))
        .into_iter()
        .find(|folder| folder.is_dir())
}

/// The vectors of one world: `name-versions.txt` and, if it is there, `name-versions-generated.txt`.
///
/// # Errors
/// A file cannot be read, or a line is no vector.
pub fn vectors(folder: &Path, name: &str) -> Result<Vec<Judged>> {
    let mut vectors = Vec::new();
    for (ending, needed) in [("", true), ("-generated", false)] {
        let path = folder.join(format!("{name}-versions{ending}.txt"));
        if !needed && !path.exists() {
            continue;
        }
        let text =
            std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let lines = text.lines().map(str::trim);
        for line in lines.filter(|line| !(line.is_empty() || line.starts_with('#') || line.starts_with("//")))
        {
            let words: Vec<&str> = line.split(' ').collect();
            let [a, sign, b] = words.as_slice() else { bail!("{}: `{line}`", path.display()) };
            vectors.push(((*a).to_owned(), (*b).to_owned(), Some(order(sign)?)));
        }
    }
    Ok(vectors)
}

/// Random pairs that begin alike more often than not: made from `pieces`, the second bent from the first.
#[must_use]
pub fn pairs(rng: &mut Rng, fronts: &[&str], pieces: &[&str], count: usize) -> Vec<(String, String)> {
    let one = |rng: &mut Rng| {
        let length = rng.usize(1..8);
        (0..length).map(|_| rng.choice(pieces).copied().unwrap_or_default()).collect::<Vec<_>>()
    };
    let front = |rng: &mut Rng| rng.choice(fronts).copied().unwrap_or_default();
    (0..count)
        .map(|_| {
            let a = one(rng);
            let mut b = a.clone();
            for _ in 0..rng.usize(0..3) {
                let at = rng.usize(..=b.len());
                let piece = rng.choice(pieces).copied().unwrap_or_default();
                match b.get_mut(at).filter(|_| rng.bool()) {
                    Some(place) => *place = piece,
                    None => b.insert(at, piece),
                }
            }
            let fronts = if rng.bool() { [front(rng); 2] } else { [front(rng), front(rng)] };
            (format!("{}{}", fronts[0], a.concat()), format!("{}{}", fronts[1], b.concat()))
        })
        .collect()
}

/// What dpkg says of each pair: a process or two each, exit status 2 is a text that it refuses.
///
/// # Errors
/// It cannot be started.
pub fn dpkg(path: &Path, pairs: &[(String, String)]) -> Result<Vec<Option<Ordering>>> {
    let holds = |a: &str, relation: &str, b: &str| -> Result<Option<bool>> {
        let output = program(path).args(["--compare-versions", "--", a, relation, b]).output();
        match output.context("dpkg cannot be started")?.status.code() {
            Some(0) => Ok(Some(true)),
            Some(1) => Ok(Some(false)),
            Some(2) => Ok(None),
            other => bail!("dpkg ended with {other:?} on {a} {relation} {b}"),
        }
    };
    let judge = |(a, b): &(String, String)| match holds(a, "lt", b)? {
        None => Ok(None),
        Some(true) => Ok(Some(Ordering::Less)),
        Some(false) if holds(a, "eq", b)? == Some(true) => Ok(Some(Ordering::Equal)),
        Some(false) => Ok(Some(Ordering::Greater)),
    };
    pairs.iter().map(judge).collect()
}

/// What rpm says of each pair, all in one process. The texts must be free of quotes and of `%`.
///
/// # Errors
/// It cannot be started, or answers otherwise.
pub fn rpm(path: &Path, pairs: &[(String, String)]) -> Result<Vec<Option<Ordering>>> {
    let plain = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b".+~^_:-".contains(&b));
    ensure!(pairs.iter().all(|(a, b)| plain(a) && plain(b)), "a text that rpm's macros would change");
    let table: String = pairs.iter().map(|(a, b)| format!("{{\"{a}\",\"{b}\"}},")).collect();
    let lua = format!(
        "%{{lua: local t = {{}} for _, p in ipairs({{{table}}}) do t[#t + 1] = rpm.vercmp(p[1], p[2]) end \
         print(table.concat(t, \" \"))}}"
    );
    let output = program(path).args(["--eval", &lua]).output().context("rpm cannot be started")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(output.status.success(), "rpm: {}", String::from_utf8_lossy(&output.stderr));
    let number = |word: &str| Ok(Some(word.parse::<i8>().with_context(|| text.clone())?.cmp(&0)));
    text.split_whitespace().map(number).collect()
}

/// What Python's `packaging` says of each pair, all in one process; `None` where it is not installed.
///
/// # Errors
/// It cannot be started, or answers otherwise.
pub fn python(path: &Path, pairs: &[(String, String)]) -> Result<Option<Vec<Option<Ordering>>>> {
    let lines: String = pairs.iter().map(|(a, b)| format!("{a}\t{b}\n")).collect();
    let mut child = program(path)
        .args(["-c", include_str!("version_order/packaging.py")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("Python cannot be started")?;
    let mut input = child.stdin.take().context("a child with a pipe")?;
    // It reads everything before it writes. Where it has no `packaging` it ends without reading.
    let _ = input.write_all(lines.as_bytes());
    drop(input);
    let output = child.wait_with_output().context("Python does not end")?;
    if output.status.code() == Some(3) {
        return Ok(None);
    }
    ensure!(output.status.success(), "Python ended with {}", output.status);
    let text = String::from_utf8(output.stdout).context("Python writes text")?;
    let read = |sign: &str| if sign == "?" { Ok(None) } else { order(sign).map(Some) };
    text.lines().map(read).collect::<Result<_>>().map(Some)
}

fn order(sign: &str) -> Result<Ordering> {
    Ok(match sign {
        "<" => Ordering::Less,
        "=" => Ordering::Equal,
        ">" => Ordering::Greater,
        other => bail!("`{other}` is no order"),
    })
}

/// The front of a random version, and what its rest is made of.
///
/// # Panics
/// For a scheme without a judge.
#[must_use]
pub fn alphabet(scheme: Scheme) -> (&'static [&'static str], &'static [&'static str]) {
    match scheme {
        Scheme::Deb => (
            &["", "", "", "", "", "", "0:", "1:", "01:", "2147483648:", ":", "x:"],
            &[
                "0",
                "1",
                "2",
                "10",
                "09",
                "a",
                "Z",
                "rc",
                ".",
                "+",
                "~",
                "~",
                "-",
                "_",
                "18446744073709551617",
            ],
        ),
        Scheme::Rpm => (
            &["", "", "0:", "1:", "01:", "x:"],
            &[
                "0",
                "1",
                "2",
                "10",
                "09",
                "a",
                "Z",
                "rc",
                ".",
                "+",
                "~",
                "^",
                "-",
                "_",
                "18446744073709551617",
            ],
        ),
        Scheme::Pep440 => (
            &["1", "1", "v1", "1!1", "01.0", "x"],
            &[
                "0", "1", ".1", ".0", "a", "alpha1", "-b2", "rc", "c1", "pre", "-1", ".post", "r2", ".dev",
                "dev3", "_", "+a.1", "+0",
            ],
        ),
        Scheme::Apk | Scheme::Semver | Scheme::None => panic!("{} has no judge here", scheme.name()),
    }
}

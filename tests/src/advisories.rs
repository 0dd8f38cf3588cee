//! The judges of our readers of advisories.
//!
//! CISA's ICS medical advisories, the CSAF examples of OASIS, the VEX cases of CycloneDX and CISA's catalogue are no part of
//! the project: where the folder named by `CORDON_DATA` holds `risk/csaf-icsma` and its neighbours, each is read, and a list of
//! 300 devices made from them is matched. Where they are missing, the test says so. Read next:
//! `cordon_server_core::feeds`.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use cordon_server_core::feeds::csaf::tree::Product;
use cordon_server_core::feeds::span::{Among, Order, Versions};

#[cfg(test)]
mod tests;

/// The folder with a set of documents, where there is one.
#[must_use]
pub fn folder(set: &str) -> Option<PathBuf> {
    let data = PathBuf::from(std::env::var_os("CORDON_DATA")?);
    ["risk", ""].map(|place| data.join(place).join(set)).into_iter().find(|folder| folder.is_dir())
}

/// All JSON documents under a folder, by their paths.
///
/// # Errors
/// A folder or a file cannot be read.
pub fn documents(folder: &Path) -> Result<Vec<(PathBuf, Vec<u8>)>> {
    let (mut left, mut documents) = (vec![folder.to_owned()], Vec::new());
    while let Some(path) = left.pop() {
        let wrong = || format!("cannot read {}", path.display());
        if path.is_dir() {
            for entry in std::fs::read_dir(&path).with_context(wrong)? {
                left.push(entry.with_context(wrong)?.path());
            }
        } else if path.extension().is_some_and(|ending| ending == "json") {
            documents.push((path.clone(), std::fs::read(&path).with_context(wrong)?));
        }
    }
    documents.sort();
    Ok(documents)
}

/// A version that a product of an advisory speaks of without doubt, and one behind it where its range ends.
#[must_use]
pub fn versions(product: &Product) -> Option<(String, Option<String>)> {
    match &product.versions {
        Versions::Unsaid | Versions::All => Some((String::new(), None)),
        Versions::Listed(listed) => Some((listed.first()?.clone(), None)),
        Versions::Ranges { order: Order::Device, spans } => {
            let span = spans.first()?;
            let inside = span.low.as_ref().filter(|low| low.inclusive).map(|low| low.version.clone());
            let high = span.high.as_ref();
            let last = high.filter(|high| high.inclusive).map(|high| high.version.clone());
            let behind = high.filter(|high| !high.inclusive).map(|high| high.version.clone());
            let inside = inside.or(last).unwrap_or_else(|| "0".to_owned());
            let placed = matches!(product.versions.among(Some(&inside)), Among::In(_));
            placed.then_some((inside, behind))
        }
        Versions::Ranges { order: Order::Scheme(_), .. } | Versions::NotUnderstood => None,
    }
}

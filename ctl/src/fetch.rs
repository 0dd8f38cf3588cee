//! One file from a maker's address onto this machine's disk, of a bounded length.
//!
//! No other authority than the given one is believed, no redirect followed; plain HTTP is for this very machine. What
//! was fetched proves nothing: the chain inside does. Must not be used inside an asynchronous runtime. Read next:
//! [`crate::release::import`].

use std::fs::File;
use std::io::Write;
use std::path::Path;

use cordon_proto::limits;

use crate::api::address;
use crate::failure::Failure;
use crate::tls;

/// Fetches an address into a file, in place of an earlier one.
///
/// # Errors
/// The address is unusable, was not reached, answers with something else than the file, or the disk is full.
pub fn to_file(url: &str, ca: Option<&Path>, out: &Path) -> Result<(), Failure> {
    let url = address(url, ("--url", "--url-ca"), ca.is_some())?;
    let client = tls::client(ca)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::refused("no runtime", error))?;
    let unwritten = |error: std::io::Error| Failure::file("write", out, &error);
    let unreached =
        |error: reqwest::Error| Failure::Unreachable(format!("{url}: {error}; is --url-ca its authority?"));
    let mut file = File::create(out).map_err(unwritten)?;
    runtime.block_on(async {
        let mut response = client.get(url.clone()).send().await.map_err(unreached)?;
        if !response.status().is_success() {
            let detail = format!("{url} answered with status {}", response.status().as_u16());
            return Err(Failure::refused("not fetched", detail));
        }
        let mut left = limits::IMAGE_BYTES;
        while let Some(piece) = response.chunk().await.map_err(unreached)? {
            let length = u64::try_from(piece.len()).unwrap_or(u64::MAX);
            let endless =
                || Failure::refused("endless answer", format!("{url} sends more than a bundle may have"));
            left = left.checked_sub(length).ok_or_else(endless)?;
            file.write_all(&piece).map_err(unwritten)?;
        }
        file.sync_all().map_err(unwritten)
    })
}

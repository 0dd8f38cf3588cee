//! Evidence of the pumps' rollout, judged in an empty folder without a server.
//!
//! Into the folder go the pack, the first roots of both parties, the authority of the devices and a head of the audit log;
//! nothing else is read. Read next: `cordonctl`'s `evidence`.

use std::path::Path;

use anyhow::{Context, ensure};
use serde_json::Value;

use super::opening::SETTINGS;
use super::{Story, number};

/// The rollout of the pumps.
const ROLLOUT: &str = "vp3-422";
/// What the others believe, and where it lies.
const ANCHORS: [(&str, &str); 3] = [
    ("director/1.root.json", "owner.json"),
    ("halden/1.root.json", "halden.json"),
    ("server/ca/root.pem", "devices.pem"),
];

impl Story {
    pub(super) async fn evidence(&mut self) -> anyhow::Result<String> {
        let folder = self.folder.join("proof");
        std::fs::create_dir(&folder)?;
        let path = |name: &str| folder.join(name).display().to_string();
        self.hospital.ctl(&["audit", "head", "--out", &path("head.json")]).await?;
        let (head, pack) = (path("head.json"), path("pack.jsonl"));
        let asked = ["evidence", "pack", "--rollout", ROLLOUT, "--head", &head, "--out", &pack];
        self.hospital.ctl(&asked).await?;
        for (from, to) in ANCHORS {
            std::fs::copy(self.folder.join(from), folder.join(to))?;
        }
        self.hospital.stop().await?;
        let pumps = self.serials("VP-3").len();
        let verified = self.judged(&folder, "pack.jsonl").await?;
        let orders = verified.get("orders").and_then(Value::as_array).context("no orders in the pack")?;
        let confirmed: u64 = orders.iter().map(|order| number(order, "/confirmed")).sum();
        ensure!(confirmed == u64::try_from(pumps)?, "{confirmed} of {pumps} pumps proved it: {verified}");

        let pack = std::fs::read_to_string(folder.join("pack.jsonl"))?;
        let receipt = (1..).zip(pack.lines()).find(|(_, line)| line.contains("evidence-receipt"));
        let (line, receipt) = receipt.context("no receipt in the pack")?;
        let stated: Value = serde_json::from_str(receipt)?;
        let device = stated.get("device").and_then(Value::as_str).context("a receipt of nobody")?;
        std::fs::write(folder.join("flipped.jsonl"), flipped(&pack, receipt)?)?;
        std::fs::write(folder.join("dropped.jsonl"), pack.replacen(&format!("{receipt}\n"), "", 1))?;
        let refused =
            self.judged(&folder, "flipped.jsonl").await.err().context("a flipped byte was believed")?;
        let named = format!("line {line} was changed");
        ensure!(refused.to_string().contains(&named), "the byte was flipped in line {line}: {refused}");
        let refused = self.judged(&folder, "dropped.jsonl").await.err().context("nobody missed a receipt")?;
        let named = format!("the receipt of device {device} for order {ROLLOUT}");
        let refused = refused.to_string();
        ensure!(refused.contains(&named) && refused.contains("is missing"), "not {named}: {refused}");
        self.hospital.start(&SETTINGS).await?;
        Ok(format!(
            "{} lines, {confirmed} receipts; {named}… is missed, a byte is missed in line {line}",
            pack.lines().count()
        ))
    }

    /// What `cordonctl evidence verify` says of a pack, from the files of the folder alone.
    async fn judged(&self, folder: &Path, pack: &str) -> anyhow::Result<Value> {
        let path = |name: &str| folder.join(name).display().to_string();
        let [pack, owner, ca, head] = [pack, "owner.json", "devices.pem", "head.json"].map(path);
        let maker = format!("halden={}", path("halden.json"));
        let mut verify = vec!["--ca", &ca, "evidence", "verify", "--pack", &pack, "--director-root", &owner];
        verify.extend(["--image-root", &maker, "--head", &head]);
        self.hospital.ctl(&verify).await
    }
}

/// The pack with one bit of the middle of this line turned over.
fn flipped(pack: &str, line: &str) -> anyhow::Result<Vec<u8>> {
    let at = pack.find(line).context("the line is there")? + line.len() / 2;
    let mut bytes = pack.as_bytes().to_vec();
    *bytes.get_mut(at).context("inside the pack")? ^= 1;
    Ok(bytes)
}

//! What goes wrong: a kiosk with planted software, a changed image, a stolen server.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use cordon_proto::time::Timestamp;
use serde_json::Value;

use super::opening::{K1, Novelty, SETTINGS, release};
use super::{Story, blocked, text};
use crate::demo::thief::{self, Forgery};
use crate::demo::traffic::{beacon, conversations};
use crate::demo::until;

/// Seconds for which the planted software has been calling when the kiosk is first looked at.
const CALLING_S: i64 = 25 * 60;

impl Story {
    pub(super) async fn beacon(&self) -> anyhow::Result<String> {
        let serial = self.serials("K1").first().cloned().context("a kiosk")?;
        let kiosk = self.pump(&serial)?;
        let before = self.device_is(&serial, "the kiosk", |_| true).await?;
        let now = cordon_server::clock::Clock::system().now();
        let since = Timestamp(now.0 - CALLING_S);
        let mut calls = [conversations(&kiosk.unit, since, now), beacon(since, now)].concat();
        calls.sort_by_key(|call| call.at);
        kiosk.feed(&calls);
        let id = text(&before, "/id").to_owned();
        let title = until("the kiosk's beacon to be found", super::PATIENCE, || async {
            let findings = self.hospital.api(&format!("/api/v1/findings?device={id}")).await?;
            let list = findings.pointer("/findings").and_then(Value::as_array).cloned().unwrap_or_default();
            let beacon = list.iter().find(|finding| text(finding, "/finding/detector") == "beacon");
            Ok(beacon
                .map(|finding| text(finding, "/finding/title").to_owned())
                .ok_or_else(|| format!("{} findings", list.len())))
        })
        .await?;
        let was = super::number(&before, "/risk_hundredths");
        let after = self
            .device_is(&serial, "the kiosk's risk to rise", |device| {
                super::number(device, "/risk_hundredths") > was
            })
            .await?;
        Ok(format!("{serial}: \"{title}\", risk {} → {}", was / 100, super::number(&after, "/risk")))
    }

    pub(super) async fn forged_image(&self) -> anyhow::Result<String> {
        let kiosks = self.serials("K1");
        let image = std::fs::read(self.image(K1))?;
        let blob = self.blob(K1)?;
        ensure!(std::fs::read(&blob)? == image, "the image is not in the server's blobs folder");
        // Of the very length that was signed, so that nothing but its hash gives it away.
        let forged: Vec<u8> =
            b"firmware of somebody else\n".iter().copied().cycle().take(image.len()).collect();
        std::fs::write(&blob, &forged)?;
        let list = self.list("kiosks.tsv", "Portico", "K1", &kiosks)?;
        self.hospital.order("k1-705", &release(K1, &self.image(K1)), std::slice::from_ref(&list)).await?;
        self.create_rollout("k1-705", "K1 7.0.5", &[format!("all=k1-705={}", list.display())]).await?;
        let mut said = String::new();
        for serial in &kiosks {
            let kiosk = self
                .device_is(serial, "the kiosk to refuse the forged image", |kiosk| {
                    blocked(kiosk).0.contains("image")
                })
                .await?;
            ensure!(text(&kiosk, "/release") == "k1/1.0.0", "{serial} runs {}", text(&kiosk, "/release"));
            said = format!("{serial}: {}", blocked(&kiosk).1);
        }
        Ok(format!("all {} kiosks refuse; {said}", kiosks.len()))
    }

    pub(super) async fn stolen_server(&mut self) -> anyhow::Result<String> {
        let before = self.listed().await?;
        self.hospital.stop().await?;
        let server = self.folder.join("server");
        copy_folder(&server, &self.folder.join("server.backup"))?;
        let forgery: Forgery = thief::forge(&server).await?;
        self.hospital.start(&SETTINGS).await?;
        let mut refusals = std::collections::BTreeMap::new();
        for serial in before.keys() {
            let device = self
                .device_is(serial, "the device to refuse the thief", |device| {
                    blocked(device).0.starts_with("director-")
                })
                .await?;
            ensure!(
                text(&device, "/software/sha256") != forgery.sha256.to_string(),
                "{serial} runs the thief's image"
            );
            let was = before.get(serial).map_or("", |device| text(device, "/software/sha256"));
            ensure!(text(&device, "/software/sha256") == was, "{serial} changed what it runs");
            *refusals.entry(blocked(&device).1.to_owned()).or_insert(0) += 1;
        }
        ensure!(
            forgery.devices.len() == before.len(),
            "the thief reached {} of {}",
            forgery.devices.len(),
            before.len()
        );
        let (sentence, _) = refusals.first_key_value().context("nobody refused")?;
        Ok(format!("all {} devices refuse: {sentence}", before.len()))
    }

    /// Where the server keeps the image of a release of the story.
    fn blob(&self, novelty: Novelty) -> anyhow::Result<PathBuf> {
        let sha256 = cordon_proto::ids::Sha256::of(&std::fs::read(self.image(novelty))?).to_string();
        let shelf = sha256.get(..2).context("a digest")?;
        Ok(self.folder.join("server/blobs").join(shelf).join(&sha256))
    }

    /// The owner takes the server back from its copy. The thief's snapshot and timestamp were genuine, so the owner has
    /// to publish past their versions before devices listen again.
    pub(super) async fn recover(&mut self) -> anyhow::Result<String> {
        self.hospital.stop().await?;
        let (server, backup) = (self.folder.join("server"), self.folder.join("server.backup"));
        std::fs::rename(&server, self.folder.join("server.stolen"))?;
        std::fs::rename(&backup, &server)?;
        std::fs::copy(self.image(K1), self.blob(K1)?)?;
        self.hospital.start(&SETTINGS).await?;
        let reason = "its order is withdrawn after the theft";
        self.hospital.ctl(&["rollouts", "halt", "k1-705", "--reason", reason]).await?;
        self.hospital.withdraw("k1-705", "portico").await?;
        let kiosks = self.serials("K1");
        let list = self.list("kiosks-again.tsv", "Portico", "K1", &kiosks)?;
        self.hospital.order("k1-706", &release(K1, &self.image(K1)), std::slice::from_ref(&list)).await?;
        self.create_rollout("k1-706", "K1 7.0.5 again", &[format!("all=k1-706={}", list.display())]).await?;
        self.rollout_is("k1-706", "the kiosks to install the genuine image", |rollout| {
            text(rollout, "/state") == "finished"
        })
        .await?;
        let listed = self.listed().await?;
        for serial in &kiosks {
            let runs = listed.get(serial).map_or("", |device| text(device, "/release"));
            ensure!(runs == "k1/7.0.5", "{serial} runs {runs}");
        }
        Ok(format!(
            "the maker's image is back; all {} kiosks believe the owner again and confirm it",
            kiosks.len()
        ))
    }
}

/// Copies a folder and what is in it, modes included.
fn copy_folder(from: &Path, to: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(to)?;
    std::fs::set_permissions(to, std::fs::metadata(from)?.permissions())?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let (kind, target) = (entry.file_type()?, to.join(entry.file_name()));
        if kind.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else if kind.is_file() {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

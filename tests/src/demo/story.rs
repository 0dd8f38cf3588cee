//! The story itself, step after step; each step is an act and the proof that is read back from outside.
//!
//! Read next: [`opening`] for how the hospital comes to life, [`updates`] for firmware, [`attacks`] for what goes wrong,
//! [`evidence`] for what is left of it all.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::Value;
use tokio::signal::unix::{SignalKind, signal};

use super::boot_loader::Machine;
use super::fleet::Device;
use super::stage::Stage;
use super::until;
use crate::hospital::Hospital;

mod attacks;
mod evidence;
mod opening;
mod updates;

/// Seconds that a step may wait for devices.
const PATIENCE: Duration = Duration::from_secs(120);

/// Everything on the stage.
pub(super) struct Story {
    hospital: Hospital,
    folder: PathBuf,
    devices: Vec<Device>,
    machine: Machine,
    count: usize,
}

/// Tells it all. With `check` it ends there; otherwise the hospital stays open until Ctrl-C.
pub(super) async fn tell(program: &Path, folder: &Path, count: usize, check: bool) -> anyhow::Result<()> {
    let mut stage = Stage::begin();
    let mut story = None;
    stage
        .step("A server is laid; ten people's keys sign the owner's repository", async {
            let hospital = Hospital::open(program, folder, &opening::SETTINGS).await?;
            let said = format!("director root signed 2 of 3, served on {}", hospital.ready().device);
            let machine = opening::machine(program, folder);
            let (folder, devices) = (folder.to_owned(), Vec::new());
            story = Some(Story { hospital, folder, devices, machine, count });
            Ok(said)
        })
        .await?;
    let mut story = story.context("the first step opens the hospital")?;
    let told = story.play(&mut stage).await;
    if told.is_ok() && !check {
        story.stay_open().await?;
    }
    story.close().await?;
    told?;
    let (steps, took) = stage.end();
    println!("all {steps} steps held, {:.1} s", took.as_secs_f64());
    Ok(())
}

impl Story {
    async fn play(&mut self, stage: &mut Stage) -> anyhow::Result<()> {
        stage.step("Five makers sign their releases, two keys each", self.makers()).await?;
        let title = format!("{} devices learn a week of traffic and enrol over mutual TLS", self.count);
        stage.step(&title, self.enrol_fleet()).await?;
        stage.step("A real agent enrols and watches this machine", self.enrol_machine()).await?;
        stage.step("Inventory and risk of every device are there", self.inventory_and_risk()).await?;
        stage.step("A kiosk starts calling one outside address every minute", self.beacon()).await?;
        stage
            .step(
                "Two people sign VP-3 4.2.2 in two waves; a pump in use waits and says why",
                self.begin_rollout(),
            )
            .await?;
        stage.step("The pump is set free; both waves confirm by receipt", self.finish_rollout()).await?;
        stage
            .step("The real agent is killed after its slot is written, and goes on", self.kill_and_go_on())
            .await?;
        stage
            .step("A forged image takes the place of the kiosks' on the server", self.forged_image())
            .await?;
        stage
            .step("The server is stolen, and pushes firmware with every key it has", self.stolen_server())
            .await?;
        stage.step("The owner takes the server back and publishes past the thief", self.recover()).await?;
        stage
            .step(
                "The pumps' evidence holds without the server; one flipped byte or dropped receipt is named",
                self.evidence(),
            )
            .await?;
        Ok(())
    }

    async fn stay_open(&self) -> anyhow::Result<()> {
        println!(
            "\nConsole:  http://{}\nSign in:  {}",
            self.hospital.ready().operator,
            self.hospital.sign_in_link()?
        );
        println!("Everything lies in {}. Ctrl-C ends the demo.", self.folder.display());
        let (mut terminate, mut hang_up) = (signal(SignalKind::terminate())?, signal(SignalKind::hangup())?);
        tokio::select! {
            ended = tokio::signal::ctrl_c() => ended?,
            _ = terminate.recv() => {}
            _ = hang_up.recv() => {}
        }
        Ok(())
    }

    async fn close(self) -> anyhow::Result<()> {
        let Self { mut hospital, devices, machine, .. } = self;
        machine.off();
        let ends = devices.into_iter().map(|device| tokio::spawn(device.stop()));
        for end in ends.collect::<Vec<_>>() {
            end.await?;
        }
        hospital.stop().await
    }

    /// All devices as the operator API lists them, by serial.
    async fn listed(&self) -> anyhow::Result<BTreeMap<String, Value>> {
        let mut found = BTreeMap::new();
        let mut path = "/api/v1/devices".to_owned();
        loop {
            let page = self.hospital.api(&path).await?;
            for device in page.pointer("/devices").and_then(Value::as_array).context("no list of devices")? {
                found.insert(text(device, "/serial").to_owned(), device.clone());
            }
            match page.pointer("/next").and_then(Value::as_str) {
                Some(next) => path = format!("/api/v1/devices?after={next}"),
                None => return Ok(found),
            }
        }
    }

    /// Waits until one device, as listed, is as wanted.
    async fn device_is(
        &self,
        serial: &str,
        what: &str,
        wanted: impl Fn(&Value) -> bool,
    ) -> anyhow::Result<Value> {
        until(what, PATIENCE, || async {
            let listed = self.listed().await?;
            let device = listed.get(serial).with_context(|| format!("{serial} is not enrolled"))?;
            Ok(if wanted(device) { Ok(device.clone()) } else { Err(brief(device)) })
        })
        .await
    }

    /// Waits until a rollout, as the API shows it, is as wanted.
    async fn rollout_is(
        &self,
        id: &str,
        what: &str,
        wanted: impl Fn(&Value) -> bool,
    ) -> anyhow::Result<Value> {
        until(what, PATIENCE, || async {
            let rollout = self.hospital.api(&format!("/api/v1/rollouts/{id}")).await?;
            Ok(if wanted(&rollout) { Ok(rollout) } else { Err(waves(&rollout)) })
        })
        .await
    }

    /// The serials of a model.
    fn serials(&self, model: &str) -> Vec<String> {
        let of_model = self.devices.iter().filter(|device| device.unit.model.name == model);
        of_model.map(|device| device.unit.serial()).collect()
    }

    /// A list file for the scope of an order.
    fn list(&self, name: &str, maker: &str, model: &str, serials: &[String]) -> anyhow::Result<PathBuf> {
        ensure!(!serials.is_empty(), "no device of model {model}");
        let lines: String = serials.iter().map(|serial| format!("{maker}\t{model}\t{serial}\n")).collect();
        let path = self.folder.join(name);
        std::fs::write(&path, lines)?;
        Ok(path)
    }
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn number(value: &Value, pointer: &str) -> u64 {
    value.pointer(pointer).and_then(Value::as_u64).unwrap_or(0)
}

/// The first thing that blocks a device's update: code and sentence.
fn blocked(device: &Value) -> (&str, &str) {
    let all = device.pointer("/update/blocked_by").and_then(Value::as_array);
    let all = all.map(Vec::as_slice).unwrap_or_default();
    // The missing go is named beside what keeps the server from giving it.
    let told = all.iter().find(|one| text(one, "/code") != "no-permit").or(all.first());
    told.map_or(("", ""), |one| (text(one, "/code"), text(one, "/sentence")))
}

/// A device in one line, for a step that failed.
fn brief(device: &Value) -> String {
    let (code, sentence) = blocked(device);
    let (state, release) = (text(device, "/update/state"), text(device, "/release"));
    format!("{} runs {release}, update {state}, {code} {sentence}", text(device, "/serial"))
}

/// A rollout in one line, for a step that failed.
fn waves(rollout: &Value) -> String {
    let waves = rollout.pointer("/waves").and_then(Value::as_array).cloned().unwrap_or_default();
    let count = |wave: &Value| {
        let of = |name: &str| number(wave, &format!("/{name}"));
        let failed = of("rolled_back") + of("refused") + of("silent");
        format!(
            "{} confirmed, {} waiting, {} installing, {} unreached, {failed} failed",
            of("confirmed"),
            of("waiting"),
            of("installing"),
            of("unreached")
        )
    };
    let counted: Vec<String> = waves.iter().map(count).collect();
    format!("{}: {}", text(rollout, "/state"), counted.join("; "))
}

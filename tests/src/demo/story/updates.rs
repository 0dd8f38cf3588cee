//! Firmware: a rollout in two waves, a pump that waits, an agent that is killed on the way.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, ensure};
use cordon_agent::interlock::Client;
use cordon_agent_core::interlock::Claim;
use tokio::time::sleep;

use super::opening::{DEMO_PC, MACHINE, MACHINE_MODEL, VP3, release};
use super::{Story, blocked, number, text, waves};
use crate::demo::until;

/// Pumps of the first wave.
const CANARIES: usize = 4;

impl Story {
    pub(super) async fn begin_rollout(&self) -> anyhow::Result<String> {
        let pumps = self.serials("VP-3");
        let (first, rest) = pumps.split_at(CANARIES.min(pumps.len() - 1));
        let in_use = first.first().context("a pump in the first wave")?;
        self.pump(in_use)?.claim(Some(Claim::InUse));
        self.device_is(in_use, "the pump to be in use", |device| text(device, "/interlock") == "in-use")
            .await?;
        let lists = [
            self.list("wave-1.tsv", "Halden", "VP-3", first)?,
            self.list("wave-2.tsv", "Halden", "VP-3", rest)?,
        ];
        self.hospital.order("vp3-422", &release(VP3, &self.image(VP3)), &lists).await?;
        let [one, two] = lists.map(|list| list.display().to_string());
        let waves_of = [format!("canary=vp3-422-1={one}"), format!("rest=vp3-422-2={two}")];
        self.create_rollout("vp3-422", "VP-3 4.2.2 to all infusion pumps", &waves_of).await?;
        let others = u64::try_from(first.len() - 1)?;
        self.rollout_is("vp3-422", "the other pumps of wave 1 to confirm", |rollout| {
            number(rollout, "/waves/0/confirmed") >= others
        })
        .await?;
        let pump = self
            .device_is(in_use, "the pump in use to say why it waits", |pump| blocked(pump).0 == "interlock")
            .await?;
        let rollout = self.hospital.api("/api/v1/rollouts/vp3-422").await?;
        ensure!(
            number(&rollout, "/waves/1/unreached") == u64::try_from(rest.len())?,
            "wave 2 began early: {}",
            waves(&rollout)
        );
        Ok(format!("{in_use}: {}", blocked(&pump).1))
    }

    pub(super) async fn finish_rollout(&self) -> anyhow::Result<String> {
        let pumps = self.serials("VP-3");
        self.pump(pumps.first().context("a pump")?)?.claim(Some(Claim::Standby));
        let rollout = self
            .rollout_is("vp3-422", "both waves to confirm", |rollout| text(rollout, "/state") == "finished")
            .await?;
        let listed = self.listed().await?;
        for serial in &pumps {
            let device = listed.get(serial).context("a pump that vanished")?;
            let (release, slot) = (text(device, "/release"), text(device, "/software/slot"));
            ensure!(release == "vp-3/4.2.2" && slot == "B", "{serial} runs {release} from slot {slot}");
        }
        let ventilators = self.serials("AER-V5");
        let untouched = ventilators.iter().all(|serial| {
            listed.get(serial).is_some_and(|device| text(device, "/release") == "aer-v5/1.0.0")
        });
        ensure!(untouched, "a device of another model was touched");
        Ok(waves(&rollout))
    }

    pub(super) async fn kill_and_go_on(&self) -> anyhow::Result<String> {
        let socket = self.folder.join("machine/interlock.sock");
        let mut hold = Client::connect(&socket).await?;
        hold.hold(Claim::InUse, Some(60)).await?;
        let list = self.list("machine.tsv", "Cordon", MACHINE_MODEL, &[MACHINE.to_owned()])?;
        self.hospital
            .order("pc-101", &release(DEMO_PC, &self.image(DEMO_PC)), std::slice::from_ref(&list))
            .await?;
        let wave = format!("one=pc-101={}", list.display());
        self.create_rollout("pc-101", "Demo-PC 1.0.1", &[wave]).await?;
        self.device_is(MACHINE, "the slot to be written", |device| {
            text(device, "/update/state") == "waiting" && blocked(device).0 == "interlock"
        })
        .await?;
        let before = self.machine.kill()?;
        let after = until("the boot loader to start the agent again", super::PATIENCE, || async {
            Ok(self.machine.pid().filter(|pid| *pid != before).ok_or_else(|| "still down".to_owned()))
        })
        .await?;
        let keeper = tokio::spawn(keep_standby(socket));
        let confirmed = self
            .rollout_is("pc-101", "the killed agent to confirm", |rollout| {
                number(rollout, "/waves/0/confirmed") == 1
            })
            .await;
        keeper.abort();
        confirmed?;
        let device = self
            .device_is(MACHINE, "the new release", |device| text(device, "/release") == "demo-pc/1.0.1")
            .await?;
        let (slot, reboots) = (text(&device, "/software/slot"), self.machine.reboots());
        ensure!(reboots >= 1, "it confirmed without a reboot");
        Ok(format!(
            "SIGKILL to process {before}, process {after} went on; slot {slot} confirmed after {reboots} reboot"
        ))
    }

    pub(super) fn pump(&self, serial: &str) -> anyhow::Result<&crate::demo::fleet::Device> {
        let found = self.devices.iter().find(|device| device.unit.serial() == serial);
        found.with_context(|| format!("no simulated device {serial}"))
    }

    pub(super) async fn create_rollout(&self, id: &str, title: &str, waves: &[String]) -> anyhow::Result<()> {
        let waves: Vec<&str> = waves.iter().flat_map(|wave| ["--wave", wave.as_str()]).collect();
        let head =
            ["rollouts", "create", "--id", id, "--title", title, "--soak-s", "0", "--in-flight", "100"];
        self.hospital.ctl(&[head.as_slice(), &waves].concat()).await?;
        Ok(())
    }
}

/// Says standby for as long as it runs, over every restart of the agent.
async fn keep_standby(socket: PathBuf) {
    let mut client: Option<Client> = None;
    loop {
        if client.is_none() {
            client = Client::connect(&socket).await.ok();
        }
        if let Some(open) = client.as_mut() {
            // The hold of the killed agent's time is taken back by the same user's word.
            let freed = open.hold(Claim::Standby, Some(5)).await;
            if freed.is_err() {
                client = None;
            }
        }
        sleep(Duration::from_millis(300)).await;
    }
}

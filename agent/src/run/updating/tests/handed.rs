//! A command of the maker's as the thing that installs, over the whole agent: its no, its time, and its read-back.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cordon_agent_core::interlock::Claim;
use cordon_agent_core::update::State;
use cordon_proto::checkin::InterlockState;
use cordon_proto::receipt::Outcome;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::boot::FileBoot;
use crate::config::Config;
use crate::install::Setting;
use crate::interlock::Client;
use crate::program::write_program;
use crate::run::ports::installer;
use crate::run::tests::{Rig, new_image};
use crate::run::{Exit, Ports, run};

/// Copies the image into its slot and reads it back, unless a file says otherwise.
const COMMAND: &str = r#"#!/bin/sh
set -e
cd "$(dirname "$0")"
case "$1" in
install)
    [ ! -e refuses ]
    if [ -e slow ]; then echo $$ > pid; exec sleep 600; fi
    cp "$3" "slot.$2" ;;
digest)
    if [ -e blind ]; then rm blind; exit 1; fi
    echo "sha256=$(sha256sum < "slot.$2" | cut -d' ' -f1)" ;;
esac
"#;

/// How long what must happen may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A pump with such a command, and an order that may be carried out at once.
struct Pump {
    rig: Rig,
    config: Config,
}

impl Pump {
    async fn ordered(how: &str) -> Self {
        let rig = Rig::new().await;
        {
            let mut world = rig.world();
            (world.offer, world.permit) = (true, true);
        }
        let command = rig.path("command");
        write_program(&command, COMMAND);
        fs::write(rig.path(how), "").expect("writes");
        let install = Some(Setting::Command(command.display().to_string()));
        let config = Config { slots: None, install, ..rig.config() };
        Self { rig, config }
    }

    fn start(&self) -> (oneshot::Sender<()>, JoinHandle<Exit>) {
        let (stop, stopped) = oneshot::channel();
        let ports = Ports { installer: installer(&self.config), ..self.rig.ports() };
        let config = self.config.clone();
        let task = tokio::spawn(run(config, ports, async {
            let _ = stopped.await;
        }));
        (stop, task)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.rig.path(name)
    }

    async fn says(&self, claim: Claim) -> Client {
        let said = timeout(PATIENCE, async {
            loop {
                if let Ok(mut client) = Client::connect(&self.path("interlock.sock")).await
                    && client.hold(claim, None).await.is_ok()
                {
                    return client;
                }
                sleep(Duration::from_millis(5)).await;
            }
        });
        said.await.expect("the socket is there")
    }
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let waited = timeout(PATIENCE, async {
        while !holds() {
            sleep(Duration::from_millis(5)).await;
        }
    });
    waited.await.unwrap_or_else(|_| panic!("never: {what}"));
}

async fn ended(task: JoinHandle<Exit>) -> Exit {
    timeout(PATIENCE, task).await.expect("ends").expect("no panic")
}

#[tokio::test]
async fn an_image_that_the_command_refuses_is_told_by_that_name_kept_whole_and_not_fetched_again() {
    // Goal: a no costs no download. Method: a command that refuses; what is told, what stands in the state folder and in
    // the record, and how often the image was asked for; a restart hands the same file over and is refused once more.
    let pump = Pump::ordered("refuses").await;
    let counted = |times| {
        let state = pump.rig.record().state;
        matches!(state, State::Written(written) if written.refused == Some(times))
    };
    for times in 1..3 {
        let (stop, task) = pump.start();
        until("the refusal is counted", || counted(times)).await;
        pump.rig
            .until("the refusal is told", |world| {
                let blocked = &world.checkins.last()?.update.blocked_by;
                blocked.iter().any(|blocked| blocked.code.as_str() == "image-not-taken").then_some(())
            })
            .await;
        drop(stop);
        assert!(matches!(ended(task).await, Exit::Stopped));
        assert_eq!(fs::read(pump.path("handed.B")).expect("reads"), new_image());
        assert_eq!(pump.rig.world().ranges.len(), 1, "asked for once");
    }
}

#[tokio::test]
async fn while_the_command_works_the_agent_hears_tells_and_ends_and_the_command_with_it() {
    // Goal: an installation of an hour makes nobody deaf. Method: a command that works for ten minutes; a patient who is
    // attached meanwhile must be told to the server; then the agent is stopped.
    let pump = Pump::ordered("slow").await;
    pump.rig.world().chatty = true;
    let (stop, task) = pump.start();
    until("the command works", || fs::read_to_string(pump.path("pid")).is_ok_and(|pid| pid.ends_with('\n')))
        .await;
    let program = fs::read_to_string(pump.path("pid")).expect("reads");
    let program = Path::new("/proc").join(program.trim());
    let held = pump.says(Claim::InUse).await;
    pump.rig
        .until("the patient is told", |world| {
            (world.checkins.last()?.interlock == InterlockState::InUse).then_some(())
        })
        .await;
    assert!(program.exists() && matches!(pump.rig.record().state, State::Written(_)));
    drop((stop, held));
    assert!(matches!(ended(task).await, Exit::Stopped));
    until("the command has ended", || !program.exists()).await;
}

#[tokio::test]
async fn a_read_back_that_fails_once_in_the_trial_does_not_cost_a_good_image() {
    // Goal: a command that is not ready just after the boot is asked again. Method: install, boot, a digest that fails
    // the first time.
    let pump = Pump::ordered("ready").await;
    let (_stop, task) = pump.start();
    let held = pump.says(Claim::Standby).await;
    assert!(matches!(ended(task).await, Exit::Reboot));
    drop(held);
    FileBoot::open(&pump.path("boot")).expect("opens").boot().expect("boots");
    fs::write(pump.path("blind"), "").expect("writes");
    let (stop, task) = pump.start();
    until("the receipt arrives", || !pump.rig.world().receipts.is_empty()).await;
    assert_eq!(pump.rig.receipt().outcome, Outcome::Confirmed);
    assert!(!pump.path("blind").exists(), "it did fail");
    drop(stop);
    assert!(matches!(ended(task).await, Exit::Stopped));
}

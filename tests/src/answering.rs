//! Whether a busy server still answers: both planes asked again and again while something goes on, and how long each took.
//!
//! A device checks in over mutual TLS, a person lists devices; each answer must come, and its time is kept. Read next:
//! [`crate::bench::knowledge`].

use std::cell::Cell;
use std::fmt;
use std::time::Duration;

use anyhow::Context;
use tokio::time::{Instant, sleep};

use crate::hospital::Hospital;
use crate::one_device::OneDevice;

/// Between two rounds, so that asking is not what makes the server busy.
const PAUSE: Duration = Duration::from_millis(5);

/// Settings of a server that is asked so often: a device is not held back.
pub const SETTINGS: [&str; 2] = ["device.requests=100000", "device.requests_per_minute=100000"];

/// How long each answer took.
#[derive(Clone, Debug, Default)]
pub struct Answers {
    /// Lists of devices, over the operator plane.
    pub operator: Vec<Duration>,
    /// Check-ins, over the device plane.
    pub device: Vec<Duration>,
}

impl Answers {
    /// Asks until `busy` is done.
    ///
    /// # Errors
    /// What is done failed, or an answer did.
    pub async fn during<T>(
        hospital: &Hospital,
        device: &OneDevice,
        busy: impl Future<Output = anyhow::Result<T>>,
    ) -> anyhow::Result<(T, Self)> {
        let done = Cell::new(false);
        let work = async {
            let outcome = busy.await;
            done.set(true);
            outcome
        };
        let asking = async {
            let mut answers = Self::default();
            while !done.get() {
                answers.ask(hospital, device).await?;
                sleep(PAUSE).await;
            }
            anyhow::Ok(answers)
        };
        let (outcome, answers) = tokio::join!(work, asking);
        Ok((outcome?, answers?))
    }

    async fn ask(&mut self, hospital: &Hospital, device: &OneDevice) -> anyhow::Result<()> {
        let begun = Instant::now();
        hospital.api("/api/v1/devices?limit=50").await.context("the operator plane does not answer")?;
        self.operator.push(begun.elapsed());
        let begun = Instant::now();
        device.checkin().await.context("the device plane does not answer")?;
        self.device.push(begun.elapsed());
        Ok(())
    }

    /// The slowest answer of all.
    #[must_use]
    pub fn slowest(&self) -> Duration {
        self.operator.iter().chain(&self.device).max().copied().unwrap_or_default()
    }
}

impl fmt::Display for Answers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = |times: &[Duration]| {
            let mut sorted = times.to_vec();
            sorted.sort_unstable();
            let at = |permille: usize| {
                let place = (sorted.len() * permille / 1000).min(sorted.len().saturating_sub(1));
                sorted.get(place).map_or(0.0, |time| time.as_secs_f64() * 1000.0)
            };
            format!("p50 {:.1} ms, p99 {:.1} ms, slowest {:.1} ms", at(500), at(990), at(1000))
        };
        write!(f, "{} rounds: operator plane {}; ", self.operator.len(), line(&self.operator))?;
        write!(f, "device plane {}", line(&self.device))
    }
}

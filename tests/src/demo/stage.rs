//! The demo's script on the screen: each step with its time, its proof in one line, and the failed one by name.
//!
//! A step is an assertion with a title. The first that fails ends the run with its name, in `--check` and without.

use std::fmt::Display;
use std::io::Write;
use std::time::{Duration, Instant};

/// Prints steps and counts them.
#[derive(Debug)]
pub struct Stage {
    begun: Instant,
    steps: usize,
}

/// A step that did not hold.
#[derive(Debug)]
pub struct StepFailed {
    /// The step's title.
    pub title: String,
    /// What was found instead.
    pub cause: anyhow::Error,
}

impl Display for StepFailed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "step failed: {}: {:#}", self.title, self.cause)
    }
}

impl std::error::Error for StepFailed {}

impl Stage {
    /// Begins the clock.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the demo measures itself")]
    pub fn begin() -> Self {
        Self { begun: Instant::now(), steps: 0 }
    }

    /// Runs one step; its value is the proof that is printed beside the title.
    pub async fn step<P: Display>(
        &mut self,
        title: &str,
        act: impl Future<Output = anyhow::Result<P>>,
    ) -> Result<P, StepFailed> {
        let started = self.begun.elapsed();
        let outcome = act.await;
        let took = self.begun.elapsed().saturating_sub(started);
        self.steps += 1;
        match outcome {
            Ok(proof) => {
                self.line(title, &proof.to_string(), took);
                Ok(proof)
            }
            Err(cause) => Err(StepFailed { title: title.to_owned(), cause }),
        }
    }

    fn line(&self, title: &str, proof: &str, took: Duration) {
        let mut out = std::io::stdout().lock();
        let seconds = took.as_secs_f64();
        // A closed pipe is the reader's choice; the demo goes on.
        let _ = writeln!(out, "{:>2}  {:>6.2} s  {title}\n             {proof}", self.steps, seconds);
    }

    /// Steps that held and time since the beginning.
    #[must_use]
    pub fn end(&self) -> (usize, Duration) {
        (self.steps, self.begun.elapsed())
    }
}

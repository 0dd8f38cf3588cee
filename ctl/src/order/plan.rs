//! `order plan`: what an order would do, and the lists of its waves, before anybody signs.
//!
//! The server says which devices fit and why the others do not; the lists name devices by what stands on their plates, so
//! that whoever signs computes the scope from them and sees every device. The server's word decides nothing: a wrong
//! list orders nothing that its readers did not sign. Nothing is signed here. Read next: [`super::sign`].

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use cordon_proto::ids::{Name, TargetPath};
use cordon_proto::update::window::{Window, intersect};
use cordon_server_core::rollout::{Size, split};
use serde_json::{Value, json};

use crate::api::Api;
use crate::arguments;
use crate::failure::Failure;
use crate::report::{Report, plain};
use crate::session::Session;

/// What is left out, with the reason.
const LEFT_OUT: &str = "left-out.tsv";

/// Plan an order.
#[derive(Clone, Debug, Args)]
pub struct Plan {
    /// The release to install.
    #[arg(long, value_name = "PATH")]
    pub release: TargetPath,
    /// The maker's repository, by the name under which the server knows it.
    #[arg(long, value_name = "NAME")]
    pub repository: Name,
    /// Which devices of its model: band, from, release, site, ward, kind, tag, source or device. Repeat; all must fit.
    #[arg(long, value_name = "NAME=VALUE")]
    pub filter: Vec<String>,
    /// The release to which devices may return.
    #[arg(long, value_name = "PATH")]
    pub back: Option<TargetPath>,
    /// When devices are to reboot, in their own time. Repeat.
    #[arg(long, value_name = "WINDOW", value_parser = arguments::window)]
    pub window: Vec<Window>,
    /// When the wards let them. Repeat; without it always.
    #[arg(long, value_name = "WINDOW", value_parser = arguments::window, requires = "window")]
    pub within: Vec<Window>,
    /// Sizes of the waves: 12, 10%, group:SITE/WARD, rest.
    #[arg(long, value_name = "SIZES", value_delimiter = ',', default_value = "rest")]
    pub waves: Vec<Size>,
    /// The new folder for the lists.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
}

impl Plan {
    /// Does it.
    ///
    /// # Errors
    /// The windows never meet, no device fits, the waves do not come out, the server refuses, or was not reached.
    pub fn run(&self, session: &Session<'_>) -> Result<Report, Failure> {
        let open = self.open()?;
        let asked = json!({
            "repository": self.repository.as_str(),
            "release": self.release.as_str(),
            "filter": self.filter,
            "back": self.back.as_ref().map(TargetPath::as_str),
        });
        let answer = Api::new(session.options)?.post(&["orders", "preview"], &asked)?;
        self.way_back(&answer)?;
        let devices = answer.get("devices").and_then(Value::as_array).cloned().unwrap_or_default();
        let (planned, left): (Vec<Value>, Vec<Value>) =
            devices.into_iter().partition(|device| text(device, "fate") == "fits");
        if planned.is_empty() {
            let detail = format!("no device would install {}:\n{}", self.release, summary(&answer));
            return Err(Failure::refused("nothing to order", detail));
        }
        let placed: Vec<(String, &str)> =
            planned.iter().map(|device| (line(device), text(device, "place"))).collect();
        let waves = split(&placed, &self.waves).map_err(|error| Failure::Usage(error.to_string()))?;
        let files = self.write(&waves, &left)?;
        let mut said = summary(&answer);
        for (file, wave) in files.iter().zip(&waves) {
            said += &format!("{file}: {} devices\n", wave.len());
        }
        if !open.is_empty() {
            said += &format!("reboots in {} windows of the week\n", open.len());
        }
        let windows: Vec<Value> = open.iter().map(|window| json(&window.value())).collect();
        Ok(Report::new(said, answer).with("lists", json!(files)).with("windows", json!(windows)))
    }

    /// When devices may reboot: in the order's windows, within the wards'.
    fn open(&self) -> Result<Vec<Window>, Failure> {
        let always = [Window::ALWAYS];
        let within = if self.within.is_empty() { &always[..] } else { &self.within };
        let open = intersect(&self.window, within);
        if open.is_empty() && !self.window.is_empty() {
            let detail = "the windows never meet: under this order no device could ever reboot";
            return Err(Failure::refused("no window", detail));
        }
        Ok(open)
    }

    fn way_back(&self, answer: &Value) -> Result<(), Failure> {
        let Some(back) = &self.back else { return Ok(()) };
        let verdict = answer.get("back").cloned().unwrap_or(Value::Null);
        if verdict == "open" {
            return Ok(());
        }
        let detail = format!("the way back to {back} could not be taken: {}", plain(&verdict.to_string()));
        Err(Failure::refused("no way back", detail))
    }

    /// Writes one list a wave, and what is left out; the names of the lists.
    fn write(&self, waves: &[Vec<String>], left: &[Value]) -> Result<Vec<String>, Failure> {
        let wrong = |error: std::io::Error| Failure::file("make", &self.out, &error);
        std::fs::create_dir(&self.out).map_err(wrong)?;
        let mut files = Vec::new();
        for (number, wave) in (1..).zip(waves) {
            let file = format!("wave{number}.tsv");
            write_new(&self.out.join(&file), &wave.concat())?;
            files.push(file);
        }
        let why = |device: &Value| {
            let steps: Vec<_> = list(device, "steps").map(plain).collect();
            format!("{}\t{}\t{}\n", line(device).trim_end(), text(device, "fate"), steps.join(" then "))
        };
        write_new(&self.out.join(LEFT_OUT), &left.iter().map(why).collect::<String>())?;
        Ok(files)
    }
}

/// A device as a scope's list names it. Tabs and line ends of a device's own words would make other lines.
fn line(device: &Value) -> String {
    let column = |name: &str| plain(text(device, name));
    format!("{}\t{}\t{}\n", column("manufacturer"), column("model"), column("serial"))
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn list<'a>(value: &'a Value, name: &str) -> impl Iterator<Item = &'a str> {
    value.get(name).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
}

fn json(value: &cordon_proto::canonical::Value) -> Value {
    serde_json::from_slice(&value.json()).unwrap_or(Value::Null)
}

/// The preview in lines.
fn summary(answer: &Value) -> String {
    let number = |name: &str| answer.get(name).and_then(Value::as_u64).unwrap_or_default();
    let points = |name: &str| format!("{}.{:02}", number(name) / 100, number(name) % 100);
    let mut said = format!("{} devices of its model are meant\n", number("total"));
    for (fate, count) in answer.get("fates").and_then(Value::as_object).into_iter().flatten() {
        said += &format!("  {:<16} {count}\n", plain(fate));
    }
    for step in answer.get("steps").and_then(Value::as_array).into_iter().flatten() {
        let way: Vec<_> = list(step, "releases").map(plain).collect();
        let devices = step.get("devices").and_then(Value::as_u64).unwrap_or_default();
        said += &format!("  {devices} need {} one after another\n", way.join(", "));
    }
    said += &format!("in use now {}, nobody says of {}\n", number("in_use_now"), number("unknown_use"));
    let heard = answer.get("unreached_days").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let heard: Vec<_> = heard.iter().map(|count| count.as_u64().unwrap_or_default()).collect();
    if let [day, week, month, longer] = heard.as_slice() {
        said += &format!(
            "last heard within a day {day}, a week {week}, a month {month}, longer ago or never {longer}\n"
        );
    }
    let vulnerabilities = answer.get("vulnerabilities").unwrap_or(&Value::Null);
    let (before, after) = (points("risk_before_hundredths"), points("risk_after_hundredths"));
    said += &format!(
        "sum of scores {before}, then {after}\n{}\n{}\n",
        plain(text(vulnerabilities, "words")),
        plain(text(vulnerabilities, "by_words"))
    );
    said
}

fn write_new(path: &Path, text: &str) -> Result<(), Failure> {
    let wrong = |error: std::io::Error| Failure::file("write", path, &error);
    let mut file = OpenOptions::new().write(true).create_new(true).open(path).map_err(wrong)?;
    file.write_all(text.as_bytes()).map_err(wrong)
}

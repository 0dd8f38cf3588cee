//! The score on a second machine: the same bytes from WebAssembly, run by Node.js, as from this machine's own code.
//!
//! Another word length and another compiler back end; what differs there would differ between two servers. Where the target
//! or Node.js is not installed, the test says so and shows nothing. Read next: `server/core/examples/score_lines.rs`.

/// The target, as rustup names it.
pub const TARGET: &str = "wasm32-wasip1";
/// Runs a module of that target with what this process has open.
pub const RUNNER: &str = r#"const { WASI } = require("node:wasi");
const module_ = new WebAssembly.Module(require("node:fs").readFileSync(process.argv[1]));
const wasi = new WASI({ version: "preview1", args: ["score_lines"], env: {}, returnOnExit: true });
process.exitCode = wasi.start(new WebAssembly.Instance(module_, wasi.getImportObject()));"#;

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::process::Stdio;

    use cordon_server_core::risk::model::RISK_V1;
    use cordon_server_core::risk::score;

    use super::{RUNNER, TARGET};
    use crate::bench::risk::{NOW, fleet};
    use crate::program::program;
    use crate::skip::{look_up, skip};
    use crate::tidy::tree;

    /// Devices that are scored on both.
    const DEVICES: usize = 2000;

    /// The program for the second machine, or why there is none.
    fn built() -> Result<PathBuf, String> {
        let root = program("rustc").args(["--print", "sysroot"]).output().expect("runs");
        let root = PathBuf::from(String::from_utf8_lossy(&root.stdout).trim());
        if !root.join("lib/rustlib").join(TARGET).is_dir() {
            return Err(format!("no target {TARGET} (rustup target add {TARGET})"));
        }
        let target = tree::root().join("target/second-machine");
        let mut cargo = program("timeout");
        cargo.args(["900", "cargo", "build", "--quiet", "--locked", "--package", "cordon-server-core"]);
        cargo.args(["--example", "score_lines", "--target", TARGET]).env("CARGO_TARGET_DIR", &target);
        let done = cargo.current_dir(tree::root()).output().expect("cargo starts");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        Ok(target.join(TARGET).join("debug/examples/score_lines.wasm"))
    }

    #[test]
    fn a_score_is_the_same_bytes_on_a_second_machine() {
        // Goal: neither word length nor compiler changes a byte of a score. Method: two thousand made-up devices scored here and
        // in WebAssembly, compared line for line.
        let Some(node) = look_up("node") else {
            return skip("score on a second machine: node not found (apt-get install nodejs)");
        };
        let module = match built() {
            Ok(module) => module,
            Err(why) => return skip(&format!("score on a second machine: {why}")),
        };
        let devices = fleet(DEVICES);
        let lines: Vec<String> =
            devices.iter().map(|facts| serde_json::json!([NOW.0, facts]).to_string()).collect();
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("facts.jsonl");
        std::fs::write(&file, lines.join("\n")).expect("writes");
        let mut run = program("timeout");
        run.args(["300"]).arg(node).args(["-e", RUNNER]).arg(&module);
        let done = run
            .stdin(std::fs::File::open(&file).expect("opens"))
            .stdout(Stdio::piped())
            .output()
            .expect("starts");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        let there = String::from_utf8(done.stdout).expect("text");
        assert_eq!(there.lines().count(), DEVICES);
        for (facts, line) in devices.iter().zip(there.lines()) {
            let here = serde_json::to_string(&score(facts, &RISK_V1, NOW)).expect("JSON");
            assert_eq!(line, here);
        }
    }
}

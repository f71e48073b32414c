//! What came of a command.

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;

use handoff_sandbox::{Isolation, Refusal};

/// How a command ended.
#[must_use]
#[derive(Debug)]
pub struct Outcome {
    /// The exit code; 128 and the signal when one ended it.
    pub code: i32,
    /// What it wrote.
    pub stdout: String,
    /// What it complained about.
    pub stderr: String,
    /// What held it in.
    pub isolation: Option<Isolation>,
    /// Why it was not run.
    pub refused: Option<Refusal>,
    /// How often memory ran out, where that is counted.
    pub oom_kills: Option<u64>,
}

impl Outcome {
    pub(super) fn of(output: std::process::Output, report: Option<&Path>) -> Self {
        let status = output.status;
        let code = status.code().or_else(|| Some(128 + status.signal()?)).expect("an ending");
        let mut outcome = Self {
            code,
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            isolation: None,
            refused: None,
            oom_kills: None,
        };
        if let Some(report) = report {
            let bytes = fs::read(report).unwrap_or_else(|error| panic!("{error}: {outcome:?}"));
            let mut report: serde_json::Value = serde_json::from_slice(&bytes).expect("a report");
            outcome.isolation =
                serde_json::from_value(report["isolation"].take()).expect("isolation");
            outcome.refused = serde_json::from_value(report["refused"].take()).expect("refusal");
            outcome.oom_kills = report["oom_kills"].as_u64();
        }
        outcome
    }

    /// Asserts that the command ended well and returns what it wrote.
    #[track_caller]
    #[must_use]
    pub fn succeeded(&self) -> &str {
        assert_eq!(self.code, 0, "{self:?}");
        &self.stdout
    }

    /// Asserts that the run was refused and returns why.
    #[track_caller]
    #[must_use]
    pub fn refusal(&self) -> &Refusal {
        self.refused.as_ref().unwrap_or_else(|| panic!("not refused: {self:?}"))
    }

    /// Asserts one `name value` line of the output.
    #[track_caller]
    pub fn says(&self, name: &str, expected: &str) {
        let found = self.stdout.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        assert_eq!(found, Some(expected), "{name} in {self:?}");
    }
}

//! One finding of the doctor's. Pure.

use serde::Serialize;

use crate::wording::one_line;

/// Longest text that is shown, in characters.
const TEXT_MAX: usize = 1000;

/// Width of the names of states.
const STATE_WIDTH: usize = 7;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum State {
    /// As it should be.
    Ok,
    /// It works without.
    Warning,
    /// Something necessary is missing.
    Failed,
}

/// A finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Check {
    pub(super) name: String,
    pub(super) state: State,
    pub(super) detail: String,
    /// What to do about it.
    pub(super) hint: Option<String>,
}

impl Check {
    pub(super) fn ok(name: &str, detail: impl Into<String>) -> Self {
        Self { name: name.to_owned(), state: State::Ok, detail: detail.into(), hint: None }
    }

    pub(super) fn warning(name: &str, detail: impl Into<String>, hint: impl Into<String>) -> Self {
        let hint = Some(hint.into());
        Self { name: name.to_owned(), state: State::Warning, detail: detail.into(), hint }
    }

    pub(super) fn failed(name: &str, detail: impl Into<String>, hint: Option<String>) -> Self {
        Self { name: name.to_owned(), state: State::Failed, detail: detail.into(), hint }
    }

    /// The finding for a human: a line, and one more where something can be done.
    pub(super) fn lines(&self) -> String {
        let state = match self.state {
            State::Ok => "ok",
            State::Warning => "warning",
            State::Failed => "failed",
        };
        let (name, detail) = (one_line(&self.name, TEXT_MAX), one_line(&self.detail, TEXT_MAX));
        let mut lines = format!("{state:STATE_WIDTH$}  {name}: {detail}\n");
        if let Some(hint) = &self.hint {
            lines.push_str(&format!("{:STATE_WIDTH$}  hint: {}\n", "", one_line(hint, TEXT_MAX)));
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_tells_what_to_do() {
        let check = Check::warning("git", "version 2.1", "install a newer one");
        assert_eq!(
            check.lines(),
            "warning  git: version 2.1\n         hint: install a newer one\n"
        );
        assert_eq!(Check::ok("git", "version 3").lines(), "ok       git: version 3\n");
    }
}

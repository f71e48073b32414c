//! Codex, from the laptop's side.

mod continued;
mod import;
mod known;
mod session;
mod settings;

use super::words::Grammar;
use super::{Kind, Task};
use crate::cli::UsageError;

pub(super) use self::continued::{append, continued};
pub(super) use self::import::{begins_at, closing, fork_id, is_record, part, renamed, spawned};
pub(super) use self::known::make_known;
pub(super) use self::session::{export, newest, of_id, sessions_here, transcript};

/// What means something to a run. The sandbox that Codex would do without is another one: a run has
/// its own, always.
const WORDS: Grammar = Grammar {
    model: &["-m", "--model"],
    permissions: &["-a", "--ask-for-approval"],
    known_permissions: &["untrusted", "on-request", "never"],
    never_asks: ("--dangerously-bypass-approvals-and-sandbox", "never"),
    ignored: &["exec"],
    subcommands: &[
        "apply", "archive", "cloud", "delete", "fork", "login", "logout", "mcp", "resume", "review",
    ],
};

/// What the words after the program's name ask for.
pub(super) fn task(words: Vec<String>) -> Result<Task, UsageError> {
    WORDS.task(Kind::Codex, words)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(words: &[&str]) -> Result<Task, UsageError> {
        task(words.iter().map(|word| (*word).to_owned()).collect())
    }

    #[test]
    fn a_prompt_and_a_few_options_are_understood() {
        let found = of(&["exec", "-m", "gpt-5.5", "fix", "the tests"]).unwrap();
        assert_eq!((found.prompt.as_str(), found.model.as_str()), ("fix the tests", "gpt-5.5"));
        let found = of(&["--ask-for-approval=untrusted", "--", "-m is a flag"]).unwrap();
        assert_eq!(found.prompt, "-m is a flag");
        assert_eq!(found.permissions, "untrusted");
        let found = of(&["--dangerously-bypass-approvals-and-sandbox", "go", "exec"]).unwrap();
        assert_eq!((found.prompt.as_str(), found.permissions.as_str()), ("go exec", "never"));
        assert_eq!(of(&["--", "review", "it"]).unwrap().prompt, "review it");
    }

    #[test]
    fn what_means_nothing_here_is_refused_by_name() {
        for words in [
            &["--sandbox", "read-only", "go"][..],
            &["-c", "model=x", "go"],
            &["--version"],
            &["exec"],
            &[],
            &["-m"],
            &["-a", "sometimes", "go"],
            &["exec", "resume", "01a2022b"],
        ] {
            assert!(of(words).is_err(), "{words:?}");
        }
        assert!(of(&["--search", "x"]).unwrap_err().message.contains("`--search`"));
    }
}

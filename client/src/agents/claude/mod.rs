//! Claude Code, from the laptop's side.

mod import;
mod rewind;
mod session;
mod settings;

use super::words::Grammar;
use super::{Kind, Task};
use crate::cli::UsageError;

pub(super) use self::import::{begins_at, continued, fork_id, kept, part, renamed};
pub(super) use self::session::{export, newest, of_id};

/// What means something to a run.
const WORDS: Grammar = Grammar {
    model: &["--model"],
    permissions: &["--permission-mode"],
    known_permissions: &[],
    never_asks: ("--dangerously-skip-permissions", "bypassPermissions"),
    ignored: &["-p", "--print"],
    subcommands: &[],
};

/// What the words after the program's name ask for.
pub(super) fn task(words: Vec<String>) -> Result<Task, UsageError> {
    WORDS.task(Kind::Claude, words)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(words: &[&str]) -> Result<Task, UsageError> {
        task(words.iter().map(|word| (*word).to_owned()).collect())
    }

    #[test]
    fn a_prompt_and_a_few_options_are_understood() {
        let found = of(&["-p", "--model=opus", "fix", "the tests"]).unwrap();
        assert_eq!((found.prompt.as_str(), found.model.as_str()), ("fix the tests", "opus"));
        let found = of(&["--permission-mode", "plan", "--", "--model is a flag"]).unwrap();
        assert_eq!(found.prompt, "--model is a flag");
        assert_eq!(found.permissions, "plan");
        let found = of(&["--dangerously-skip-permissions", "go"]).unwrap();
        assert_eq!(found.permissions, "bypassPermissions");
    }

    #[test]
    fn what_means_nothing_here_is_refused_by_name() {
        for words in [&["--mcp-config", "x", "go"][..], &["--version"], &[], &["-p"], &["--model"]]
        {
            assert!(of(words).is_err(), "{words:?}");
        }
        assert!(of(&["--ide", "x"]).unwrap_err().message.contains("`--ide`"));
    }
}

//! Claude Code, from the laptop's side.

mod import;
mod session;
mod settings;

use std::path::PathBuf;

use handoff_proto::path::AbsolutePath;

use super::{Kind, Task};
use crate::cli::UsageError;

pub(super) use self::import::{begins_at, fork_id, is_harmless, part, renamed};
pub(super) use self::session::{export, newest, of_id};

/// Names another directory than `~/.claude`.
const DIRECTORY_VARIABLE: &str = "CLAUDE_CONFIG_DIR";

/// Permission mode behind the flag of that name.
const SKIP_PERMISSIONS: (&str, &str) = ("--dangerously-skip-permissions", "bypassPermissions");

/// How to have an option that means nothing here all the same.
const HINT: &str =
    "`handoff --agent none -- claude …` runs claude as a plain command, with all its options";

/// What the words after the program's name ask for: a prompt, and the few options of Claude Code
/// that mean something to a run.
pub(super) fn task(words: Vec<String>) -> Result<Task, UsageError> {
    let mut task = Task {
        kind: Kind::Claude,
        prompt: String::new(),
        model: String::new(),
        permissions: String::new(),
    };
    let mut prompt: Vec<String> = Vec::new();
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        let (flag, value) = match word.split_once('=') {
            Some((flag, value)) if flag.starts_with("--") => (flag, Some(value.to_owned())),
            Some(_) | None => (word.as_str(), None),
        };
        let mut needed = || {
            let value = value.clone().or_else(|| words.next());
            let missing = || UsageError { message: format!("`{flag}` needs a value"), hint: None };
            value.filter(|value| !value.is_empty()).ok_or_else(missing)
        };
        match flag {
            "--" => {
                prompt.extend(words.by_ref());
            }
            // A run is never anything else.
            "-p" | "--print" => {}
            "--model" => task.model = needed()?,
            "--permission-mode" => task.permissions = needed()?,
            _ if flag == SKIP_PERMISSIONS.0 => SKIP_PERMISSIONS.1.clone_into(&mut task.permissions),
            _ if flag.len() > 1 && flag.starts_with('-') => {
                let message = format!("`{flag}` of claude means nothing to a run");
                return Err(UsageError { message, hint: Some(HINT.to_owned()) });
            }
            _ => prompt.push(word),
        }
    }
    task.prompt = prompt.join(" ");
    if task.prompt.trim().is_empty() {
        let message = "claude is told nothing to do".to_owned();
        return Err(UsageError { message, hint: Some("`handoff claude \"PROMPT\"`".to_owned()) });
    }
    Ok(task)
}

/// Where Claude Code keeps its settings and sessions.
pub(super) fn directory(home: &AbsolutePath) -> PathBuf {
    let set = std::env::var_os(DIRECTORY_VARIABLE).filter(|directory| !directory.is_empty());
    set.map_or_else(|| home.as_os_path().join(".claude"), PathBuf::from)
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

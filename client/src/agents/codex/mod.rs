//! Codex, from the laptop's side.

mod import;
mod session;
mod settings;

use std::path::PathBuf;

use handoff_proto::path::AbsolutePath;

use super::{Kind, Task};
use crate::cli::UsageError;

pub(super) use self::import::{
    begins_at, closed, fork_id, is_harmless, part, renamed, rewritten, unclosed,
};
pub(super) use self::session::{export, newest, of_id};

/// Names another directory than `~/.codex`.
const DIRECTORY_VARIABLE: &str = "CODEX_HOME";

/// When Codex asks, in its own words.
const APPROVALS: [&str; 3] = ["untrusted", "on-request", "never"];

/// What is asked behind the flag of that name. The sandbox that it would do without is another one:
/// a run has its own, always.
const BYPASS: (&str, &str) = ("--dangerously-bypass-approvals-and-sandbox", "never");

/// Codex's word for working without a user, which a run does anyway.
const EXEC: &str = "exec";

/// Words that make something else of Codex than an agent with a task, where they come first.
const SUBCOMMANDS: [&str; 10] =
    ["apply", "archive", "cloud", "delete", "fork", "login", "logout", "mcp", "resume", "review"];

/// How to have an option that means nothing here all the same.
const HINT: &str =
    "`handoff --agent none -- codex …` runs codex as a plain command, with all its options";

/// What the words after the program's name ask for: a prompt, and the few options of Codex that mean
/// something to a run.
pub(super) fn task(words: Vec<String>) -> Result<Task, UsageError> {
    let mut task = Task {
        kind: Kind::Codex,
        prompt: String::new(),
        model: String::new(),
        permissions: String::new(),
    };
    let mut prompt: Vec<String> = Vec::new();
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        let (flag, value) = match word.split_once('=') {
            Some((flag, value)) if flag.starts_with('-') => (flag, Some(value.to_owned())),
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
            EXEC if prompt.is_empty() => {}
            "-m" | "--model" => task.model = needed()?,
            "-a" | "--ask-for-approval" => task.permissions = approvals(needed()?)?,
            _ if flag == BYPASS.0 => BYPASS.1.clone_into(&mut task.permissions),
            _ if (flag.len() > 1 && flag.starts_with('-'))
                || (prompt.is_empty() && SUBCOMMANDS.contains(&flag)) =>
            {
                let message = format!("`{flag}` of codex means nothing to a run");
                return Err(UsageError { message, hint: Some(HINT.to_owned()) });
            }
            _ => prompt.push(word),
        }
    }
    task.prompt = prompt.join(" ");
    if task.prompt.trim().is_empty() {
        let message = "codex is told nothing to do".to_owned();
        return Err(UsageError { message, hint: Some("`handoff codex \"PROMPT\"`".to_owned()) });
    }
    Ok(task)
}

fn approvals(word: String) -> Result<String, UsageError> {
    if APPROVALS.contains(&word.as_str()) {
        return Ok(word);
    }
    Err(UsageError {
        message: format!("codex knows no approval policy {word:?}"),
        hint: Some(format!("known are {}", APPROVALS.join(", "))),
    })
}

/// Where Codex keeps its settings and sessions.
pub(super) fn directory(home: &AbsolutePath) -> PathBuf {
    let set = std::env::var_os(DIRECTORY_VARIABLE).filter(|directory| !directory.is_empty());
    set.map_or_else(|| home.as_os_path().join(".codex"), PathBuf::from)
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

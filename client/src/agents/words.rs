//! The words behind an agent's name on a command line: a prompt, and the few options that mean
//! something to a run. Everything else is refused by name.

use super::{Kind, Task};
use crate::cli::UsageError;

/// Which options of an agent mean something to a run.
pub(super) struct Grammar {
    /// Name the model.
    pub(super) model: &'static [&'static str],
    /// Say how much it may do without asking.
    pub(super) permissions: &'static [&'static str],
    /// What those may say; anything where it is empty.
    pub(super) known_permissions: &'static [&'static str],
    /// Takes no value and stands for this one of `permissions`.
    pub(super) never_asks: (&'static str, &'static str),
    /// What a run is anyway: options, or a word before the prompt.
    pub(super) ignored: &'static [&'static str],
    /// Words that, before any prompt, make something else of it than an agent with a task.
    pub(super) subcommands: &'static [&'static str],
}

impl Grammar {
    /// What these words ask of the agent.
    pub(super) fn task(&self, kind: Kind, words: Vec<String>) -> Result<Task, UsageError> {
        let (mut model, mut permissions) = (String::new(), String::new());
        let mut prompt: Vec<String> = Vec::new();
        let mut words = words.into_iter();
        while let Some(word) = words.next() {
            let (flag, value) = match word.split_once('=') {
                Some((flag, value)) if flag.starts_with('-') => (flag, Some(value.to_owned())),
                Some(_) | None => (word.as_str(), None),
            };
            let is_first = prompt.is_empty();
            let is_option = flag.len() > 1 && flag.starts_with('-');
            let mut needed = || {
                let value = value.clone().or_else(|| words.next());
                let missing =
                    || UsageError { message: format!("`{flag}` needs a value"), hint: None };
                value.filter(|value| !value.is_empty()).ok_or_else(missing)
            };
            match flag {
                "--" => prompt.extend(words.by_ref()),
                _ if self.ignored.contains(&flag) && (is_option || is_first) => {}
                _ if self.model.contains(&flag) => model = needed()?,
                _ if self.permissions.contains(&flag) => {
                    permissions = self.permission(kind, needed()?)?;
                }
                _ if flag == self.never_asks.0 => self.never_asks.1.clone_into(&mut permissions),
                _ if is_option || (is_first && self.subcommands.contains(&flag)) => {
                    return Err(means_nothing(kind, flag));
                }
                _ => prompt.push(word),
            }
        }
        let prompt = prompt.join(" ");
        if prompt.trim().is_empty() {
            let name = kind.name();
            return Err(UsageError {
                message: format!("{name} is told nothing to do"),
                hint: Some(format!("`handoff {name} \"PROMPT\"`")),
            });
        }
        Ok(Task { kind, prompt, model, permissions })
    }

    fn permission(&self, kind: Kind, word: String) -> Result<String, UsageError> {
        let known = self.known_permissions;
        if known.is_empty() || known.contains(&word.as_str()) {
            return Ok(word);
        }
        Err(UsageError {
            message: format!("{} knows no approval policy {word:?}", kind.name()),
            hint: Some(format!("known are {}", known.join(", "))),
        })
    }
}

/// Says how to have an option that means nothing here all the same.
fn means_nothing(kind: Kind, flag: &str) -> UsageError {
    let name = kind.name();
    UsageError {
        message: format!("`{flag}` of {name} means nothing to a run"),
        hint: Some(format!(
            "`handoff --agent none -- {name} …` runs {name} as a plain command, with all its options"
        )),
    }
}

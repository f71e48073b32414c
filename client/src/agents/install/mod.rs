//! Makes `handoff` known in an agent's own interface: a command or skill, and a hook that is asked
//! about every prompt; and takes all of it away again.
//!
//! The files are the agent's and its user's: what is not ours keeps its bytes, and a file that cannot
//! be read is refused, never replaced. Doing it again changes nothing but what is out of date.

mod edit;
mod error;
mod hooks;
mod json_text;
mod place;
mod record;
mod texts;
mod trust;
mod words;

use std::path::{Path, PathBuf};

use super::Kind;
use super::hook;
use crate::settings::{FileLock, Places, create_private_directory, write_private};
use edit::Edit;
pub use error::InstallError;
use record::{Part, Placed, Record, hash};
use texts::{Kept, Texts, placed, take_back};

/// What uninstalling did.
#[derive(Debug, Default)]
pub struct Uninstalled {
    /// What was done, line by line.
    pub done: Vec<String>,
    /// What could not be taken away, and why.
    pub stuck: Vec<InstallError>,
}

/// An agent's files, and how our program is run.
#[derive(Clone, Debug)]
pub struct Installation {
    interface: Kind,
    directory: PathBuf,
    command: String,
    /// Where we remember what was changed.
    memory: PathBuf,
}

impl Installation {
    /// Of this program in the directory that the environment names.
    ///
    /// # Errors
    ///
    /// Where there is no such directory.
    pub fn of_this_program(interface: Kind, places: &Places) -> Result<Self, InstallError> {
        let program = std::env::current_exe().map_err(InstallError::Program)?;
        let directory = interface.place().ok_or(InstallError::NoHome)?;
        Self::new(interface, &directory, &program, places)
    }

    fn new(
        interface: Kind,
        directory: &Path,
        program: &Path,
        places: &Places,
    ) -> Result<Self, InstallError> {
        let missing = || InstallError::NoDirectory { interface, path: directory.to_owned() };
        if !directory.is_dir() {
            return Err(missing());
        }
        let directory = match std::env::var_os(interface.directory_variable()) {
            // As the agents do: only a path that is set is resolved.
            Some(_) => directory.canonicalize().map_err(|_| missing())?,
            None => directory.to_owned(),
        };
        let text = |path: &Path| {
            path.to_str().map(str::to_owned).ok_or_else(|| InstallError::Name { path: path.into() })
        };
        text(&directory)?;
        let command = format!("{} {} {}", quoted(&text(program)?), hook::WORD, interface.name());
        // Each directory has its own: who has two of an agent may install in both.
        let hash = blake3::hash(directory.as_os_str().as_encoded_bytes()).to_hex();
        let memory = format!("{}-{}.json", interface.name(), &hash[..16]);
        let memory = places.installed().join(memory);
        Ok(Self { interface, directory, command, memory })
    }

    /// Installs it; returns what was done.
    ///
    /// # Errors
    ///
    /// Where a file cannot be read, cannot take our part or cannot be written; nothing is changed
    /// then, but for the last.
    pub fn install(&self) -> Result<Vec<String>, InstallError> {
        let _lock = self.lock()?;
        let old = self.recall()?;
        let mut texts = Texts::default();
        if self.interface == Kind::Codex && self.is_trusted(&mut texts)? {
            return Ok(Vec::new());
        }
        if let Some(error) = take_back(&old, &mut texts).stuck.into_iter().next() {
            return Err(error);
        }
        let mut record = Record { files: Vec::new(), directories: old.directories.clone() };
        self.place_words(&old, &mut texts, &mut record)?;
        let hooks = self.place_hook(&mut texts, &mut record)?;
        if self.interface == Kind::Codex {
            self.place_trust(&hooks, &mut texts, &mut record)?;
        }
        for placed in &record.files {
            let parent = placed.path.parent().unwrap_or(&self.directory);
            let missing = place::missing_directories(parent);
            record.directories.extend(missing);
        }
        // First of all, so that whatever happens can be taken back.
        self.remember(&record)?;
        for directory in &record.directories {
            if !directory.exists() {
                let write = |source| InstallError::Write { path: directory.clone(), source };
                std::fs::create_dir(directory).map_err(write)?;
            }
        }
        let mut done = texts.write()?;
        if texts.value(&hooks)?.as_ref().is_some_and(|text| are_hooks_off(text)) {
            done.push(format!(
                "{} turns all hooks off: without `disableAllHooks` there it works",
                hooks.display()
            ));
        }
        Ok(done)
    }

    /// Takes it away; returns what was done, nothing if it was not installed, and what could not be
    /// taken away: that stays on record, so that doing it again takes away the rest.
    ///
    /// # Errors
    ///
    /// Where what was installed cannot be told, or that cannot be written down.
    pub fn uninstall(&self) -> Result<Uninstalled, InstallError> {
        let _lock = self.lock()?;
        let record = self.recall()?;
        let mut texts = Texts::default();
        let Kept { left, mut stuck } = take_back(&record, &mut texts);
        let (mut done, failed) = texts.write_all();
        stuck.extend(failed);
        for path in left {
            done.push(format!("left {}, which was changed since", path.display()));
        }
        for directory in record.directories.iter().rev() {
            // It stays if there is something else in it.
            drop(std::fs::remove_dir(directory));
        }
        if stuck.is_empty() {
            let write = |source| InstallError::Write { path: self.memory.clone(), source };
            place::remove(&self.memory).map_err(write)?;
        } else {
            let is_stuck = |placed: &Placed| {
                stuck.iter().any(|error| error.path() == Some(placed.path.as_path()))
            };
            let files = record.files.into_iter().filter(is_stuck).collect();
            self.remember(&Record { files, directories: record.directories })?;
        }
        Ok(Uninstalled { done, stuck })
    }

    /// What to type from now on.
    #[must_use]
    pub fn how_to_use(&self) -> String {
        let word = match self.interface {
            Kind::Claude => "/handoff",
            Kind::Codex => "$handoff",
        };
        let title = self.interface.title();
        format!("in {title}, from its next start on: `{word} PROMPT` or `& PROMPT`")
    }

    /// The command or skill.
    fn place_words(
        &self,
        old: &Record,
        texts: &mut Texts,
        record: &mut Record,
    ) -> Result<(), InstallError> {
        let (path, content) = words::file(self.interface);
        let path = self.directory.join(path);
        let text = texts.value(&path)?;
        match text.as_deref() {
            None => {}
            Some(text) if text == content => {}
            // Its user has other words for it.
            Some(_) => match old.files.iter().find(|placed| placed.path == path) {
                Some(placed) => {
                    record.files.push(placed.clone());
                    return Ok(());
                }
                None => return Err(InstallError::Taken { path }),
            },
        }
        let edit = Edit { at: 0, removed: String::new(), inserted: content.to_owned() };
        *text = Some(content.to_owned());
        let after = hash(content);
        record.files.push(Placed { path, part: Part::Whole, created: true, edit, after });
        Ok(())
    }

    /// The hook; returns the file.
    fn place_hook(&self, texts: &mut Texts, record: &mut Record) -> Result<PathBuf, InstallError> {
        let path = self.directory.join(match self.interface {
            Kind::Claude => "settings.json",
            Kind::Codex => "hooks.json",
        });
        let text = texts.value(&path)?;
        let added = hooks::add(text.as_deref().unwrap_or_default(), &self.command)
            .map_err(|error| InstallError::hooks(path.clone(), error))?;
        let (edit, made) = match added {
            Some(added) => (Some(added.edit), added.made),
            None => (None, 0),
        };
        let part = Part::Hook { command: self.command.clone(), made };
        record.files.push(placed(&path, part, edit, text));
        Ok(path)
    }

    /// The trust that Codex wants for a hook.
    fn place_trust(
        &self,
        hooks: &Path,
        texts: &mut Texts,
        record: &mut Record,
    ) -> Result<(), InstallError> {
        let document = texts.value(hooks)?.as_deref().map(serde_json::from_str);
        let position = document
            .and_then(Result::ok)
            .and_then(|document| hooks::position(&document, &self.command));
        let key = trust::key(&hooks.to_string_lossy(), position.unwrap_or_default());
        let path = self.directory.join("config.toml");
        let text = texts.value(&path)?;
        let trusted = trust::hash(&self.command);
        let edit = trust::add(text.as_deref().unwrap_or_default(), &key, &trusted)
            .map_err(|error| InstallError::trust(path.clone(), &error))?;
        record.files.push(placed(&path, Part::Trust { key }, edit, text));
        Ok(())
    }

    /// Whether all of it is in place: Codex knows hooks by their numbers, so that moving ours would
    /// cost those behind it the trust of their user.
    fn is_trusted(&self, texts: &mut Texts) -> Result<bool, InstallError> {
        let hooks = self.directory.join("hooks.json");
        let document = texts.value(&hooks)?.as_deref().map(serde_json::from_str);
        let position = document
            .and_then(Result::ok)
            .and_then(|document| hooks::position(&document, &self.command));
        let Some(position) = position else { return Ok(false) };
        let key = trust::key(&hooks.to_string_lossy(), position);
        let settings = texts.value(&self.directory.join("config.toml"))?.clone();
        let trusted =
            trust::add(settings.as_deref().unwrap_or_default(), &key, &trust::hash(&self.command));
        let (words, _) = words::file(self.interface);
        Ok(matches!(trusted, Ok(None)) && texts.value(&self.directory.join(words))?.is_some())
    }

    fn lock(&self) -> Result<FileLock, InstallError> {
        let directory = self.memory.parent().unwrap_or(&self.memory);
        let path = directory.join("lock");
        let write = |source| InstallError::Write { path: path.clone(), source };
        create_private_directory(directory).map_err(write)?;
        FileLock::acquire(&path).map_err(write)
    }

    fn recall(&self) -> Result<Record, InstallError> {
        let read = |source| InstallError::Read { path: self.memory.clone(), source };
        match place::read(&self.memory).map_err(read)? {
            Some(text) => serde_json::from_str(&text).map_err(|error| read(error.into())),
            None => Ok(Record::default()),
        }
    }

    fn remember(&self, record: &Record) -> Result<(), InstallError> {
        let write = |source| InstallError::Write { path: self.memory.clone(), source };
        let text = serde_json::to_vec_pretty(record).map_err(|error| write(error.into()))?;
        write_private(&self.memory, &text).map_err(write)
    }
}

fn are_hooks_off(settings: &str) -> bool {
    serde_json::from_str(settings)
        .is_ok_and(|settings: serde_json::Value| settings["disableAllHooks"] == true)
}

/// A word for the shell that agents run hooks with.
fn quoted(word: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+@,".contains(&byte);
    if word.bytes().all(is_plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests;

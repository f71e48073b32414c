//! The files that installing is about: as they are, as they are to be, and what of them is ours.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::edit::Edit;
use super::error::InstallError;
use super::hooks::{self, Owner};
use super::record::{Part, Placed, Record, Without, hash};
use super::{place, trust};

/// Files as they are, and as they are to be.
#[derive(Debug, Default)]
pub(super) struct Texts(BTreeMap<PathBuf, (Option<String>, Option<String>)>);

impl Texts {
    /// What a file is to hold; at first, what it holds.
    pub(super) fn value(&mut self, path: &Path) -> Result<&mut Option<String>, InstallError> {
        if !self.0.contains_key(path) {
            let read = |source| InstallError::Read { path: path.to_owned(), source };
            let text = place::read(path).map_err(read)?;
            self.0.insert(path.to_owned(), (text.clone(), text));
        }
        Ok(&mut self.0.entry(path.to_owned()).or_default().1)
    }

    /// Writes what is to be different, up to what cannot be written; returns what was done.
    pub(super) fn write(&self) -> Result<Vec<String>, InstallError> {
        let done = self.0.keys().map(|path| self.write_one(path));
        done.filter_map(Result::transpose).collect()
    }

    /// The same, whatever cannot be written; that comes second.
    pub(super) fn write_all(&self) -> (Vec<String>, Vec<InstallError>) {
        let (mut done, mut failed) = (Vec::new(), Vec::new());
        for path in self.0.keys() {
            match self.write_one(path) {
                Ok(line) => done.extend(line),
                Err(error) => failed.push(error),
            }
        }
        (done, failed)
    }

    fn write_one(&self, path: &Path) -> Result<Option<String>, InstallError> {
        let write = |source| InstallError::Write { path: path.to_owned(), source };
        let verb = match self.0.get(path) {
            Some((before, now)) if before == now => return Ok(None),
            None => return Ok(None),
            Some((_, None)) => {
                place::remove(path).map_err(write)?;
                "removed"
            }
            Some((before, Some(text))) => {
                place::write(path, text).map_err(write)?;
                if before.is_some() { "changed" } else { "wrote" }
            }
        };
        Ok(Some(format!("{verb} {}", path.display())))
    }
}

/// Makes the change in the text and describes it; without a change our part was there already.
pub(super) fn placed(
    path: &Path,
    part: Part,
    edit: Option<Edit>,
    text: &mut Option<String>,
) -> Placed {
    let created = text.is_none();
    let nothing = Edit { at: 0, removed: String::new(), inserted: String::new() };
    let (edit, after) = match edit {
        Some(edit) => {
            let with = edit.apply(text.as_deref().unwrap_or_default()).unwrap_or_default();
            let after = hash(&with);
            *text = Some(with);
            (edit, after)
        }
        None => (nothing, String::new()),
    };
    Placed { path: path.to_owned(), part, created, edit, after }
}

/// What of a record is not taken out of the texts.
#[derive(Debug, Default)]
pub(super) struct Kept {
    /// Files that are their user's by now.
    pub(super) left: Vec<PathBuf>,
    /// What must go and cannot, and why; behind that, what goes only with it.
    pub(super) stuck: Vec<InstallError>,
}

/// Takes everything of a record out of the texts, as far as that is possible.
pub(super) fn take_back(record: &Record, texts: &mut Texts) -> Kept {
    let mut kept = Kept::default();
    for placed in record.files.iter().rev() {
        // Hooks behind ours lose their trust unless it moves with them.
        if matches!(placed.part, Part::Hook { .. }) && !kept.stuck.is_empty() {
            kept.stuck.push(InstallError::Waits { path: placed.path.clone() });
            continue;
        }
        let text = match texts.value(&placed.path) {
            Ok(text) => text,
            Err(error) => {
                kept.stuck.push(error);
                continue;
            }
        };
        let before = text.clone();
        match text.as_deref().map(|text| placed.take_back(text)) {
            None => {}
            Some(Without::Nothing) => *text = None,
            Some(Without::Text(left)) => *text = Some(left),
            Some(Without::Mixed) if placed.part.must_go() => {
                kept.stuck.push(InstallError::Mixed { path: placed.path.clone() });
            }
            Some(Without::Mixed) => kept.left.push(placed.path.clone()),
        }
        if let (Part::Hook { command, .. }, Some(before)) = (&placed.part, before) {
            let after = text.clone().unwrap_or_default();
            kept.stuck.extend(move_trust(record, texts, command, (&before, &after)).err());
        }
    }
    kept
}

/// Has hooks that were behind ours trusted where they are now. Only Codex knows hooks by their place.
fn move_trust(
    record: &Record,
    texts: &mut Texts,
    command: &str,
    (before, after): (&str, &str),
) -> Result<(), InstallError> {
    let trust = record.files.iter().find_map(|placed| match &placed.part {
        Part::Trust { key } => Some((placed, trust::file_of(key)?)),
        Part::Whole | Part::Hook { .. } => None,
    });
    let Some((placed, hooks)) = trust else { return Ok(()) };
    let others = |text: &str| {
        let mut positions = hooks::positions(text, command);
        positions.retain(|(_, owner)| *owner == Owner::Others);
        positions.into_iter().map(|(at, _)| trust::key(hooks, at))
    };
    let moves: Vec<_> = others(before).zip(others(after)).filter(|(from, to)| from != to).collect();
    let text = texts.value(&placed.path)?;
    let Some(now) = text.as_deref().filter(|_| !moves.is_empty()) else { return Ok(()) };
    // Written by hand in some other way, it is for its user to move: Codex asks about it.
    if let Some(moved) = trust::moved(now, &moves) {
        *text = Some(moved);
    }
    Ok(())
}

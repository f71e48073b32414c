//! The files that installing is about: as they are, as they are to be, and what of them is ours.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::edit::Edit;
use super::error::InstallError;
use super::place;
use super::record::{Part, Placed, Record, Without, hash};

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

    /// Writes what is to be different; returns what was done.
    pub(super) fn write(&self) -> Result<Vec<String>, InstallError> {
        let mut done = Vec::new();
        for (path, (before, now)) in &self.0 {
            let write = |source| InstallError::Write { path: path.clone(), source };
            let verb = match (before, now) {
                (before, now) if before == now => continue,
                (_, None) => {
                    place::remove(path).map_err(write)?;
                    "removed"
                }
                (before, Some(text)) => {
                    place::write(path, text).map_err(write)?;
                    if before.is_some() { "changed" } else { "wrote" }
                }
            };
            done.push(format!("{verb} {}", path.display()));
        }
        Ok(done)
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

/// Takes everything of a record out of the texts; returns the files that ours cannot be taken out of.
pub(super) fn take_back(record: &Record, texts: &mut Texts) -> Result<Vec<PathBuf>, InstallError> {
    let mut mixed = Vec::new();
    for placed in record.files.iter().rev() {
        let text = texts.value(&placed.path)?;
        match text.as_deref().map(|text| placed.take_back(text)) {
            None => {}
            Some(Without::Nothing) => *text = None,
            Some(Without::Text(left)) => *text = Some(left),
            Some(Without::Mixed) => mixed.push(placed.path.clone()),
        }
    }
    Ok(mixed)
}

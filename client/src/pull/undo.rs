//! Restores the state before the last pull, and cleans up after one that was cut off.
//!
//! Looks at everything first: what somebody changed since is named, and nothing is touched.

use std::os::fd::AsFd as _;

use handoff_proto::tree::FileError;

use super::apply::{ApplyError, Watch, put_back};
use super::elsewhere;
use super::journal::{Entry, Journal, Phase, Place, Record, Side};
use super::repository;
use super::root::Root;
use super::tree::{is_halfway, is_in_state, stranger_in_the_way};

/// What was undone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Undone {
    /// The run's id.
    pub run: String,
    /// Its name.
    pub name: String,
    /// Where its result was.
    pub place: Place,
    /// Whether the pull had come to its end.
    pub phase: Phase,
    /// How many paths were restored.
    pub paths: usize,
}

/// Why nothing was undone.
#[derive(Debug, thiserror::Error)]
pub enum UndoError {
    /// There is no pull to undo.
    #[error("there is no pull to undo in this directory")]
    Nothing,
    /// Things changed since the pull.
    #[error("changed since the pull: {}", list(.0))]
    Changed(Vec<String>),
    /// A path cannot be looked at.
    #[error(transparent)]
    File(#[from] FileError),
    /// The old state could not be put back.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// A directory of its own could not be removed.
    #[error(transparent)]
    Elsewhere(#[from] elsewhere::ElsewhereError),
}

impl UndoError {
    /// Whether something in the tree stands in the way, and nothing was changed.
    #[must_use]
    pub fn is_conflict(&self) -> bool {
        match self {
            Self::Changed(_) => true,
            Self::Apply(error) => error.is_conflict(),
            Self::Elsewhere(error) => error.is_conflict(),
            Self::Nothing | Self::File(_) => false,
        }
    }
}

/// Undoes the last pull of the tree.
///
/// # Errors
///
/// Where there is none, or something changed since.
pub fn undo(root: &Root, journal: &Journal, watch: Watch<'_>) -> Result<Undone, UndoError> {
    let (entry, record) = journal.last().map_err(ApplyError::from)?.ok_or(UndoError::Nothing)?;
    restore(root, &entry, &record, watch)?;
    Ok(Undone {
        paths: record.tree.len(),
        run: record.run,
        name: record.name,
        place: record.place,
        phase: record.phase,
    })
}

/// Puts back what a pull that was cut off had begun; whether there was one.
///
/// # Errors
///
/// Where something changed since.
pub fn recover(root: &Root, journal: &Journal) -> Result<bool, UndoError> {
    match journal.last().map_err(ApplyError::from)? {
        Some((entry, record)) if record.phase == Phase::Unfinished => {
            restore(root, &entry, &record, &mut |_| {})?;
            Ok(true)
        }
        Some(_) | None => Ok(false),
    }
}

fn restore(root: &Root, entry: &Entry, record: &Record, watch: Watch<'_>) -> Result<(), UndoError> {
    if let Place::Elsewhere { .. } = record.place {
        return Ok(elsewhere::remove(root, entry, record)?);
    }
    let changed = changed_since(root, record)?;
    if changed.is_empty() {
        Ok(put_back(root, record, entry, watch)?)
    } else {
        Err(UndoError::Changed(changed))
    }
}

/// What is in neither of the two states that the record knows.
fn changed_since(root: &Root, record: &Record) -> Result<Vec<String>, UndoError> {
    let handle = root.handle().as_fd();
    let mut changed = Vec::new();
    for step in &record.tree {
        let path = &step.path.0;
        let known = is_in_state(handle, path, step.after.as_ref())?
            || is_in_state(handle, path, step.before.as_ref())?
            || (record.phase == Phase::Unfinished && is_halfway(handle, step)?);
        if !known {
            changed.push(format!("`{path}`"));
        }
    }
    let stranger = stranger_in_the_way(handle, record, Side::Before).map_err(ApplyError::from)?;
    changed.extend(stranger.map(|path| format!("`{path}`")));
    for steps in &record.repositories {
        let path = steps.path.as_ref().map(|path| &path.0);
        let at = path.map_or_else(|| ".".to_owned(), ToString::to_string);
        let strange = match repository::open(root.path(), path).map_err(ApplyError::from)? {
            Some(git) => repository::strange_state(&git, steps).map_err(ApplyError::from)?,
            None => vec!["the repository".to_owned()],
        };
        changed.extend(strange.into_iter().map(|what| format!("{what} of `{at}`")));
    }
    Ok(changed)
}

/// The first few of many things.
fn list(what: &[String]) -> String {
    const SHOWN_MAX: usize = 20;
    let shown = what.iter().take(SHOWN_MAX).cloned().collect::<Vec<_>>().join(", ");
    match what.len().checked_sub(SHOWN_MAX) {
        None | Some(0) => shown,
        Some(more) => format!("{shown} and {more} more"),
    }
}

//! What belongs to a session beside its transcript.

use std::fs;
use std::io;
use std::path::Path;

use handoff_proto::manifest::Entry;

use super::lines::{From, common, takes_next};
use super::place::{Here, Waiting};
use super::{Import, ImportError, Part};
use crate::agents::renames::Renames;
use crate::pull::chunks::Chunks;

/// Writes everything but transcripts beside its place. What is here is only ever added to, but for
/// the todo list, which is what the session says it is, and a plan that is here as it left.
pub(super) fn write_beside(
    import: &Import<'_>,
    chunks: &Chunks,
    renames: &Renames,
    left_out: &mut Vec<String>,
) -> Result<Vec<Waiting>, ImportError> {
    let mut waiting = Vec::new();
    for (file, part) in &import.sorted.parts {
        let path = import.path(&file.path, renames);
        let content = || chunks.reader(file.chunks());
        let unread = |source| ImportError::Read { path: path.clone(), source };
        let here = Here::open(&path)?;
        if let Some(here) = &here {
            let from = From::new(&here.file, 0);
            let common = common(content(), from, ImportError::Content, unread)?;
            if common == here.len && common == file.size() {
                continue;
            }
            // A plan that is here as it left is what the run went on with.
            let left_so = || match import.sorted.sent(&file.path) {
                Some(sent) if *part == Part::Shared && renames.is_empty() => {
                    is_content(&path, sent)
                }
                Some(_) | None => Ok(false),
            };
            if *part != Part::List && common < here.len && !left_so()? {
                left_out.push(format!("{}: it is another file here", file.path));
                continue;
            }
        }
        waiting.push(Waiting::write(&path, here.map(|here| here.mark), |into| {
            io::copy(&mut content(), into).map_err(ImportError::Content)?;
            Ok(())
        })?);
    }
    Ok(waiting)
}

/// What the run took off its todo list does not come back by staying here.
pub(super) fn remove_gone(import: &Import<'_>, renames: &Renames) -> Result<(), ImportError> {
    for gone in import.sorted.gone() {
        let path = import.path(&gone.path, renames);
        if is_content(&path, gone)? {
            fs::remove_file(&path)
                .map_err(|source| ImportError::Write { path: path.clone(), source })?;
        }
    }
    Ok(())
}

/// Whether there is a file that holds just this.
fn is_content(path: &Path, file: &Entry) -> Result<bool, ImportError> {
    let Some(here) = Here::open(path)? else { return Ok(false) };
    let mut from = From::new(&here.file, 0);
    let mut part = Vec::new();
    for chunk in file.chunks() {
        let is_next = takes_next(&mut from, chunk, &mut part);
        if !is_next.map_err(|source| ImportError::Read { path: path.to_owned(), source })? {
            return Ok(false);
        }
    }
    Ok(here.len == file.size())
}

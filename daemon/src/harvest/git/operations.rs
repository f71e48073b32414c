//! Operations in progress, as object ids.

use handoff_proto::manifest::{Limits, Oid, Operation};
use handoff_proto::tree::MetaKind;

use super::{GitDirectory, GitError};

/// A thousand heads of an octopus merge, with room for comments.
const HEADS_FILE_MAX: u64 = 128 * 1024;

/// Reads which operations have begun and not finished, sorted.
pub(super) fn read(directory: GitDirectory<'_>) -> Result<Vec<(Operation, Vec<Oid>)>, GitError> {
    let mut found = Vec::new();
    for operation in Operation::ALL {
        let heads = heads(directory, operation)?;
        let is_in_progress = match operation {
            Operation::Merge | Operation::CherryPick | Operation::Revert => heads.is_some(),
            Operation::Rebase => {
                is_there(directory, b"rebase-merge", MetaKind::Directory)?
                    || is_there(directory, b"rebase-apply", MetaKind::Directory)?
            }
            Operation::Bisect => is_there(directory, b"BISECT_LOG", MetaKind::File)?,
        };
        if is_in_progress {
            found.push((operation, heads.unwrap_or_default()));
        }
    }
    Ok(found)
}

fn heads(directory: GitDirectory<'_>, operation: Operation) -> Result<Option<Vec<Oid>>, GitError> {
    let Some(name) = operation.head_file() else { return Ok(None) };
    let Some(content) = directory.read(name.as_bytes(), HEADS_FILE_MAX)? else { return Ok(None) };
    let heads = directory
        .oids(&content)
        .ok_or_else(|| directory.odd(name.as_bytes(), "holds no object ids"))?;
    let limit = Limits::DEFAULT.heads_max;
    if heads.len() > limit {
        return Err(GitError::TooMany { what: "heads of one operation", limit });
    }
    Ok(Some(heads))
}

fn is_there(directory: GitDirectory<'_>, name: &[u8], kind: MetaKind) -> Result<bool, GitError> {
    Ok(directory.lstat(name)?.is_some_and(|meta| meta.kind == kind))
}

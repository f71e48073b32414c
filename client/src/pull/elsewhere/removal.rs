//! Removes a result from its directory again.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use handoff_proto::manifest::{Entry as TreeEntry, Limits, ResultManifest, index_digest};
use handoff_proto::path::TreePath;

use super::{ElsewhereError, at};
use crate::pull::git::RefUpdate;
use crate::pull::journal::{Entry, Phase, Place, Record};
use crate::pull::prepare::{PrepareError, keep_node};
use crate::pull::repository;
use crate::pull::root::Root;
use crate::pull::strangers::{find_stranger, names};

/// Removes what [`put_elsewhere`](super::put_elsewhere) made, if nobody has changed it since.
///
/// # Errors
///
/// Where somebody has, or it cannot be removed.
pub fn remove(root: &Root, entry: &Entry, record: &Record) -> Result<(), ElsewhereError> {
    let Place::Elsewhere { path, worktree } = &record.place else { return Ok(()) };
    let destination = Path::new(OsStr::from_bytes(&path.0));
    if destination.symlink_metadata().is_ok() {
        let encoded = fs::read(entry.result()).map_err(at(&entry.result()))?;
        let result = ResultManifest::decode(&encoded, &Limits::DEFAULT)?;
        check_untouched(destination, &result, record)?;
    }
    for steps in record.repositories.iter().rev() {
        let at = steps.path.as_ref().map(|path| &path.0);
        let Some(git) = repository::open(root.path(), at)? else { continue };
        let tree = at.map_or(destination.to_owned(), |at| destination.join(at.as_os_path()));
        if tree.join(".git").symlink_metadata().is_ok() && (*worktree || at.is_some()) {
            git.remove_worktree(&tree)?;
        }
        let mut updates = Vec::new();
        for step in &steps.refs {
            let now = git.ref_value(&step.name.0)?;
            if now.is_some() && now == step.after.as_ref().map(|oid| oid.0) {
                let before = step.before.as_ref().map(|oid| oid.0);
                updates.push(RefUpdate { target: step.name.0.clone(), before: now, after: before });
            }
        }
        git.prepare_refs(&updates, &format!("handoff undo: {}", record.name))?.commit()?;
    }
    match fs::remove_dir_all(destination) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(at(destination)(error));
        }
        Ok(()) | Err(_) => {}
    }
    Ok(entry.discard()?)
}

/// Refuses to remove what somebody has worked on. A pull that was cut off may lack files, but
/// nothing in its directory may be unknown.
fn check_untouched(
    destination: &Path,
    result: &ResultManifest,
    record: &Record,
) -> Result<(), ElsewhereError> {
    let changed = |what: String| ElsewhereError::Changed { path: destination.to_owned(), what };
    let root = Root::open_path(destination).map_err(|error| changed(error.to_string()))?;
    let handle = root.handle().as_fd();
    let is_git_file = |path: &TreePath| {
        path.file_name() == b".git" && {
            let at = path.parent();
            record.repositories.iter().any(|steps| steps.path.as_ref().map(|p| &p.0) == at.as_ref())
        }
    };
    let known = |path: &TreePath| is_git_file(path) || result.entry(path).is_some();
    for name in names(handle, None).map_err(at(destination))? {
        let Ok(path) = TreePath::parse(&name) else { continue };
        if !known(&path) {
            return Err(changed(format!("`{path}` is new")));
        }
        let is_directory = result.entry(&path).is_some_and(TreeEntry::is_directory);
        if is_directory
            && let Some(found) = find_stranger(handle, &path, &known).map_err(at(destination))?
        {
            return Err(changed(format!("`{found}` is new")));
        }
    }
    if record.phase == Phase::Unfinished {
        return Ok(());
    }
    for entry in &result.entries {
        match keep_node(handle, entry, None) {
            Ok(_) => {}
            Err(PrepareError::Changed(path)) => return Err(changed(format!("`{path}`"))),
            Err(error) => return Err(changed(error.to_string())),
        }
    }
    for repository in &result.repositories {
        let at = repository.path.as_ref();
        if !record.repositories.iter().any(|steps| steps.path.as_ref().map(|p| &p.0) == at) {
            continue;
        }
        let Some(git) = repository::open(destination, at)? else { continue };
        if git.head()?.oid() != repository.head.oid() {
            return Err(changed("HEAD".to_owned()));
        }
        if index_digest(&git.staged()?) != index_digest(&repository.index) {
            return Err(changed("the index".to_owned()));
        }
    }
    Ok(())
}

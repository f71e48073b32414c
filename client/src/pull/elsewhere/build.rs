//! Writes a result into its directory.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use handoff_proto::manifest::{
    Entry as TreeEntry, Kind, Oid, Operation, RefName, RepositoryResult,
};
use handoff_proto::path::TreePath;
use handoff_proto::tree::{FileError, Writer};

use super::source::RepositorySource;
use super::{ElsewhereError, Manifests, at};
use crate::pull::chunks::Chunks;
use crate::pull::git::{Git, GitFile, RefTarget, RefUpdate, merge_head};
use crate::pull::journal::{Entry, Side};
use crate::pull::plan::RefChange;

/// Writes everything. The order lets each working tree be made in a directory that is empty.
pub(super) fn build(
    destination: &Path,
    manifests: Manifests<'_>,
    branch: &RefName,
    chunks: &Chunks,
    sources: Vec<RepositorySource<'_>>,
    entry: &Entry,
) -> Result<(), ElsewhereError> {
    let why = "handoff pull";
    let mut waiting = Vec::new();
    for source in sources {
        source.incoming.keep()?;
        let update = |change: &RefChange| RefUpdate {
            target: RefTarget::Named(change.name.clone()),
            before: change.before,
            after: Some(change.after),
        };
        let updates: Vec<RefUpdate> = source.refs.iter().map(update).collect();
        source.git.prepare_refs(&updates, why)?.commit()?;
        waiting.push((source.git, source.result));
    }
    let mut made = Vec::new();
    let mut add = |path: Option<&TreePath>, tree: &Path| -> Result<(), ElsewhereError> {
        if let Some((git, result)) = waiting.iter().find(|(_, result)| result.path.as_ref() == path)
        {
            made.push((git.add_worktree(tree, branch, result.head.oid())?, *result));
        }
        Ok(())
    };
    add(None, destination)?;
    fs::create_dir_all(destination).map_err(at(destination))?;
    let mut writer = Writer::open(destination, None)?;
    writer.root_directory(manifests.base.root_mode, manifests.base.root_mtime);
    for directory in manifests.result.entries.iter().filter(|entry| entry.is_directory()) {
        writer.directory(&directory.path, directory.mode, directory.mtime)?;
        add(Some(&directory.path), &destination.join(directory.path.as_os_path()))?;
    }
    for file in &manifests.result.entries {
        write_file(&mut writer, file, chunks)?;
    }
    writer.finish()?;
    for (number, (git, result)) in made.iter().enumerate() {
        finish_repository(git, result, entry, number)?;
    }
    Ok(())
}

fn write_file(writer: &mut Writer, entry: &TreeEntry, chunks: &Chunks) -> Result<(), FileError> {
    match &entry.kind {
        Kind::Directory => {}
        Kind::Symlink { target } => writer.symlink(&entry.path, target, entry.mtime),
        Kind::File { chunks: content, .. } => {
            let mut reader = chunks.reader(content);
            writer.file(&entry.path, entry.mode, entry.mtime, &mut reader)?;
        }
    }
    Ok(())
}

/// Stages what the run had staged and notes what it had in progress.
fn finish_repository(
    git: &Git,
    result: &RepositoryResult,
    entry: &Entry,
    number: usize,
) -> Result<(), ElsewhereError> {
    let [old, new] = [Side::Before, Side::After].map(|side| entry.index(number, side));
    git.build_index(Some(&result.index), &BTreeSet::new(), &old, &new)?;
    git.lock_index(None, &new)?.swap()?;
    let mut updates = Vec::new();
    for (operation, heads) in &result.in_progress {
        match operation {
            Operation::Merge => git.write_file(GitFile::MergeHead, Some(&merge_head(heads)))?,
            Operation::CherryPick | Operation::Revert => {
                let target = operation.head_file().map(RefTarget::Pseudo);
                let head: Option<Oid> = heads.first().copied();
                updates.extend(target.zip(head).map(|(target, head)| RefUpdate {
                    target,
                    before: None,
                    after: Some(head),
                }));
            }
            Operation::Rebase | Operation::Bisect => {}
        }
    }
    Ok(git.prepare_refs(&updates, "handoff pull")?.commit()?)
}

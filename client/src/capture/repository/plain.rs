//! Reads a plain repository's files by ourselves.

use std::path::Path;

use handoff_proto::manifest::{Head, RepositoryState, index_digest};
use handoff_proto::tree::TrackedPaths;

use crate::capture::git::Git;
use crate::index_file::IndexFile;

use super::refs::{self, Content, References};
use super::settings::{self, Plain};
use super::witness::Witnesses;
use super::{
    LocalRepository, RecallDigest, RepositoryError, SeenIndex, Snapshot, Way, read_if_any,
};

/// As [`LocalRepository::open`]; `None` to ask git.
pub(super) fn open(worktree: &Path) -> Option<LocalRepository> {
    let Plain { git_dir, common_dir, object_format, ignore_case } = settings::plain(worktree)?;
    let way = Way::Files { ignore_case };
    Some(LocalRepository { git: Git::new(worktree), object_format, git_dir, common_dir, way })
}

/// As [`LocalRepository::look`]; `None` to ask git.
pub(super) fn look(
    repository: &LocalRepository,
    recall: &RecallDigest<'_>,
) -> Result<Option<(Snapshot, TrackedPaths)>, RepositoryError> {
    let mut seen = Witnesses::new();
    let Some((head, references)) = references(repository, &mut seen) else {
        return Ok(None);
    };
    let mut unclear = false;
    let in_progress = repository.in_progress(|path| unclear |= seen.note(path).is_none())?;
    let Some((index, tracked)) = index(repository, &mut seen, recall)?.filter(|_| !unclear) else {
        return Ok(None);
    };
    let state = RepositoryState {
        object_format: repository.object_format,
        head,
        refs: references.into_objects(),
        index_digest: index.digest,
        in_progress,
    };
    Ok(Some((Snapshot { state, index, witnesses: Some(seen) }, tracked)))
}

/// HEAD and all references; `None` to ask git.
fn references(repository: &LocalRepository, seen: &mut Witnesses) -> Option<(Head, References)> {
    let LocalRepository { git_dir, common_dir, object_format, .. } = repository;
    let file = git_dir.join("HEAD");
    // In the time of links as HEAD they were read otherwise.
    if !seen.note(&file)??.is_file() {
        return None;
    }
    let head = refs::parse(&std::fs::read(file).ok()?, *object_format)?;
    let references = References::read(git_dir, common_dir, *object_format, seen)?;
    let head = match head {
        Content::Object(oid) => Head::Detached(oid),
        Content::Symbolic(name) => {
            let oid = references.branch(&name)?;
            Head::Branch(name, oid)
        }
    };
    Some((head, references))
}

/// The index and what it tracks; `None` inside to ask git.
fn index(
    repository: &LocalRepository,
    seen: &mut Witnesses,
    recall: &RecallDigest<'_>,
) -> Result<Option<(SeenIndex, TrackedPaths)>, RepositoryError> {
    let path = repository.git_dir.join("index");
    if seen.note(&path).is_none() {
        return Ok(None);
    }
    let Some(bytes) = read_if_any(&path)? else {
        let index = SeenIndex { content: None, size: 0, digest: index_digest(&[]) };
        return Ok(Some((index, TrackedPaths::default())));
    };
    let content = *blake3::hash(&bytes).as_bytes();
    let size = bytes.len() as u64;
    let Some(file) = IndexFile::parse(bytes, repository.object_format) else {
        return Ok(None);
    };
    let digest = recall(&content).or_else(|| file.entries().map(|all| index_digest(&all)));
    let index = |digest| SeenIndex { content: Some(content), size, digest };
    Ok(digest.map(|digest| (index(digest), file.into_tracked())))
}

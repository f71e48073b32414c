//! Finds the settings files of git directories and replaces those that must not be carried as they
//! are.

use std::collections::BTreeSet;
use std::os::fd::AsFd as _;

use handoff_proto::path::TreePath;
use handoff_proto::tree::{Origin, read_regular};

use super::config::{self, Place};
use super::layout::{Item, ItemKind, LayoutError};
use super::source::{Directory, Source};

/// The largest settings file that is looked into, in bytes.
const CONFIG_MAX: u64 = 1 << 20;

/// Replaces the content of settings files that must not be carried as they are.
pub(super) fn redact(
    root: &Directory,
    items: &mut [Item],
    moved: &BTreeSet<TreePath>,
) -> Result<Vec<(TreePath, Vec<String>)>, LayoutError> {
    let mut redacted = Vec::new();
    for at in 0..items.len() {
        if !is_config(items, at) {
            continue;
        }
        let item = &items[at];
        let ItemKind::File { source, .. } = &item.kind else { continue };
        let (directory, path) = match source {
            Source::Tree => (root, &item.path),
            Source::Elsewhere(directory, path) => (&**directory, path),
            Source::Generated(_) | Source::Remote(_) => continue,
        };
        let content =
            read_regular(directory.fd().as_fd(), path, CONFIG_MAX).map_err(LayoutError::Config)?;
        let was_moved = item.path.parent().is_some_and(|parent| moved.contains(&parent));
        let place = if was_moved { Place::Moved } else { Place::Same };
        let on_disk = directory.path().join(path.as_os_path());
        let rewritten = config::rewrite(&on_disk, &content, place)
            .map_err(|source| LayoutError::Secrets { path: on_disk, source })?;
        if let Some(config::Rewritten { content, secrets }) = rewritten {
            if !secrets.is_empty() {
                redacted.push((item.path.clone(), secrets));
            }
            let size = content.len() as u64;
            items[at].kind = ItemKind::File { size, source: Source::Generated(content.into()) };
        }
    }
    Ok(redacted)
}

/// Whether this is the settings file of a git directory rather than, say, a branch of that name.
fn is_config(items: &[Item], at: usize) -> bool {
    let item = &items[at];
    if item.origin != Origin::Git
        || !matches!(item.path.file_name(), b"config" | b"config.worktree")
    {
        return false;
    }
    let head = item.path.parent().and_then(|parent| parent.join(b"HEAD").ok());
    head.is_some_and(|head| items.binary_search_by(|item| item.path.cmp(&head)).is_ok())
}

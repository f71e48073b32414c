//! The rules of a result that need the base, or that git would only notice later.

use handoff_proto::manifest::{Head, Kind, RepositoryResult, ResultManifest, SnapshotManifest};

use super::PlanError;
use crate::pull::unchanged::RepositoryPath;

/// Refuses what decoding lets pass but git would refuse or be misled by.
///
/// # Errors
///
/// Where the result breaks a rule.
pub fn check_result(base: &SnapshotManifest, result: &ResultManifest) -> Result<(), PlanError> {
    for entry in &result.entries {
        let refuse = |why| Err(PlanError::Refused { path: entry.path.clone(), why });
        if entry.path.has_git_component() {
            return refuse("it holds `.git` in some spelling");
        }
        let is_link = matches!(entry.kind, Kind::Symlink { .. });
        let was_there = || base.entry(&entry.path).is_some_and(|old| old.kind == entry.kind);
        if is_link && is_gitmodules(entry.path.file_name()) && !was_there() {
            return refuse("`.gitmodules` must not be a symbolic link");
        }
    }
    for repository in &result.repositories {
        check_repository(repository)?;
    }
    Ok(())
}

/// Refuses a HEAD and index entries that would mislead git.
fn check_repository(result: &RepositoryResult) -> Result<(), PlanError> {
    if let Head::Branch(name, _) = &result.head
        && name.branch().is_none()
    {
        let at = RepositoryPath(result.path.clone());
        return Err(PlanError::Head { at, name: name.clone() });
    }
    for entry in &result.index {
        let refuse = |why| Err(PlanError::Refused { path: entry.path.clone(), why });
        if entry.path.has_git_component() {
            return refuse("the index entry holds `.git` in some spelling");
        }
        if entry.mode == 0o120_000 && is_gitmodules(entry.path.file_name()) {
            return refuse("`.gitmodules` must not be staged as a symbolic link");
        }
    }
    Ok(())
}

/// Whether git takes a name for `.gitmodules` on some file system.
fn is_gitmodules(name: &[u8]) -> bool {
    let folded: String = String::from_utf8_lossy(name)
        .chars()
        .filter(|c| !matches!(c, '\u{200c}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{206a}'..='\u{206f}' | '\u{feff}'))
        .map(|c| c.to_ascii_lowercase())
        .collect();
    let stem = folded.split(':').next().unwrap_or_default().trim_end_matches(['.', ' ']);
    let short = |prefix| stem.strip_prefix(prefix).is_some_and(|n: &str| n.parse::<u8>().is_ok());
    stem == ".gitmodules" || short("gitmod~") || short("gi7eba~")
}

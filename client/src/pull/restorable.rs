//! The files that a conversation which came back may restore.

use std::collections::HashSet;

use handoff_proto::manifest::{Entry, ResultManifest, SnapshotManifest};
use handoff_proto::path::{AbsolutePath, TreePath};

use super::report::Report;
use super::review::without_consent;

/// The files beneath a directory that a conversation may be about to restore: those that travelled or
/// came back, but for what takes consent. Where the result went elsewhere there are none: what the
/// tree holds in their places is the user's own, which may have gone on.
#[must_use]
pub fn restorable(
    report: &Report,
    base: &SnapshotManifest,
    result: &ResultManifest,
    directory: &AbsolutePath,
) -> HashSet<TreePath> {
    if !report.is_in_tree {
        return HashSet::new();
    }
    let root = base.root.as_os_path();
    let beneath = |entry: &Entry| {
        let path = root.join(entry.path.as_os_path());
        let path = path.strip_prefix(directory.as_os_path()).ok()?;
        TreePath::parse(path.as_os_str().as_encoded_bytes()).ok()
    };
    without_consent(base, result).filter_map(beneath).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use handoff_proto::manifest::{Kind, Timestamp, VERSION};

    use super::*;
    use crate::pull::plan::Plan;

    fn entries(paths: &[&str]) -> Vec<Entry> {
        let mut entries: Vec<Entry> = paths
            .iter()
            .map(|path| {
                let kind = match path.strip_suffix('/') {
                    Some(_) => Kind::Directory,
                    None => Kind::File { size: 0, chunks: Vec::new() },
                };
                let path = path.trim_end_matches('/').parse().unwrap();
                Entry { path, mode: 0o755, mtime: Timestamp::default(), kind }
            })
            .collect();
        entries.sort_by(|a, b| a.path.cmp(&b.path));
        entries
    }

    /// What may be restored beneath `directory`.
    fn of(report: &Report, base: &[&str], result: &[&str], directory: &str) -> Vec<String> {
        let base = SnapshotManifest {
            version: VERSION,
            root: "/w".parse().unwrap(),
            root_mode: 0o755,
            root_mtime: Timestamp::default(),
            entries: entries(base),
            repositories: Vec::new(),
            session: None,
        };
        let result = ResultManifest {
            version: VERSION,
            base: base.id(),
            root: base.root.clone(),
            entries: entries(result),
            repositories: Vec::new(),
            new_repositories: Vec::new(),
            session: None,
        };
        let found = restorable(report, &base, &result, &directory.parse().unwrap());
        let mut found: Vec<String> = found.iter().map(ToString::to_string).collect();
        found.sort();
        found
    }

    fn in_tree() -> Report {
        Report::default().in_place(&Plan::default(), Path::new("/w"))
    }

    #[test]
    fn what_travelled_or_came_back_into_the_tree_may_be_restored() {
        let (base, result) = (["a", "d/", "d/b", ".git/", ".git/config"], ["a", "d/", "d/new"]);
        assert_eq!(of(&in_tree(), &base, &result, "/w"), ["a", "d/b", "d/new"]);
        assert_eq!(of(&in_tree(), &base, &result, "/w/d"), ["b", "new"]);
        // Nothing came back into it.
        assert_eq!(of(&Report::default(), &base, &result, "/w"), [""; 0]);
    }

    #[test]
    fn what_takes_consent_is_not_restored() {
        let all = [".envrc", "a", "x/", "x/HEAD", "x/objects/", "x/refs/", "x/config", "x/hooks/"];
        let all = [&all[..], &["x/hooks/pre-commit", "y/", "y/config"]].concat();
        assert_eq!(of(&in_tree(), &[], &all, "/w"), ["a", "y/config"]);
        // One of which each tree holds a part.
        let (one, other) = (["x/", "x/HEAD", "x/objects/"], ["x/", "x/refs/", "x/config"]);
        assert_eq!(of(&in_tree(), &one, &other, "/w"), [""; 0]);
    }
}

//! What a walk carries, leaves out and refuses, case by case.

mod kinds;
mod known;
mod repositories;
mod rules;

use std::fs;
use std::path::Path;

use handoff_proto::tree::{LeftOutReason, Origin, Walk, WalkKind, WalkOptions, walk};

use crate::support::git::Git;

fn write(root: &Path, files: &[&str]) {
    for file in files {
        let path = root.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "content").unwrap();
    }
}

fn rules(root: &Path, file: &str, lines: &str) {
    fs::create_dir_all(root.join(file).parent().unwrap()).unwrap();
    fs::write(root.join(file), lines).unwrap();
}

fn walk_with(root: &Path, options: &WalkOptions<'_>) -> Walk {
    let git = Git::at(root);
    let alone = walk(root, options, &mut |repository| git.tracked_in(repository)).unwrap();
    let options = WalkOptions { threads: 4.try_into().unwrap(), ..options.clone() };
    let shared = walk(root, &options, &mut |repository| git.tracked_in(repository)).unwrap();
    assert_eq!(alone, shared);
    alone
}

fn globs(globs: &[&str]) -> Vec<Vec<u8>> {
    globs.iter().map(|glob| glob.as_bytes().to_vec()).collect()
}

/// The carried paths that are not in a git directory; directories end in a slash.
fn carried(walk: &Walk) -> Vec<String> {
    let outside_git = walk.entries.iter().filter(|entry| entry.origin != Origin::Git);
    outside_git
        .map(|entry| match entry.kind {
            WalkKind::Directory => format!("{}/", entry.path),
            WalkKind::File { .. } | WalkKind::Symlink { .. } => entry.path.to_string(),
        })
        .collect()
}

fn left_out(walk: &Walk) -> Vec<(String, LeftOutReason)> {
    walk.left_out.iter().map(|left| (left.path.to_string(), left.reason)).collect()
}

//! What can be noticed in a directory, to compare before and after.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::World;

impl World {
    /// All that a user could notice in the tree; of git what `git` itself says.
    pub(crate) fn notice(&self, directory: &Path) -> (Picture, Vec<String>) {
        let mut files = Picture::new();
        picture(directory, directory, &mut files, &|path| path == Path::new(".git"));
        if !directory.join(".git").exists() {
            return (files, Vec::new());
        }
        let asks: [&[&str]; 6] = [
            &["for-each-ref", "--format=%(refname) %(objectname)"],
            &["ls-files", "--stage", "-v"],
            &["status", "--porcelain=v2", "--branch", "--ignored"],
            &["diff", "--raw", "--no-abbrev"],
            &["stash", "list"],
            &["config", "--list", "--local"],
        ];
        let mut said: Vec<String> = asks.iter().map(|words| self.git(directory, words)).collect();
        let git_dir = self.git(directory, &["rev-parse", "--absolute-git-dir"]);
        for name in
            ["HEAD", "MERGE_HEAD", "CHERRY_PICK_HEAD", "REVERT_HEAD", "MERGE_MSG", "MERGE_MODE"]
        {
            let content = fs::read_to_string(Path::new(git_dir.trim()).join(name));
            said.push(format!("{name}: {:?}", content.ok()));
        }
        (files, said)
    }

    /// Everything in the home, but what pulling is meant to change.
    pub(crate) fn picture(&self, skip: &dyn Fn(&Path) -> bool) -> Picture {
        let mut found = Picture::new();
        picture(&self.home(), &self.home(), &mut found, skip);
        found
    }
}

/// What a directory holds, byte for byte: mode, content and modification time of each path.
pub(crate) type Picture = BTreeMap<Vec<u8>, (u32, Vec<u8>, Option<i64>)>;

/// Compares what two directories hold and names what differs.
#[track_caller]
pub(crate) fn assert_same(found: &Picture, expected: &Picture, when: &str) {
    let paths: std::collections::BTreeSet<_> = found.keys().chain(expected.keys()).collect();
    let differing: Vec<_> = paths
        .into_iter()
        .filter(|path| found.get(*path) != expected.get(*path))
        .map(|path| {
            let shown = |picture: &Picture| {
                picture.get(path).map(|(mode, content, mtime)| {
                    let content = String::from_utf8_lossy(&content[..content.len().min(60)]);
                    format!("{mode:o} {content:?} {mtime:?}")
                })
            };
            format!(
                "{}: {:?} != {:?}",
                String::from_utf8_lossy(path),
                shown(found),
                shown(expected)
            )
        })
        .collect();
    assert!(differing.is_empty(), "{when}:\n{}", differing.join("\n"));
}

fn picture(root: &Path, directory: &Path, found: &mut Picture, skip: &dyn Fn(&Path) -> bool) {
    for entry in fs::read_dir(directory).unwrap() {
        let full = entry.unwrap().path();
        let relative = full.strip_prefix(root).unwrap();
        if skip(relative) {
            continue;
        }
        let meta = full.symlink_metadata().unwrap();
        let (content, mtime) = if meta.is_dir() {
            picture(root, &full, found, skip);
            (b"directory".to_vec(), None)
        } else if meta.is_symlink() {
            (fs::read_link(&full).unwrap().as_os_str().as_bytes().to_vec(), None)
        } else {
            (fs::read(&full).unwrap(), Some(meta.mtime_nsec() + meta.mtime() * 1_000_000_000))
        };
        found.insert(relative.as_os_str().as_bytes().to_vec(), (meta.mode(), content, mtime));
    }
}

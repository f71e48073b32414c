//! Builds the index from parsed entries.
//!
//! What is staged as before keeps its stat data; for everything else git compares contents the
//! next time that it looks.

mod list;
mod lock;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use handoff_proto::manifest::{IndexEntry, IndexFlags, index_digest};
use handoff_proto::path::TreePath;

pub use self::lock::IndexLock;
use super::{Git, GitError, answer, at, feed};

/// A new index beside the one in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuiltIndex {
    /// [`index_digest`] of the entries in use.
    pub before: [u8; 32],
    /// That of the new ones.
    pub after: [u8; 32],
}

type Staged<'a> = BTreeMap<&'a TreePath, Vec<&'a IndexEntry>>;

impl Git {
    /// The entries of the index in use.
    ///
    /// # Errors
    ///
    /// Where git cannot list them.
    pub fn staged(&self) -> Result<Vec<IndexEntry>, GitError> {
        self.list(&self.index_path()?)
    }

    /// Writes the index in use to `saved` and one with exactly `entries` to `built`.
    ///
    /// The paths in `touched` lose their stat data. `None` as `entries` keeps what is staged. Where
    /// there is no index, `saved` is not written.
    ///
    /// # Errors
    ///
    /// Where git refuses an entry.
    pub fn build_index(
        &self,
        entries: Option<&[IndexEntry]>,
        touched: &BTreeSet<TreePath>,
        saved: &Path,
        built: &Path,
    ) -> Result<BuiltIndex, GitError> {
        let index = self.index_path()?;
        if index.exists() {
            fs::copy(&index, saved).map_err(at(&index))?;
            fs::copy(saved, built).map_err(at(built))?;
        }
        let staged = self.list(built)?;
        let entries = entries.unwrap_or(&staged);
        self.restage(&staged, entries, touched, built)?;
        self.set_flags(entries, built)?;
        let after = self.list(built)?;
        if let Some(path) = first_difference(&after, entries) {
            return Err(GitError::IndexDiffers(path.to_string()));
        }
        Ok(BuiltIndex { before: index_digest(&staged), after: index_digest(entries) })
    }

    pub(super) fn index_path(&self) -> Result<PathBuf, GitError> {
        self.path_of("index")
    }

    /// The entries of this index file; none if it does not exist.
    fn list(&self, index: &Path) -> Result<Vec<IndexEntry>, GitError> {
        if !index.exists() {
            return Ok(Vec::new());
        }
        let output = self.command(&list::WORDS).env("GIT_INDEX_FILE", index).output();
        let listed = answer(&self.worktree, &list::WORDS, output.map_err(GitError::Run)?)?;
        list::parse(&listed).ok_or_else(|| self.senseless(&list::WORDS))
    }

    /// Removes, adds and replaces entries in this index file.
    fn restage(
        &self,
        staged: &[IndexEntry],
        wanted: &[IndexEntry],
        touched: &BTreeSet<TreePath>,
        index: &Path,
    ) -> Result<(), GitError> {
        let none = "0".repeat(2 * self.format.oid_len());
        let (old, new) = (by_path(staged), by_path(wanted));
        let mut lines = Vec::new();
        let differs = |path: &TreePath| !same_content(old.get(path), new.get(path));
        for path in old.keys().filter(|path| differs(path)) {
            line(&mut lines, format_args!("0 {none}"), path);
        }
        let mut intended = Vec::new();
        for (path, entries) in &new {
            let stale =
                touched.contains(*path) && entries.iter().all(|e| e.flags == IndexFlags::NONE);
            if !differs(path) && !stale {
                continue;
            }
            for entry in entries {
                if entry.flags.contains(IndexFlags::INTENT_TO_ADD) {
                    intended.push(*entry);
                } else {
                    let IndexEntry { mode, oid, stage, .. } = entry;
                    line(&mut lines, format_args!("{mode:06o} {oid} {stage}"), path);
                }
            }
        }
        if !lines.is_empty() {
            self.change(index, &["update-index", "-z", "--index-info"], &lines)?;
        }
        self.intend_to_add(&intended, index)
    }

    /// Only `git add` can mark an intention, and it wants to see a file: it sees an empty one.
    fn intend_to_add(&self, entries: &[&IndexEntry], index: &Path) -> Result<(), GitError> {
        if entries.is_empty() {
            return Ok(());
        }
        let scratch = tempfile::tempdir().map_err(at(index))?;
        let mut paths = Vec::new();
        for entry in entries {
            let file = scratch.path().join(entry.path.as_os_path());
            let made = file.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| {
                let mode = entry.mode & 0o777 | 0o600;
                OpenOptions::new().write(true).create_new(true).mode(mode).open(&file).map(drop)
            });
            made.map_err(at(&file))?;
            paths.extend_from_slice(entry.path.as_bytes());
            paths.push(0);
        }
        let words = [
            "--literal-pathspecs",
            "add",
            "--intent-to-add",
            "--force",
            "--pathspec-from-file=-",
            "--pathspec-file-nul",
        ];
        let mut command = self.command(&words);
        command.current_dir(scratch.path()).env("GIT_WORK_TREE", scratch.path());
        let output = feed_to_index(command, index, &paths)?;
        answer(&self.worktree, &words, output).map(drop)
    }

    /// Sets and clears the two flags that `update-index` knows.
    fn set_flags(&self, wanted: &[IndexEntry], index: &Path) -> Result<(), GitError> {
        let now = self.list(index)?;
        let have: BTreeMap<_, _> = now.iter().map(|e| ((&e.path, e.stage), e.flags)).collect();
        let known = [
            (IndexFlags::ASSUME_UNCHANGED, "--assume-unchanged", "--no-assume-unchanged"),
            (IndexFlags::SKIP_WORKTREE, "--skip-worktree", "--no-skip-worktree"),
        ];
        for (flag, set, clear) in known {
            for (option, value) in [(set, true), (clear, false)] {
                let mut paths = Vec::new();
                for entry in wanted.iter().filter(|entry| entry.flags.contains(flag) == value) {
                    let has =
                        have.get(&(&entry.path, entry.stage)).is_some_and(|f| f.contains(flag));
                    if has != value {
                        paths.extend_from_slice(entry.path.as_bytes());
                        paths.push(0);
                    }
                }
                if !paths.is_empty() {
                    self.change(index, &["update-index", "-z", option, "--stdin"], &paths)?;
                }
            }
        }
        Ok(())
    }

    fn change(&self, index: &Path, words: &[&str], input: &[u8]) -> Result<(), GitError> {
        let output = feed_to_index(self.command(words), index, input)?;
        answer(&self.worktree, words, output).map(drop)
    }
}

fn feed_to_index(mut command: Command, index: &Path, input: &[u8]) -> Result<Output, GitError> {
    command.env("GIT_INDEX_FILE", index);
    feed(command, input).map_err(GitError::Run)
}

fn line(lines: &mut Vec<u8>, head: std::fmt::Arguments<'_>, path: &TreePath) {
    lines.extend(head.to_string().into_bytes());
    lines.push(b'\t');
    lines.extend_from_slice(path.as_bytes());
    lines.push(0);
}

fn by_path(entries: &[IndexEntry]) -> Staged<'_> {
    let mut staged = Staged::new();
    for entry in entries {
        staged.entry(&entry.path).or_default().push(entry);
    }
    staged
}

/// Whether the same is staged, whatever the flags that can be set by themselves.
fn same_content(a: Option<&Vec<&IndexEntry>>, b: Option<&Vec<&IndexEntry>>) -> bool {
    let (Some(a), Some(b)) = (a, b) else { return a.is_none() && b.is_none() };
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same_entry(a, b))
}

fn same_entry(a: &IndexEntry, b: &IndexEntry) -> bool {
    let intended = |entry: &IndexEntry| entry.flags.contains(IndexFlags::INTENT_TO_ADD);
    // What an intention points to depends on git's version.
    let oid = |entry: &IndexEntry| (!intended(entry)).then_some(entry.oid);
    a.path == b.path
        && a.mode == b.mode
        && a.stage == b.stage
        && intended(a) == intended(b)
        && oid(a) == oid(b)
}

fn first_difference<'a>(a: &'a [IndexEntry], b: &'a [IndexEntry]) -> Option<&'a TreePath> {
    let differing = a.iter().zip(b).find(|(a, b)| !same_entry(a, b) || a.flags != b.flags);
    let shorter = a.len().min(b.len());
    let longer = || a.get(shorter).or(b.get(shorter)).map(|entry| &entry.path);
    differing.map(|(a, _)| &a.path).or_else(longer)
}

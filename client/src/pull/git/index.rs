//! Builds the index from parsed entries.
//!
//! What is staged as before keeps its stat data; for everything else git compares contents the
//! next time that it looks.

mod list;
mod lock;

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

use handoff_proto::manifest::{IndexEntry, IndexFlags, index_digest};
use handoff_proto::path::TreePath;

pub use self::lock::IndexLock;
use self::lock::read_if_there;
use super::{Git, GitError, answer, at, feed};
use crate::index_file::IndexFile;

/// A new index beside the one in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuiltIndex {
    /// [`index_digest`] of the entries in use.
    pub before: [u8; 32],
    /// That of the new ones.
    pub after: [u8; 32],
}

impl Git {
    /// The entries of the index in use, in git's order.
    ///
    /// # Errors
    ///
    /// Where neither we nor git can read them.
    pub fn staged(&self) -> Result<Vec<IndexEntry>, GitError> {
        self.list(&self.index)
    }

    /// Whether the index in use is, byte for byte, what this file holds.
    ///
    /// # Errors
    ///
    /// Where one of them cannot be read.
    pub fn has_index(&self, saved: &Path) -> Result<bool, GitError> {
        Ok(read_if_there(&self.index)? == read_if_there(saved)?)
    }

    /// Writes the index in use to `saved` and one with exactly `entries` to `built`.
    ///
    /// The paths in `touched` lose their stat data. `None` as `entries` keeps what is staged; if
    /// nothing of it is touched then, neither file is left and there is nothing to do. Where there
    /// is no index, `saved` is not written.
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
    ) -> Result<Option<BuiltIndex>, GitError> {
        if self.index.exists() {
            fs::copy(&self.index, saved).map_err(at(&self.index))?;
        }
        let staged = self.list(saved)?;
        if entries.is_none() && !touched.iter().any(|path| !of_path(&staged, path).is_empty()) {
            if saved.exists() {
                fs::remove_file(saved).map_err(at(saved))?;
            }
            return Ok(None);
        }
        if saved.exists() {
            fs::copy(saved, built).map_err(at(built))?;
        }
        let wanted = entries.unwrap_or(&staged);
        self.restage(&staged, wanted, touched, built)?;
        let mut now = self.list(built)?;
        if self.set_flags(&now, wanted, built)? {
            now = self.list(built)?;
        }
        if let Some(path) = first_difference(&now, wanted) {
            return Err(GitError::IndexDiffers(path.to_string()));
        }
        let before = index_digest(&staged);
        let after = entries.map_or(before, index_digest);
        Ok(Some(BuiltIndex { before, after }))
    }

    /// The entries of this index file; none if it does not exist.
    fn list(&self, index: &Path) -> Result<Vec<IndexEntry>, GitError> {
        let Some(content) = read_if_there(index)? else { return Ok(Vec::new()) };
        let read = IndexFile::parse(content, self.format).and_then(|file| file.entries());
        read.map_or_else(|| self.list_by_git(index), Ok)
    }

    /// The same for one that only git understands.
    fn list_by_git(&self, index: &Path) -> Result<Vec<IndexEntry>, GitError> {
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
        let differing = differing(staged, wanted);
        let mut lines = Vec::new();
        for path in differing.iter().filter(|path| !of_path(staged, path).is_empty()) {
            line(&mut lines, format_args!("0 {none}"), path);
        }
        let is_plain = |entry: &IndexEntry| entry.flags == IndexFlags::NONE;
        let stale = touched.iter().filter(|path| of_path(wanted, path).iter().all(is_plain));
        let again: BTreeSet<&TreePath> = differing.iter().copied().chain(stale).collect();
        let mut intended = Vec::new();
        for entry in again.into_iter().flat_map(|path| of_path(wanted, path)) {
            if entry.flags.contains(IndexFlags::INTENT_TO_ADD) {
                intended.push(entry);
            } else {
                let IndexEntry { path, mode, oid, stage, .. } = entry;
                line(&mut lines, format_args!("{mode:06o} {oid} {stage}"), path);
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

    /// Sets and clears the two flags that `update-index` knows, where entries that are staged `now`
    /// have others; whether there was one.
    fn set_flags(
        &self,
        now: &[IndexEntry],
        wanted: &[IndexEntry],
        index: &Path,
    ) -> Result<bool, GitError> {
        let known = [
            (IndexFlags::ASSUME_UNCHANGED, "--assume-unchanged", "--no-assume-unchanged"),
            (IndexFlags::SKIP_WORKTREE, "--skip-worktree", "--no-skip-worktree"),
        ];
        let mut changed = false;
        for (flag, set, clear) in known {
            for (option, value) in [(set, true), (clear, false)] {
                let mut paths = Vec::new();
                // What is not staged as wanted at all is found afterwards.
                for (has, wants) in now.iter().zip(wanted) {
                    let differs = has.flags.contains(flag) != wants.flags.contains(flag);
                    if differs && wants.flags.contains(flag) == value && has.path == wants.path {
                        paths.extend_from_slice(wants.path.as_bytes());
                        paths.push(0);
                    }
                }
                if !paths.is_empty() {
                    self.change(index, &["update-index", "-z", option, "--stdin"], &paths)?;
                    changed = true;
                }
            }
        }
        Ok(changed)
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

/// What is staged for a path: one entry, or up to three of a conflict.
fn of_path<'a>(entries: &'a [IndexEntry], path: &TreePath) -> &'a [IndexEntry] {
    let path = path.as_bytes();
    let start = entries.partition_point(|entry| entry.path.as_bytes() < path);
    let len = entries[start..].iter().take_while(|entry| entry.path.as_bytes() == path).count();
    &entries[start..start + len]
}

/// The paths for which not the same is staged, whatever the flags that can be set by themselves.
fn differing<'a>(a: &'a [IndexEntry], b: &'a [IndexEntry]) -> BTreeSet<&'a TreePath> {
    let mut found = BTreeSet::new();
    let (mut left, mut right) = (a.iter().peekable(), b.iter().peekable());
    loop {
        let order = match (left.peek(), right.peek()) {
            (Some(a), Some(b)) => a.sort_key().cmp(&b.sort_key()),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => return found,
        };
        let a = if order.is_le() { left.next() } else { None };
        let b = if order.is_ge() { right.next() } else { None };
        match (a, b) {
            (Some(a), Some(b)) if same_entry(a, b) => {}
            (a, b) => found.extend(a.or(b).map(|entry| &entry.path)),
        }
    }
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

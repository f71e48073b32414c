//! Shows what a run changed, by content alone.
//!
//! Both sides of what differs are written into a private directory and compared there by git, which
//! sees no repository, no settings and no attributes: nothing in a result can hide a change or run
//! a program.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Read as _};
use std::path::Path;
use std::process::{Command, Stdio};

use handoff_proto::manifest::{
    ChangeKind, Entry, Kind, ResultManifest, SnapshotManifest, Timestamp,
};
use handoff_proto::path::TreePath;
use handoff_proto::tree::{FileError, Writer};

use super::chunks::Chunks;
use super::git::hardened;
use super::pairs::{Pair, outside_git, pairs};

/// What differs between two trees, directories apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// The path.
    pub path: TreePath,
    /// How it differs.
    pub kind: ChangeKind,
    /// What was there, unless it was a directory.
    pub before: Option<Entry>,
    /// What is there, unless it is a directory.
    pub after: Option<Entry>,
}

/// How many lines differ; `None` where content is no text.
pub type Lines = Option<(u64, u64)>;

/// Whether colours are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colour {
    /// For a terminal.
    Wanted,
    /// For a program.
    Unwanted,
}

/// Why two trees cannot be compared.
#[derive(Debug, thiserror::Error)]
pub enum DiffError {
    /// A file cannot be written for the comparison.
    #[error(transparent)]
    File(#[from] FileError),
    /// The directory for the comparison cannot be made, or git's answer not be passed on.
    #[error("cannot compare the two sides")]
    Io(#[from] io::Error),
    /// git failed.
    #[error("git cannot compare the two sides: {0}")]
    Git(String),
}

/// Lists what differs between what was handed off and what came back, sorted by path.
#[must_use]
pub fn changes(base: &SnapshotManifest, result: &ResultManifest) -> Vec<Changed> {
    let leaf = |entry: Option<&Entry>| entry.filter(|entry| !entry.is_directory()).cloned();
    pairs(outside_git(&base.entries), result.entries.iter())
        .map(|pair: Pair<'_>| Changed {
            path: pair.path().clone(),
            kind: pair.change_kind(),
            before: leaf(pair.before()),
            after: leaf(pair.after()),
        })
        .filter(|changed| changed.before.is_some() || changed.after.is_some())
        .collect()
}

/// Writes both sides of what differs beneath `directory`, which is empty: `a` and `b`.
///
/// # Errors
///
/// Where a file cannot be written or its content is missing.
pub fn lay_out(directory: &Path, changes: &[Changed], chunks: &Chunks) -> Result<(), DiffError> {
    let before = changes.iter().filter_map(|changed| changed.before.as_ref());
    lay_out_side(&directory.join("a"), before, chunks)?;
    let after = changes.iter().filter_map(|changed| changed.after.as_ref());
    lay_out_side(&directory.join("b"), after, chunks)
}

fn lay_out_side<'a>(
    root: &Path,
    entries: impl Iterator<Item = &'a Entry>,
    chunks: &Chunks,
) -> Result<(), DiffError> {
    fs::create_dir(root)?;
    let mut writer = Writer::open(root, None)?;
    let mut made = BTreeSet::new();
    for entry in entries {
        let mut above: Vec<TreePath> =
            std::iter::successors(entry.path.parent(), TreePath::parent).collect();
        while let Some(parent) = above.pop() {
            if made.insert(parent.clone()) {
                writer.directory(&parent, 0o700, Timestamp::default())?;
            }
        }
        match &entry.kind {
            Kind::Symlink { target } => writer.symlink(&entry.path, target, entry.mtime),
            Kind::Directory => {}
            Kind::File { chunks: content, .. } => {
                // Of its mode git shows only whether it is executable; it must be readable.
                let mode = if entry.mode & 0o111 == 0 { 0o600 } else { 0o700 };
                writer.file(&entry.path, mode, entry.mtime, &mut chunks.reader(content))?;
            }
        }
    }
    Ok(writer.finish()?)
}

/// Passes the unified diff of what [`lay_out`] wrote to `sink`, part by part.
///
/// # Errors
///
/// Where git fails, or `sink` does.
pub fn unified(
    directory: &Path,
    colour: Colour,
    sink: &mut dyn FnMut(&[u8]) -> io::Result<()>,
) -> Result<(), DiffError> {
    let colour = match colour {
        Colour::Wanted => "--color=always",
        Colour::Unwanted => "--color=never",
    };
    let mut child = compare(directory, &[colour]).spawn()?;
    let mut stdout =
        child.stdout.take().ok_or_else(|| io::Error::from(io::ErrorKind::BrokenPipe))?;
    let mut part = vec![0; 64 * 1024];
    loop {
        match stdout.read(&mut part) {
            Ok(0) => break,
            Ok(got) => sink(&part[..got])?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
    drop(stdout);
    check(&child.wait_with_output()?)
}

/// Counts the lines that differ in each path of what [`lay_out`] wrote.
///
/// # Errors
///
/// Where git fails.
pub fn count(directory: &Path) -> Result<BTreeMap<TreePath, Lines>, DiffError> {
    let output = compare(directory, &["--numstat", "-z"]).output()?;
    check(&output)?;
    let senseless = || DiffError::Git("its answer makes no sense".to_owned());
    let mut counts = BTreeMap::new();
    // `ADDED<tab>REMOVED<tab>NUL OLD NUL NEW NUL`
    let mut fields = output.stdout.split(|&byte| byte == 0);
    while let Some(lines) = fields.next().filter(|lines| !lines.is_empty()) {
        let (old, new) = fields.next().zip(fields.next()).ok_or_else(senseless)?;
        let path = new.strip_prefix(b"b/").or(old.strip_prefix(b"a/")).ok_or_else(senseless)?;
        let path = TreePath::parse(path).map_err(|_| senseless())?;
        counts.insert(path, parse_lines(lines));
    }
    Ok(counts)
}

fn parse_lines(lines: &[u8]) -> Lines {
    let text = std::str::from_utf8(lines).ok()?;
    let mut numbers = text.split('\t').map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

fn compare(directory: &Path, options: &[&str]) -> Command {
    let mut command = hardened(directory);
    command
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CEILING_DIRECTORIES", directory.parent().unwrap_or(directory))
        .args(["-c", "core.quotePath=false", "diff", "--no-index", "--no-ext-diff"])
        .args(["--no-textconv", "--no-renames", "--no-prefix"])
        .args(options)
        .args(["--", "a", "b"])
        .stdin(Stdio::null());
    command
}

/// git exits 1 where there are differences.
fn check(output: &std::process::Output) -> Result<(), DiffError> {
    if matches!(output.status.code(), Some(0 | 1)) && output.stderr.is_empty() {
        return Ok(());
    }
    Err(DiffError::Git(handoff_proto::path::escaped(output.stderr.trim_ascii())))
}

#[cfg(test)]
mod tests {
    use handoff_proto::chunk::{ChunkId, ChunkRef};

    use super::*;

    fn file(chunks: &mut Chunks, path: &str, mode: u32, content: &[u8]) -> Entry {
        let size = u32::try_from(content.len()).unwrap();
        let chunk = ChunkRef { id: ChunkId::of(content), size };
        chunks.add(chunk, content).unwrap();
        let path = TreePath::parse(path.as_bytes()).unwrap();
        let kind = Kind::File { size: size.into(), chunks: vec![chunk] };
        Entry { path, mode, mtime: Timestamp::default(), kind }
    }

    fn changed(before: Option<Entry>, after: Option<Entry>) -> Changed {
        let path = before.as_ref().or(after.as_ref()).unwrap().path.clone();
        let kind = match (&before, &after) {
            (None, _) => ChangeKind::Added,
            (_, None) => ChangeKind::Removed,
            (_, _) => ChangeKind::Modified,
        };
        Changed { path, kind, before, after }
    }

    fn check(build: impl FnOnce(&mut Chunks) -> Vec<Changed>) -> (String, BTreeMap<String, Lines>) {
        let home = tempfile::tempdir().unwrap();
        let mut chunks = Chunks::new(home.path()).unwrap();
        let changes = build(&mut chunks);
        lay_out(home.path(), &changes, &chunks).unwrap();
        let mut text = Vec::new();
        unified(home.path(), Colour::Unwanted, &mut |part| {
            text.extend_from_slice(part);
            Ok(())
        })
        .unwrap();
        let counts = count(home.path()).unwrap();
        let counts = counts.into_iter().map(|(path, lines)| (path.to_string(), lines)).collect();
        (String::from_utf8_lossy(&text).into_owned(), counts)
    }

    #[test]
    fn every_change_is_shown_by_content() {
        let (text, counts) = check(|chunks| {
            vec![
                changed(
                    Some(file(chunks, "src/a.rs", 0o644, b"one\ntwo\n")),
                    Some(file(chunks, "src/a.rs", 0o644, b"one\nthree\nfour\n")),
                ),
                changed(None, Some(file(chunks, "new.txt", 0o600, b"new\n"))),
                changed(Some(file(chunks, "old.txt", 0o644, b"old\n")), None),
                changed(None, Some(file(chunks, "data", 0o644, b"\0\x01\x02"))),
                changed(
                    Some(file(chunks, "tool", 0o644, b"#!/bin/sh\n")),
                    Some(file(chunks, "tool", 0o755, b"#!/bin/sh\n")),
                ),
            ]
        });
        for line in [
            "--- a/src/a.rs\n+++ b/src/a.rs\n",
            "-two\n+three\n+four\n",
            "+new\n",
            "-old\n",
            "new mode 100755\n",
        ] {
            assert!(text.contains(line), "{line:?} is missing:\n{text}");
        }
        assert_eq!(counts["src/a.rs"], Some((2, 1)));
        assert_eq!(counts["old.txt"], Some((0, 1)));
        assert_eq!(counts["data"], None);
    }

    #[test]
    fn a_result_cannot_hide_a_change_or_run_a_program() {
        let (text, _) = check(|chunks| {
            let attributes = b"*.rs -diff diff=evil -text\n";
            vec![
                changed(None, Some(file(chunks, ".gitattributes", 0o644, attributes))),
                changed(None, Some(file(chunks, "evil.rs", 0o644, b"fn evil() {}\n"))),
            ]
        });
        assert!(text.contains("+fn evil() {}"), "{text}");
    }
}

//! The entries of an index, which git lists from a copy of ours.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use handoff_proto::manifest::{IndexEntry, IndexFlags, Limits, Oid};
use handoff_proto::path::{TreePath, escaped};
use handoff_proto::tree::MetaKind;

use super::clean::{CleanRepository, read_output};
use super::{GitDirectory, GitError};

/// The index of a tree of eight million files.
const INDEX_MAX: u64 = 1 << 30;

/// The index, the file that it shares, and a few that are left from before.
const INDEX_FILES_MAX: usize = 16;

/// How the file that a split index refers to is called, with its id after it.
const SHARED: &[u8] = b"sharedindex.";

/// Flags of git's in-memory entries, which `ls-files --debug` prints.
const FLAGS: [(u32, IndexFlags); 3] = [
    (0x8000, IndexFlags::ASSUME_UNCHANGED),
    (1 << 30, IndexFlags::SKIP_WORKTREE),
    (1 << 29, IndexFlags::INTENT_TO_ADD),
];

impl CleanRepository {
    /// Copies the index of a git directory of the tree and lists it.
    pub(in super::super) fn read_index(
        &self,
        directory: GitDirectory<'_>,
    ) -> Result<Vec<IndexEntry>, GitError> {
        for name in index_names(directory)? {
            let content = directory.read(&name, INDEX_MAX)?.unwrap_or_default();
            fs::write(self.file_named(&name), content).map_err(GitError::Scratch)?;
        }
        self.list("index")
    }

    /// Lists the snapshot's index, copies of whose files are in `directory`.
    pub(super) fn read_base_index(&self, directory: &Path) -> Result<Vec<IndexEntry>, GitError> {
        let copy = || -> io::Result<()> {
            for entry in fs::read_dir(directory)? {
                let entry = entry?;
                let name = entry.file_name();
                let name = if name == "index" { "base-index".into() } else { name };
                fs::copy(entry.path(), self.file("").join(name))?;
            }
            Ok(())
        };
        match copy() {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(GitError::Scratch(error)),
            _ => self.list("base-index"),
        }
    }

    fn list(&self, name: &str) -> Result<Vec<IndexEntry>, GitError> {
        let index = self.file(name);
        if !index.exists() {
            return Ok(Vec::new());
        }
        let output = self.file("ls-files");
        let arguments = ["--stage", "--debug", "-z"].map(std::ffi::OsStr::new);
        self.run("ls-files", &arguments, Some(&index), None, &output)?;
        parse(&read_output(&output)?)
    }

    fn file_named(&self, name: &[u8]) -> std::path::PathBuf {
        self.file("").join(std::ffi::OsStr::from_bytes(name))
    }
}

/// The names of the files that make up the index.
fn index_names(directory: GitDirectory<'_>) -> Result<Vec<Vec<u8>>, GitError> {
    let mut names = Vec::new();
    for (name, kind) in directory.list(directory.path)? {
        if name != b"index" && !is_shared(&name) {
            continue;
        }
        if kind != MetaKind::File {
            return Err(directory.odd(&name, "is no file"));
        }
        names.push(name);
    }
    names.sort_unstable();
    names.truncate(INDEX_FILES_MAX);
    Ok(names)
}

fn is_shared(name: &[u8]) -> bool {
    name.strip_prefix(SHARED).is_some_and(|id| Oid::parse(id).is_ok())
}

/// Parses what `git ls-files --stage --debug -z` prints: `MODE OID STAGE<TAB>PATH<NUL>` and then
/// lines of which the last ends in the flags.
fn parse(output: &[u8]) -> Result<Vec<IndexEntry>, GitError> {
    let senseless = || GitError::Answer("ls-files");
    let mut entries = Vec::new();
    let mut rest = output;
    while !rest.is_empty() {
        let limit = Limits::DEFAULT.index_entries_max;
        if entries.len() >= limit {
            return Err(GitError::TooMany { what: "index entries", limit });
        }
        let (entry, after) = split(rest).ok_or_else(senseless)?;
        entries.push(entry?);
        rest = after;
    }
    entries.sort_by(|a, b| key(a).cmp(&key(b)));
    if entries.windows(2).any(|pair| key(&pair[0]) == key(&pair[1])) {
        return Err(GitError::Odd { path: "index".to_owned(), problem: "names a path twice" });
    }
    Ok(entries)
}

fn key(entry: &IndexEntry) -> (&[u8], u8) {
    (entry.path.as_bytes(), entry.stage)
}

/// Takes one entry off; `None` where the output makes no sense.
fn split(output: &[u8]) -> Option<(Result<IndexEntry, GitError>, &[u8])> {
    let tab = output.iter().position(|&byte| byte == b'\t')?;
    let nul = tab + output[tab..].iter().position(|&byte| byte == 0)?;
    let mut words = std::str::from_utf8(&output[..tab]).ok()?.split(' ');
    let mode = u32::from_str_radix(words.next()?, 8).ok()?;
    let oid = Oid::parse(words.next()?.as_bytes()).ok()?;
    let stage = words.next()?.parse().ok()?;
    let (flags, rest) = split_flags(&output[nul + 1..])?;
    let path = &output[tab + 1..nul];
    let entry = match TreePath::parse(path) {
        Ok(path) if !path.has_git_component() => Ok(IndexEntry { path, mode, oid, stage, flags }),
        _ => Err(GitError::Odd {
            path: "index".to_owned(),
            problem: "holds a path that git does not allow",
        }
        .named(path)),
    };
    Some((entry, rest))
}

impl GitError {
    /// Names the entry of an index that is odd.
    fn named(self, path: &[u8]) -> Self {
        match self {
            Self::Odd { problem, .. } => Self::Odd { path: escaped(path), problem },
            other => other,
        }
    }
}

/// The flags in the lines after a path, and what comes after those lines.
fn split_flags(lines: &[u8]) -> Option<(IndexFlags, &[u8])> {
    const KEY: &[u8] = b"\tflags: ";
    let start = lines.windows(KEY.len()).position(|window| window == KEY)? + KEY.len();
    let end = start + lines[start..].iter().position(|&byte| byte == b'\n')?;
    let bits = u32::from_str_radix(std::str::from_utf8(&lines[start..end]).ok()?, 16).ok()?;
    let set = FLAGS.iter().filter(|(bit, _)| bits & bit != 0);
    let flags = set.fold(IndexFlags::NONE, |flags, (_, flag)| flags.with(*flag));
    Some((flags, &lines[end + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str =
        "  ctime: 1:2\n  mtime: 1:2\n  dev: 1\tino: 2\n  uid: 0\tgid: 0\n  size: 2\tflags: ";

    #[test]
    fn entries_are_read_with_their_flags() {
        let oid = "78981922613b2afb6025042ff6bd878ac1994e85";
        let output =
            format!("100644 {oid} 0\tb\n\t x\0{STAT}20004000\n100755 {oid} 2\ta\0{STAT}40008000\n");
        let entries = parse(output.as_bytes()).expect("parsed");
        assert_eq!(entries.len(), 2);
        assert_eq!((entries[0].path.as_bytes(), entries[0].stage), (b"a".as_slice(), 2));
        assert!(
            entries[0].flags.contains(IndexFlags::SKIP_WORKTREE.with(IndexFlags::ASSUME_UNCHANGED))
        );
        assert_eq!(entries[1].path.as_bytes(), b"b\n\t x");
        assert_eq!(entries[1].flags, IndexFlags::INTENT_TO_ADD);
    }

    #[test]
    fn hostile_paths_and_nonsense_are_errors() {
        let oid = "78981922613b2afb6025042ff6bd878ac1994e85";
        for path in ["../x", "/etc/passwd", ".git/config", "a/.GIT/x", "a//b", ""] {
            let output = format!("100644 {oid} 0\t{path}\0{STAT}0\n");
            assert!(matches!(parse(output.as_bytes()), Err(GitError::Odd { .. })), "{path}");
        }
        for output in ["x", "100644 zz 0\ta\0", "100644", &format!("100644 {oid} 0\ta\0no flags\n")]
        {
            assert!(matches!(parse(output.as_bytes()), Err(GitError::Answer(_))), "{output}");
        }
    }
}

//! Takes a pack in: checked in a quarantine of its own, then moved to the other packs.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use handoff_proto::manifest::Oid;
use tempfile::TempDir;

use super::{Git, GitError, answer, at, feed, message};

/// What the quarantine is called; `git prune` removes old directories of such names itself.
const QUARANTINE_PREFIX: &str = "tmp_objdir-handoff-";

/// How old a quarantine is that nobody uses any more; no pack takes that long to arrive.
const QUARANTINE_AGE_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// Memory that checking a pack may take. Real commits and trees are far smaller; a few bytes that
/// claim to be gigabytes of tree must not take the machine down.
#[cfg(target_os = "linux")]
const CHECK_MEMORY_MAX: u64 = 4 << 30;

/// An object that a result names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Tip {
    /// Of a branch, HEAD or an operation in progress.
    Commit(Oid),
    /// Staged.
    Blob(Oid),
    /// Of any other reference.
    Any(Oid),
}

impl Tip {
    fn oid(self) -> Oid {
        match self {
            Self::Commit(oid) | Self::Blob(oid) | Self::Any(oid) => oid,
        }
    }

    fn accepts(self, kind: &str) -> bool {
        match self {
            Self::Commit(_) => kind == "commit",
            Self::Blob(_) => kind == "blob",
            Self::Any(_) => matches!(kind, "commit" | "tag" | "tree" | "blob"),
        }
    }
}

/// Objects that are checked but not yet part of the repository. Dropped, they are gone.
#[derive(Debug)]
pub struct Incoming {
    git: Git,
    quarantine: TempDir,
}

impl Git {
    /// Reads a pack of `size` bytes, which may be none, and checks every object in it.
    ///
    /// # Errors
    ///
    /// Where git refuses an object, or the pack is damaged or refers to what is not there.
    pub fn receive(&self, pack: &mut dyn Read, size: u64) -> Result<Incoming, GitError> {
        self.remove_old_quarantines();
        let quarantine = tempfile::Builder::new()
            .prefix(QUARANTINE_PREFIX)
            .tempdir_in(&self.objects)
            .map_err(at(&self.objects))?;
        let incoming = Incoming { git: self.clone(), quarantine };
        if size > 0 {
            let packs = incoming.quarantine.path().join("pack");
            fs::create_dir(&packs).map_err(at(&packs))?;
            incoming.index_pack(pack, size)?;
        }
        Ok(incoming)
    }

    /// Removes what pulls left behind that died while they received objects.
    fn remove_old_quarantines(&self) {
        let Ok(found) = fs::read_dir(&self.objects) else { return };
        for entry in found.flatten() {
            let is_ours = entry.file_name().as_bytes().starts_with(QUARANTINE_PREFIX.as_bytes());
            let modified = entry.metadata().and_then(|meta| meta.modified());
            let age = modified.ok().and_then(|modified| modified.elapsed().ok());
            if is_ours && age.is_some_and(|age| age > QUARANTINE_AGE_MAX) {
                // It only takes up room; git removes it later on as well.
                drop(fs::remove_dir_all(entry.path()));
            }
        }
    }

    /// Whether objects may be missing here because a remote promised to have them.
    fn is_partial(&self) -> Result<bool, GitError> {
        let words =
            ["config", "--get-regexp", r"^(extensions\.partialclone|remote\..*\.promisor)$"];
        let output = self.command(&words).output().map_err(GitError::Run)?;
        Ok(output.status.success() && !output.stdout.is_empty())
    }
}

impl Incoming {
    /// Checks that these objects are there, of the right type, with all that they refer to.
    ///
    /// # Errors
    ///
    /// Where they are not.
    pub fn check(&self, tips: &[Tip]) -> Result<(), GitError> {
        let mut tips = tips.to_vec();
        tips.sort_unstable();
        tips.dedup();
        if tips.is_empty() {
            return Ok(());
        }
        let lines: String = tips.iter().map(|tip| format!("{}\n", tip.oid())).collect();
        self.check_types(&tips, &lines)?;
        let mut words = vec!["rev-list", "--objects", "--quiet", "--stdin"];
        if self.git.is_partial()? {
            words.push("--exclude-promisor-objects");
        }
        words.extend(["--not", "--all"]);
        let output = feed(self.command(&words), lines.as_bytes()).map_err(GitError::Run)?;
        if output.status.success() {
            Ok(())
        } else {
            Err(GitError::BadObjects { message: message(&output.stderr) })
        }
    }

    /// Moves the pack to the others, durably. The same pack being there already is fine.
    ///
    /// # Errors
    ///
    /// Where a file cannot be moved.
    pub fn keep(self) -> Result<(), GitError> {
        let from = self.quarantine.path().join("pack");
        let to = self.git.objects.join("pack");
        let mut names: Vec<OsString> = match fs::read_dir(&from) {
            Ok(found) => found
                .map(|entry| entry.map(|entry| entry.file_name()))
                .collect::<io::Result<_>>()
                .map_err(at(&from))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(at(&from)(error)),
        };
        fs::create_dir_all(&to).map_err(at(&to))?;
        // A pack is in use as soon as its index is there.
        names.sort_by_key(|name| name.as_bytes().ends_with(b".idx"));
        for name in names {
            let target = to.join(&name);
            if !target.exists() {
                fs::rename(from.join(&name), &target).map_err(at(&target))?;
            }
        }
        File::open(&to).and_then(|directory| directory.sync_all()).map_err(at(&to))
    }

    /// A call that sees the objects in quarantine as well.
    fn command(&self, words: &[&str]) -> Command {
        let mut command = self.git.command(words);
        command
            .env("GIT_OBJECT_DIRECTORY", self.quarantine.path())
            .env("GIT_ALTERNATE_OBJECT_DIRECTORIES", quoted(&self.git.objects));
        command
    }

    /// Copies exactly `size` bytes to git, which checks them and writes pack and index.
    fn index_pack(&self, pack: &mut dyn Read, size: u64) -> Result<(), GitError> {
        let limit = format!("--max-input-size={size}");
        // Old histories hold these two harmless flaws, which GitHub lets pass as well.
        let strict = "--strict=zeroPaddedFilemode=ignore,badTimezone=ignore";
        let mut command = self.command(&["index-pack", "--stdin", strict, &limit]);
        let mut child = command.stdin(Stdio::piped()).spawn().map_err(GitError::Run)?;
        limit_memory(&child);
        let stdin = child.stdin.take();
        let (copied, output) = std::thread::scope(|scope| {
            let reading = scope.spawn(move || child.wait_with_output());
            let copied =
                stdin.map_or(Ok(0), |mut stdin| io::copy(&mut pack.take(size), &mut stdin));
            (copied, reading.join())
        });
        let output = output
            .unwrap_or_else(|_| Err(io::Error::other("a thread ended early")))
            .map_err(GitError::Run)?;
        if !output.status.success() {
            return Err(GitError::BadObjects { message: message(&output.stderr) });
        }
        copied.map(drop).map_err(GitError::Run)
    }

    fn check_types(&self, tips: &[Tip], lines: &str) -> Result<(), GitError> {
        let words = ["cat-file", "--batch-check=%(objectname) %(objecttype)"];
        let output = feed(self.command(&words), lines.as_bytes()).map_err(GitError::Run)?;
        let answer = answer(&self.git.worktree, &words, output)?;
        let answer = String::from_utf8(answer).map_err(|_| self.git.senseless(&words))?;
        let kinds: HashMap<&str, &str> =
            answer.lines().filter_map(|line| line.split_once(' ')).collect();
        for tip in tips {
            let id = tip.oid().to_string();
            let kind = *kinds.get(id.as_str()).ok_or_else(|| self.git.senseless(&words))?;
            if !tip.accepts(kind) {
                let problem = if kind == "missing" { kind.to_owned() } else { format!("a {kind}") };
                return Err(GitError::BadTip { id, problem });
            }
        }
        Ok(())
    }
}

/// A directory as git reads it from a list that colons separate.
fn quoted(directory: &Path) -> OsString {
    let mut quoted = vec![b'"'];
    for &byte in directory.as_os_str().as_bytes() {
        match byte {
            b'"' | b'\\' => quoted.extend([b'\\', byte]),
            b'\n' => quoted.extend(b"\\n"),
            _ => quoted.push(byte),
        }
    }
    quoted.push(b'"');
    OsString::from_vec(quoted)
}

/// Bounds what the child may allocate; it has read nothing so far.
#[cfg(target_os = "linux")]
fn limit_memory(child: &Child) {
    use rustix::process::{Pid, Resource, Rlimit, prlimit};

    let limit = Rlimit { current: Some(CHECK_MEMORY_MAX), maximum: Some(CHECK_MEMORY_MAX) };
    let process = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    // Without the limit the check is as good, only less thrifty.
    _ = prlimit(process, Resource::Data, limit);
}

#[cfg(not(target_os = "linux"))]
fn limit_memory(_child: &Child) {}

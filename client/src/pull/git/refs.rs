//! Changes references by compare-and-swap: all of them or none.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use handoff_proto::manifest::{Head, Oid, RefName};

use super::{Git, GitError, answer, message};

/// What a reference change is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RefTarget {
    /// A reference by its full name, itself if it is symbolic.
    Named(RefName),
    /// CHERRY_PICK_HEAD or REVERT_HEAD.
    Pseudo(&'static str),
}

/// One change: the reference must hold `before` and will hold `after`; `None` means that it does
/// not exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefUpdate {
    /// The reference.
    pub target: RefTarget,
    /// What it must hold.
    pub before: Option<Oid>,
    /// What it will hold.
    pub after: Option<Oid>,
}

/// Changes that are checked and locked and wait to be made. Dropped, nothing has changed.
#[derive(Debug)]
pub struct RefTransaction {
    git: Git,
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
}

impl RefTarget {
    fn name(&self) -> &[u8] {
        match self {
            Self::Named(name) => name.as_bytes(),
            Self::Pseudo(name) => name.as_bytes(),
        }
    }
}

impl RefUpdate {
    fn write(&self, git: &Git, commands: &mut Vec<u8>) {
        let none = "0".repeat(2 * git.format.oid_len());
        let hex = |oid: Option<Oid>| oid.map_or_else(|| none.clone(), |oid| oid.to_string());
        commands.extend(b"option no-deref\0update ");
        commands.extend(self.target.name());
        // A zero new value deletes; a zero old value means that there must be none.
        for value in [hex(self.after), hex(self.before)] {
            commands.push(0);
            commands.extend(value.as_bytes());
        }
        commands.push(0);
    }
}

impl Git {
    /// Checks and locks these references.
    ///
    /// # Errors
    ///
    /// Where one does not hold what it should, cannot be locked, or cannot exist beside another.
    pub fn prepare_refs(
        &self,
        updates: &[RefUpdate],
        why: &str,
    ) -> Result<RefTransaction, GitError> {
        let mut commands = b"start\0".to_vec();
        for update in updates {
            update.write(self, &mut commands);
        }
        commands.extend(b"prepare\0");
        let mut child = self
            .command(&["update-ref", "-m", why, "--stdin", "-z"])
            .stdin(Stdio::piped())
            .spawn()
            .map_err(GitError::Run)?;
        let stdin = child.stdin.take();
        let stdout = child.stdout.take().ok_or_else(|| self.senseless(&["update-ref"]))?;
        let stdout = BufReader::new(stdout);
        let mut transaction = RefTransaction { git: self.clone(), child, stdin, stdout };
        transaction.say(&commands, &["start: ok", "prepare: ok"])?;
        Ok(transaction)
    }

    /// Makes HEAD name this branch, which need not exist, or this commit.
    ///
    /// # Errors
    ///
    /// Where git refuses.
    pub fn set_head(&self, head: &Head, why: &str) -> Result<(), GitError> {
        let branch = ["symbolic-ref", "-m", why, "HEAD"];
        let commit = ["update-ref", "--no-deref", "-m", why, "HEAD"];
        let (words, value): (&[&str], _) = match head {
            Head::Branch(name, _) => (&branch, name.as_bytes().to_vec()),
            Head::Detached(oid) => (&commit, oid.to_string().into_bytes()),
        };
        let output = self.command(words).arg(OsStr::from_bytes(&value)).output();
        answer(&self.worktree, words, output.map_err(GitError::Run)?).map(drop)
    }

    /// What a reference holds now.
    ///
    /// # Errors
    ///
    /// Where git cannot be asked.
    pub fn ref_value(&self, target: &RefTarget) -> Result<Option<Oid>, GitError> {
        self.resolve(target.name())
    }

    fn resolve(&self, name: &[u8]) -> Result<Option<Oid>, GitError> {
        let words = ["rev-parse", "--verify", "--quiet", "--end-of-options"];
        let output = self.command(&words).arg(OsStr::from_bytes(name)).output();
        let output = output.map_err(GitError::Run)?;
        if !output.status.success() {
            return Ok(None);
        }
        let hex = output.stdout.strip_suffix(b"\n").unwrap_or(&output.stdout);
        Oid::parse(hex).map(Some).map_err(|_| self.senseless(&words))
    }

    /// What HEAD says now.
    ///
    /// # Errors
    ///
    /// Where git cannot be asked.
    pub fn head(&self) -> Result<Head, GitError> {
        let words = ["symbolic-ref", "--quiet", "HEAD"];
        let output = self.command(&words).output().map_err(GitError::Run)?;
        let oid = self.resolve(b"HEAD")?;
        if output.status.success() {
            let name = output.stdout.strip_suffix(b"\n").unwrap_or(&output.stdout);
            let branch = RefName::parse(name).map_err(|_| self.senseless(&words))?;
            return Ok(Head::Branch(branch, oid));
        }
        oid.map(Head::Detached).ok_or_else(|| self.senseless(&words))
    }
}

impl RefTransaction {
    /// Makes the changes.
    ///
    /// # Errors
    ///
    /// Where git cannot write them; none is made then.
    pub fn commit(mut self) -> Result<(), GitError> {
        self.say(b"commit\0", &["commit: ok"])?;
        drop(self.stdin.take());
        let status = self.child.wait().map_err(GitError::Run)?;
        if status.success() { Ok(()) } else { Err(self.refusal()) }
    }

    /// Sends commands and waits for these answers.
    fn say(&mut self, commands: &[u8], answers: &[&str]) -> Result<(), GitError> {
        // A git that refuses stops reading; what it said is worth more than the broken pipe.
        let sent = self.stdin.as_mut().map_or(Ok(()), |stdin| stdin.write_all(commands));
        let mut line = String::new();
        for answer in answers {
            line.clear();
            self.stdout.read_line(&mut line).map_err(GitError::Run)?;
            if line.trim_end() != *answer {
                return Err(self.refusal());
            }
        }
        sent.map_err(GitError::Run)
    }

    fn refusal(&mut self) -> GitError {
        let mut said = Vec::new();
        if let Some(stderr) = self.child.stderr.take() {
            // Whatever could be read is shown.
            drop(stderr.take(64 * 1024).read_to_end(&mut said));
        }
        GitError::Refs { directory: self.git.worktree.clone(), message: message(&said) }
    }
}

impl Drop for RefTransaction {
    fn drop(&mut self) {
        // At the end of its input git gives up what was not committed, and its locks.
        drop(self.stdin.take());
        drop(self.child.wait());
    }
}

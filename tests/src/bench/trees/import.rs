//! A repository made by one `git fast-import`: no loose objects, one pack, in seconds.

use std::{
    io::{BufWriter, Write},
    path::Path,
    process::{Child, ChildStdin, Stdio},
};

use anyhow::{Context as _, Result, ensure};

use super::super::process;

/// A stream of commits into a new repository.
#[derive(Debug)]
pub(in super::super) struct Import {
    git: Child,
    input: BufWriter<ChildStdin>,
    commits: u64,
}

impl Import {
    /// Starts one; `compression` is zlib's level for its objects.
    pub(in super::super) fn into_new(repository: &Path, compression: u8) -> Result<Self> {
        process::ok(
            process::git(repository.parent().context("parent")?)
                .args(["init", "-q"])
                .arg(repository),
        )?;
        Self::into(repository, compression)
    }

    /// The same into an existing repository, bare or not.
    pub(in super::super) fn into(repository: &Path, compression: u8) -> Result<Self> {
        let mut git = process::git(repository);
        git.args(["-c", &format!("pack.compression={compression}")])
            .args(["fast-import", "--quiet", "--depth=0", "--force"])
            .stdin(Stdio::piped());
        let mut git = git.spawn().context("start git fast-import")?;
        let input = git.stdin.take().context("its input")?;
        Ok(Self { git, input: BufWriter::with_capacity(1 << 20, input), commits: 0 })
    }

    /// Begins a commit on a branch, after `from` if that is not the one before.
    pub(in super::super) fn commit(&mut self, branch: &str, from: Option<&str>) -> Result<()> {
        self.commits += 1;
        // Seconds of 2026: commits one hour apart, so that dates sort.
        let at = 1_767_225_600 + self.commits * 3600;
        writeln!(self.input, "commit refs/heads/{branch}")?;
        writeln!(self.input, "committer Bench <bench@example.com> {at} +0000\ndata 0")?;
        if let Some(from) = from {
            writeln!(self.input, "from {from}")?;
        }
        Ok(())
    }

    /// A file of the commit begun last.
    pub(in super::super) fn file(&mut self, path: &str, content: &[u8]) -> Result<()> {
        writeln!(self.input, "M 100644 inline {path}\ndata {}", content.len())?;
        self.input.write_all(content)?;
        writeln!(self.input)?;
        Ok(())
    }

    /// Removes a path in the commit begun last.
    pub(in super::super) fn remove(&mut self, path: &str) -> Result<()> {
        writeln!(self.input, "D {path}")?;
        Ok(())
    }

    /// Ends the stream.
    pub(in super::super) fn finish(mut self) -> Result<()> {
        self.input.flush()?;
        drop(self.input);
        let status = self.git.wait()?;
        ensure!(status.success(), "git fast-import failed: {status}");
        Ok(())
    }
}

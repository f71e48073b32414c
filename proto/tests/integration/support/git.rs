//! The real git, shielded from this machine's configuration.

use std::path::{Path, PathBuf};
use std::process::Command;

use handoff_proto::path::TreePath;
use handoff_proto::tree::{Tracked, TrackedResult, WalkRepository};

/// A repository that git works on.
pub(crate) struct Git {
    root: PathBuf,
}

impl Git {
    /// Works in a tree that may or may not be a repository.
    pub(crate) fn at(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// Makes a repository at `root`.
    pub(crate) fn init(root: &Path) -> Self {
        std::fs::create_dir_all(root).unwrap();
        let git = Self { root: root.to_owned() };
        git.run(&["init", "-q", "-b", "main", "--template="]);
        git
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("git");
        command
            .args(["-c", "user.name=Test", "-c", "user.email=test@example.com"])
            .args(["-c", "protocol.file.allow=always"])
            // It has ended when it has ended.
            .args(["-c", "maintenance.auto=false", "-c", "gc.auto=0"])
            .args(arguments)
            .current_dir(&self.root)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env_remove("GIT_DIR");
        command
    }

    /// Whether git succeeds.
    pub(crate) fn succeeds(&self, arguments: &[&str]) -> bool {
        self.command(arguments).current_dir("/").status().unwrap().success()
    }

    /// Runs git, which must succeed, and returns what it prints.
    pub(crate) fn run(&self, arguments: &[&str]) -> Vec<u8> {
        let output = self.command(arguments).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "git {arguments:?} failed: {said}");
        output.stdout
    }

    /// Runs git and splits what it prints at NUL bytes.
    pub(crate) fn paths(&self, arguments: &[&str]) -> Vec<Vec<u8>> {
        let output = self.run(arguments);
        output.split(|&b| b == 0).filter(|path| !path.is_empty()).map(<[u8]>::to_vec).collect()
    }

    /// Answers the walk's question about a repository in this tree.
    pub(crate) fn tracked_in(&self, repository: &WalkRepository) -> TrackedResult {
        let root = match &repository.path {
            Some(path) => self.root.join(path.as_os_path()),
            None => self.root.clone(),
        };
        let paths = Self { root }.paths(&["ls-files", "-z", "--cached"]);
        let paths = paths.iter().map(|path| TreePath::parse(path)).collect::<Result<_, _>>()?;
        Ok(Some(Tracked { paths, ..Tracked::default() }))
    }
}

//! The names of everything in a run's directory. Only names: nothing here touches the disk; see
//! `directory` for that.

use std::path::{Path, PathBuf};

use super::base::{Base, Rules};

/// Where the parts of one run are.
///
/// ```text
/// <run>/
///   writable/           all that the run may write and outlives its processes, but for caches
///     workspace/        the tree, where it is a copy of its own
///     changes/          else what the run changed in the shared one
///     home/             the run's home directory
///     agent/            what its agent keeps, if it has one
///   base/               what the harvest compares with, while there is one
///   rules/              what decided about being carried
///   jobs/<number>-command/
///   jobs/<number>-harvest/
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    run: PathBuf,
}

/// What a supervisor's job does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum JobKind {
    /// Runs the setup steps and the command.
    Command,
    /// Collects what the command left.
    Harvest,
}

impl JobKind {
    /// Its name in paths, and in what a launcher is asked.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Command => "command",
            Self::Harvest => "harvest",
        }
    }
}

impl Layout {
    /// The layout of a run whose directory is `run`, an absolute path.
    #[must_use]
    pub fn new(run: impl Into<PathBuf>) -> Self {
        Self { run: run.into() }
    }

    /// The directory with those of all runs, in a daemon's state directory.
    #[must_use]
    pub fn of_runs(state: &Path) -> PathBuf {
        state.join("runs")
    }

    /// The run's directory.
    #[must_use]
    pub fn run(&self) -> &Path {
        &self.run
    }

    /// What holds all that the run may write there, and nothing that others write.
    #[must_use]
    pub fn writable(&self) -> PathBuf {
        self.run.join("writable")
    }

    /// The tree.
    #[must_use]
    pub fn workspace(&self) -> PathBuf {
        self.writable().join("workspace")
    }

    /// What the run changed in a tree that it shares with others.
    #[must_use]
    pub fn changes(&self) -> PathBuf {
        self.writable().join("changes")
    }

    /// What decided about being carried, for the harvest.
    #[must_use]
    pub fn rules(&self) -> Rules {
        Rules::new(self.run.join("rules"))
    }

    /// The run's home directory.
    #[must_use]
    pub fn home(&self) -> PathBuf {
        self.writable().join("home")
    }

    /// What the harvest sees of the snapshot, beside the tree.
    #[must_use]
    pub fn base(&self) -> Base {
        Base::new(self.run.join("base"))
    }

    /// The directories of its jobs.
    #[must_use]
    pub fn jobs(&self) -> PathBuf {
        self.run.join("jobs")
    }

    /// What the run's agent keeps: its settings and sessions.
    #[must_use]
    pub fn agent(&self) -> PathBuf {
        self.writable().join("agent")
    }

    /// The directory of a job by its number, from 1.
    #[must_use]
    pub fn job(&self, number: u32, kind: JobKind) -> PathBuf {
        self.jobs().join(format!("{number}-{}", kind.name()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_has_a_place_of_its_own() {
        let layout = Layout::new("/state/runs/abc");
        assert_eq!(layout.workspace(), Path::new("/state/runs/abc/writable/workspace"));
        assert_eq!(layout.job(2, JobKind::Command), Path::new("/state/runs/abc/jobs/2-command"));
        assert_eq!(layout.job(2, JobKind::Harvest), Path::new("/state/runs/abc/jobs/2-harvest"));
        assert_eq!(layout.base().manifest(), Path::new("/state/runs/abc/base/manifest"));
    }
}

//! What is written of a snapshot for the harvest to compare with. Only names.

use std::path::{Path, PathBuf};

/// The directory of a run that the harvest sees, inside its jail as outside.
///
/// ```text
/// <base>/
///   manifest        the snapshot's
///   git/<n>/index   of the snapshot's repository of that index, with its shared index if any
///   rules/          what decided about being carried
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Base {
    directory: PathBuf,
}

impl Base {
    /// The names in this directory.
    #[must_use]
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self { directory: directory.into() }
    }

    /// The directory.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The snapshot's manifest, encoded.
    #[must_use]
    pub fn manifest(&self) -> PathBuf {
        self.directory.join("manifest")
    }

    /// The directory with the index of the snapshot's repository of this number.
    #[must_use]
    pub fn git(&self, repository: usize) -> PathBuf {
        self.directory.join("git").join(repository.to_string())
    }

    /// What decided about being carried; of each run, where a snapshot is shared.
    #[must_use]
    pub fn rules(&self) -> Rules {
        Rules::new(self.directory.join("rules"))
    }
}

/// The files that tell a harvest what decided about being carried.
///
/// ```text
/// <rules>/
///   ignore    the user's own ignore rules
///   include   globs of ignored things to return nevertheless
///   exclude   globs of things not to return
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    directory: PathBuf,
}

impl Rules {
    pub(super) fn new(directory: PathBuf) -> Self {
        Self { directory }
    }

    /// The directory.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The user's own ignore rules.
    #[must_use]
    pub fn ignore(&self) -> PathBuf {
        self.directory.join("ignore")
    }

    /// Globs of ignored things to return nevertheless.
    #[must_use]
    pub fn include(&self) -> PathBuf {
        self.directory.join("include")
    }

    /// Globs of things not to return.
    #[must_use]
    pub fn exclude(&self) -> PathBuf {
        self.directory.join("exclude")
    }
}

//! The files by which git remembers a merge that is in progress.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use handoff_proto::manifest::Oid;

use super::{Git, GitError, at};

/// A file of the git directory that a pull may change besides index and references.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum GitFile {
    /// The heads that are being merged, one id a line.
    MergeHead,
    /// The message that the next commit begins with.
    MergeMessage,
    /// How the merge was asked for.
    MergeMode,
}

impl GitFile {
    /// Every such file.
    pub const ALL: [Self; 3] = [Self::MergeHead, Self::MergeMessage, Self::MergeMode];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::MergeHead => "MERGE_HEAD",
            Self::MergeMessage => "MERGE_MSG",
            Self::MergeMode => "MERGE_MODE",
        }
    }
}

/// The content of MERGE_HEAD.
#[must_use]
pub(in crate::pull) fn merge_head(heads: &[Oid]) -> Vec<u8> {
    heads.iter().flat_map(|oid| format!("{oid}\n").into_bytes()).collect()
}

impl Git {
    /// The content of a file; `None` if there is none.
    ///
    /// # Errors
    ///
    /// Where it cannot be read.
    pub fn read_file(&self, file: GitFile) -> Result<Option<Vec<u8>>, GitError> {
        let path = self.path_of(file.name())?;
        match fs::read(&path) {
            Ok(content) => Ok(Some(content)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(at(&path)(error)),
        }
    }

    /// Gives a file this content, or removes it.
    ///
    /// # Errors
    ///
    /// Where that cannot be done.
    pub fn write_file(&self, file: GitFile, content: Option<&[u8]>) -> Result<(), GitError> {
        let path = self.path_of(file.name())?;
        let done = match content {
            Some(content) => replace(&path, content),
            None => match fs::remove_file(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                done => done,
            },
        };
        done.map_err(at(&path))
    }
}

/// Replaces a file whole, with the mode that git's own files have.
fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let directory = path.parent().unwrap_or(path);
    let mode = fs::Permissions::from_mode(0o644);
    let mut file = tempfile::Builder::new().permissions(mode).tempfile_in(directory)?;
    file.write_all(content)?;
    file.as_file().sync_all()?;
    file.persist(path).map(drop).map_err(|error| error.error)
}

//! Files in their places here: opened to be looked at, and replaced by one written beside them.
//!
//! A directory or file that the user made a link, as with dotfiles that are kept elsewhere, stays
//! one: what it leads to is read and replaced.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use tempfile::{NamedTempFile, TempPath};

use super::ImportError;
use crate::settings::create_private_directory;

/// A file that is here.
#[derive(Debug)]
pub(in crate::agents) struct Here {
    pub(in crate::agents) file: File,
    pub(in crate::agents) len: u64,
    pub(super) mark: Mark,
}

/// By what a file is known to be the one that was looked at, with the same content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark([i64; 7]);

impl Mark {
    fn of(meta: &fs::Metadata) -> Self {
        let number = |number: u64| i64::from_ne_bytes(number.to_ne_bytes());
        let (device, inode, size) = (number(meta.dev()), number(meta.ino()), number(meta.size()));
        let (mtime, ctime) = ([meta.mtime(), meta.mtime_nsec()], [meta.ctime(), meta.ctime_nsec()]);
        Self([device, inode, size, mtime[0], mtime[1], ctime[0], ctime[1]])
    }
}

impl Here {
    /// Opens what is there; none where there is nothing. Never waits for a pipe.
    pub(in crate::agents) fn open(path: &Path) -> Result<Option<Self>, ImportError> {
        let failed = |source| ImportError::Read { path: path.to_owned(), source };
        let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
        let flags = i32::from_ne_bytes(flags.bits().to_ne_bytes());
        let file = match OpenOptions::new().read(true).custom_flags(flags).open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        let meta = file.metadata().map_err(failed)?;
        if !meta.is_file() {
            return Err(failed(io::Error::other("it is no regular file")));
        }
        Ok(Some(Self { file, len: meta.len(), mark: Mark::of(&meta) }))
    }
}

/// A file that waits beside its place; it is not open, since many may wait.
#[derive(Debug)]
pub(super) struct Waiting {
    file: TempPath,
    path: PathBuf,
    /// What it is to replace; none where there is nothing yet.
    over: Option<Mark>,
}

impl Waiting {
    /// Writes a file beside its place, and sees it on the disk.
    pub(super) fn write(
        path: &Path,
        over: Option<Mark>,
        write: impl FnOnce(&mut dyn Write) -> Result<(), ImportError>,
    ) -> Result<Self, ImportError> {
        let failed = |source| ImportError::Write { path: path.to_owned(), source };
        let place = led_to(path).map_err(failed)?;
        let directory = place.parent().unwrap_or(Path::new("/"));
        create_private_directory(directory).map_err(failed)?;
        let mut file = NamedTempFile::new_in(directory).map_err(failed)?;
        let mut writer = BufWriter::with_capacity(64 << 10, file.as_file_mut());
        write(&mut writer)?;
        writer.flush().map_err(failed)?;
        drop(writer);
        file.as_file().sync_all().map_err(failed)?;
        Ok(Self { file: file.into_temp_path(), path: place, over })
    }

    /// Whether its place is as it was looked at.
    pub(super) fn is_due(&self) -> bool {
        match fs::metadata(&self.path) {
            Ok(meta) => self.over == Some(Mark::of(&meta)),
            Err(error) => error.kind() == io::ErrorKind::NotFound && self.over.is_none(),
        }
    }

    /// Puts it in its place; one that was taken meanwhile stays as it is.
    pub(super) fn put(self) -> Result<(), ImportError> {
        let Self { file, path, over } = self;
        let persisted = match over {
            Some(_) => file.persist(&path),
            None => file.persist_noclobber(&path),
        };
        let directory = path.parent().unwrap_or(Path::new("/"));
        let synced =
            persisted.map_err(|error| error.error).and_then(|()| File::open(directory)?.sync_all());
        synced.map_err(|source| ImportError::Write { path: path.clone(), source })
    }
}

/// Where a link in the place of a file leads to; itself if it is none.
fn led_to(path: &Path) -> io::Result<PathBuf> {
    match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_symlink() => fs::canonicalize(path),
        Ok(_) => Ok(path.to_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(path.to_owned()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn write(path: &Path, text: &str) -> Result<Waiting, ImportError> {
        let over = Here::open(path)?.map(|here| here.mark);
        Waiting::write(path, over, |file| {
            file.write_all(text.as_bytes())
                .map_err(|source| ImportError::Write { path: path.to_owned(), source })
        })
    }

    #[test]
    fn a_link_of_the_users_stays_one() {
        let home = tempfile::tempdir().unwrap();
        let (kept, agent) = (home.path().join("kept"), home.path().join("agent"));
        fs::create_dir(&kept).unwrap();
        symlink("kept", &agent).unwrap();
        fs::write(home.path().join("elsewhere"), "old").unwrap();
        symlink("../elsewhere", agent.join("file")).unwrap();
        for name in ["file", "deep/er/file"] {
            write(&agent.join(name), "new").unwrap().put().unwrap();
        }
        assert!(agent.is_symlink() && kept.join("file").is_symlink());
        assert_eq!(fs::read_to_string(home.path().join("elsewhere")).unwrap(), "new");
        assert_eq!(fs::read_to_string(kept.join("deep/er/file")).unwrap(), "new");
        // Where a link leads nowhere, nothing is made.
        symlink("../gone", agent.join("dangling")).unwrap();
        assert!(write(&agent.join("dangling"), "new").is_err());
        assert!(!home.path().join("gone").exists());
    }

    #[test]
    fn what_changed_or_came_meanwhile_stays() {
        let home = tempfile::tempdir().unwrap();
        let (old, new) = (home.path().join("old"), home.path().join("new"));
        fs::write(&old, "old").unwrap();
        let (over, beside) = (write(&old, "x").unwrap(), write(&new, "x").unwrap());
        assert!(over.is_due() && beside.is_due());
        fs::write(&old, "changed").unwrap();
        fs::write(&new, "came").unwrap();
        assert!(!over.is_due() && !beside.is_due());
        assert!(beside.put().is_err());
        assert_eq!(fs::read_to_string(&new).unwrap(), "came");
        drop(over);
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 2);
    }

    #[test]
    fn what_is_no_file_is_refused_without_waiting() {
        let home = tempfile::tempdir().unwrap();
        let pipe = home.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
        assert!(made.success());
        assert!(Here::open(&pipe).is_err() && Here::open(home.path()).is_err());
        assert!(Here::open(&home.path().join("nothing")).unwrap().is_none());
    }
}

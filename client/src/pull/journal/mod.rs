//! Remembers what a pull changes, durably and before it changes anything.
//!
//! One directory a tree holds the last pull: the record and the contents that it replaced. A pull
//! that was cut off is put back from it; `handoff undo` puts back one that was not.

mod keeper;
mod record;
mod text;

use std::fs::{self, File};
use std::io::{self, Read, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use handoff_proto::path::AbsolutePath;

pub use self::keeper::Keeper;
pub use self::record::{
    FileStep, HeadStep, IndexStep, Node, Phase, Place, Record, RefStep, Relaxed, RepositorySteps,
    Side, TreeStep, VERSION,
};
pub use self::text::Text;
use crate::settings::{FileLock, create_private_directory, write_private};

/// The pulls into one tree. Holding it keeps every other pull and undo of that tree out.
#[derive(Debug)]
pub struct Journal {
    directory: PathBuf,
    _lock: FileLock,
}

/// One pull in the journal.
#[derive(Debug)]
pub struct Entry {
    directory: PathBuf,
}

/// The journal cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// Another pull or undo of the same tree is at work.
    #[error("another pull or undo is at work in this directory")]
    Busy,
    /// A file cannot be read or written.
    #[error("cannot access {path}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A record makes no sense to this program.
    #[error("{path} is damaged or was written by a newer program")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
}

impl Journal {
    /// Opens the journal of the tree with this root; `state` is where the client keeps its state.
    ///
    /// # Errors
    ///
    /// Where somebody else is at work, or files cannot be accessed.
    pub fn open(state: &Path, root: &AbsolutePath) -> Result<Self, JournalError> {
        let key = blake3::hash(root.as_bytes()).to_hex();
        let directory = state.join("undo").join(&key.as_str()[..32]);
        create_private_directory(&directory).map_err(at(&directory))?;
        let path = directory.join("lock");
        let lock = FileLock::try_acquire(&path).map_err(at(&path))?.ok_or(JournalError::Busy)?;
        Ok(Self { directory, _lock: lock })
    }

    /// The last pull, if there is one that is not undone.
    ///
    /// # Errors
    ///
    /// Where it cannot be read.
    pub fn last(&self) -> Result<Option<(Entry, Record)>, JournalError> {
        for number in self.numbers()?.into_iter().rev() {
            let entry = Entry { directory: self.directory.join(number.to_string()) };
            match entry.read()? {
                Some(record) => return Ok(Some((entry, record))),
                // It died before it had changed anything.
                None => entry.discard()?,
            }
        }
        Ok(None)
    }

    /// Begins with a new pull. Contents are saved in it first, then the record is written.
    ///
    /// # Errors
    ///
    /// Where directories cannot be made.
    pub fn begin(&self) -> Result<Entry, JournalError> {
        let number = self.numbers()?.last().map_or(1, |last| last + 1);
        let entry = Entry { directory: self.directory.join(number.to_string()) };
        for directory in [entry.directory.clone(), entry.contents()] {
            create_private_directory(&directory).map_err(at(&directory))?;
        }
        Ok(entry)
    }

    /// Forgets all pulls before this one: only the last can be undone.
    ///
    /// # Errors
    ///
    /// Where files cannot be removed.
    pub fn forget_before(&self, entry: &Entry) -> Result<(), JournalError> {
        for number in self.numbers()? {
            let directory = self.directory.join(number.to_string());
            if directory == entry.directory {
                break;
            }
            Entry { directory }.discard()?;
        }
        Ok(())
    }

    /// The numbers of the pulls that are there, the oldest first.
    fn numbers(&self) -> Result<Vec<u64>, JournalError> {
        let mut numbers = Vec::new();
        for found in fs::read_dir(&self.directory).map_err(at(&self.directory))? {
            let found = found.map_err(at(&self.directory))?;
            numbers.extend(found.file_name().to_str().and_then(|name| name.parse::<u64>().ok()));
        }
        numbers.sort_unstable();
        Ok(numbers)
    }
}

impl Entry {
    /// Where contents are kept, for messages.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Begins to keep old contents of files: all in one file, which is made durable at once.
    ///
    /// # Errors
    ///
    /// Where that file cannot be made.
    pub fn keeper(&self) -> Result<Keeper, JournalError> {
        let path = self.kept();
        Keeper::new(&path).map_err(at(&path))
    }

    /// Reads the content of so many bytes that was kept at this place.
    ///
    /// # Errors
    ///
    /// Where it cannot be read.
    pub fn read_kept(&self, place: u64, size: u64) -> io::Result<impl Read> {
        let mut file = File::open(self.kept())?;
        file.seek(SeekFrom::Start(place))?;
        Ok(file.take(size))
    }

    /// Where the index of this repository is kept on each side.
    #[must_use]
    pub fn index(&self, repository: usize, side: Side) -> PathBuf {
        self.contents().join(format!("index-{repository}-{}", side.of("before", "after")))
    }

    /// Where the result is kept that went into a directory of its own.
    #[must_use]
    pub fn result(&self) -> PathBuf {
        self.contents().join("result")
    }

    /// Makes everything that was saved so far durable, then the record.
    ///
    /// # Errors
    ///
    /// Where that cannot be done.
    pub fn write(&self, record: &Record) -> Result<(), JournalError> {
        let contents = self.contents();
        for found in fs::read_dir(&contents).map_err(at(&contents))? {
            let path = found.map_err(at(&contents))?.path();
            File::open(&path).and_then(|file| file.sync_all()).map_err(at(&path))?;
        }
        for directory in [&contents, &self.directory] {
            File::open(directory).and_then(|file| file.sync_all()).map_err(at(directory))?;
        }
        let path = self.record();
        let encoded = serde_json::to_vec(record)
            .map_err(|source| JournalError::Damaged { path: path.clone(), source })?;
        write_private(&path, &encoded).map_err(at(&path))
    }

    /// Removes the pull from the journal, the record first.
    ///
    /// # Errors
    ///
    /// Where files cannot be removed.
    pub fn discard(&self) -> Result<(), JournalError> {
        let record = self.record();
        for removed in [fs::remove_file(&record), fs::remove_dir_all(&self.directory)] {
            match removed {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(at(&self.directory)(error));
                }
                Ok(()) | Err(_) => {}
            }
        }
        Ok(())
    }

    fn read(&self) -> Result<Option<Record>, JournalError> {
        let path = self.record();
        let encoded = match fs::read(&path) {
            Ok(encoded) => encoded,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(at(&path)(error)),
        };
        let parsed = serde_json::from_slice(&encoded).and_then(|record: Record| {
            if record.version == VERSION {
                Ok(record)
            } else {
                Err(serde::de::Error::custom(format!("version {}", record.version)))
            }
        });
        parsed.map(Some).map_err(|source| JournalError::Damaged { path, source })
    }

    fn kept(&self) -> PathBuf {
        self.contents().join("files")
    }

    fn contents(&self) -> PathBuf {
        self.directory.join("contents")
    }

    fn record(&self) -> PathBuf {
        self.directory.join("record.json")
    }
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> JournalError {
    let path = path.to_owned();
    move |source| JournalError::File { path, source }
}

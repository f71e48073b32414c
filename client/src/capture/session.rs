//! Reads what of an agent travels. The agent may be at work meanwhile: a transcript is carried up to
//! the end of its last whole line, and what has gone since it was listed is not missed.
//!
//! Right beneath the agent's directory a link to a directory is followed: its user put it there, with
//! whatever keeps dotfiles in order. Further down nothing is.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Seek as _};
use std::os::fd::AsFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use handoff_proto::chunk::Cuts;
use handoff_proto::manifest::{Entry, Kind, MODE_MASK, Session, Timestamp};
use handoff_proto::path::TreePath;
use handoff_proto::tree::{FileError, open_regular};
use rustix::fs::fstat;

use super::read::chunk;
use super::source::{Directory, Source};
use crate::agents::{Export, ExportContent, ExportFile, Renames};

/// The beginning of a line that an agent has not written to its end yet, at most, in bytes: agents
/// put whole files into one.
const LINE_LEN_MAX: u64 = 64 << 20;

/// What travels cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The agent's directory.
    #[error("cannot open {}", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// One file beneath it.
    #[error("cannot read the agent's `{path}`")]
    Read {
        /// The file, beneath the agent's directory.
        path: TreePath,
        /// Why.
        source: io::Error,
    },
    /// One file beneath it.
    #[error("cannot open a file of the agent's in {}", directory.display())]
    Open {
        /// Where it was looked for.
        directory: PathBuf,
        /// Why.
        source: FileError,
    },
}

impl SessionError {
    /// What to do next.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Open { source: FileError::Indirect { .. } | FileError::NotRegular { .. }, .. } => {
                Some(
                    "links are followed right beneath the agent's directory only: make that one a link, and what is in there real directories and files"
                        .to_owned(),
                )
            }
            Self::Open { .. } | Self::Directory { .. } | Self::Read { .. } => None,
        }
    }
}

/// What travels, with where to read each file again.
pub(super) struct ReadSession {
    pub(super) session: Session,
    pub(super) sources: Vec<Source>,
}

pub(super) fn read(export: &Export) -> Result<ReadSession, SessionError> {
    let top = export.directory.as_os_path();
    let mut opened = match Directory::open(top) {
        Ok(directory) => Some(Opened { top: Arc::new(directory), linked: BTreeMap::new() }),
        // An agent that was never started here has nothing to take along.
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(source) => return Err(SessionError::Directory { path: top.to_owned(), source }),
    };
    let (mut files, mut sources) = (Vec::new(), Vec::new());
    for ExportFile { path, content } in &export.files {
        let read = match (content, &mut opened) {
            (ExportContent::Text { content, mode, mtime }, _) => {
                Some(of_text(content, *mode, *mtime).map_err(failed(path))?)
            }
            (ExportContent::Session(from), Some(top)) => of_file(top, from, Ends::AtItsEnd)?,
            (ExportContent::Transcript(from, renames), Some(top)) => {
                of_file(top, from, Ends::WithALine(renames))?
            }
            (ExportContent::Session(_) | ExportContent::Transcript(..), None) => None,
        };
        if let Some(CarriedFile { kind, mode, mtime, source }) = read {
            files.push(Entry { path: path.clone(), mode, mtime, kind });
            sources.push(source);
        }
    }
    let session = Session {
        agent: export.agent.to_owned(),
        id: export.id.clone(),
        directory: export.directory.clone(),
        files,
    };
    Ok(ReadSession { session, sources })
}

/// The agent's directory, and those that links right beneath it lead to.
struct Opened {
    top: Arc<Directory>,
    linked: BTreeMap<Vec<u8>, Arc<Directory>>,
}

impl Opened {
    /// From where a file is read without following a link; none if it is gone.
    fn place(
        &mut self,
        path: &TreePath,
    ) -> Result<Option<(Arc<Directory>, TreePath)>, SessionError> {
        let whole = || (Arc::clone(&self.top), path.clone());
        let Some((first, rest)) = split(path) else { return Ok(Some(whole())) };
        if let Some(directory) = self.linked.get(first) {
            return Ok(Some((Arc::clone(directory), rest)));
        }
        let link = self.top.path().join(Path::new(OsStr::from_bytes(first)));
        if !link.is_symlink() {
            return Ok(Some(whole()));
        }
        let directory = match Directory::open(&link) {
            Ok(directory) => Arc::new(directory),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(SessionError::Directory { path: link, source }),
        };
        self.linked.insert(first.to_vec(), Arc::clone(&directory));
        Ok(Some((directory, rest)))
    }
}

/// The first component of a path, and what is beneath it; none for a path of one.
fn split(path: &TreePath) -> Option<(&[u8], TreePath)> {
    let bytes = path.as_bytes();
    let end = bytes.iter().position(|byte| *byte == b'/')?;
    Some((&bytes[..end], TreePath::parse(&bytes[end + 1..]).ok()?))
}

/// Up to where a file is carried.
#[derive(Clone, Copy)]
enum Ends<'a> {
    AtItsEnd,
    /// Under these names.
    WithALine(&'a Renames),
}

struct CarriedFile {
    kind: Kind,
    mode: u32,
    mtime: Timestamp,
    source: Source,
}

fn of_text(content: &[u8], mode: u32, mtime: Timestamp) -> io::Result<CarriedFile> {
    let (size, chunks) = chunk(content, &Cuts::FILE, &[])?;
    let kind = Kind::File { size, chunks };
    Ok(CarriedFile { kind, mode, mtime, source: Source::Generated(content.into()) })
}

/// A file of the agent's; none if it is gone.
fn of_file(
    opened: &mut Opened,
    path: &TreePath,
    ends: Ends<'_>,
) -> Result<Option<CarriedFile>, SessionError> {
    let Some((top, beneath)) = opened.place(path)? else { return Ok(None) };
    let file = match open_regular(top.fd().as_fd(), &beneath) {
        Ok((file, _)) => file,
        Err(error) if error.is_not_found() => return Ok(None),
        Err(source) => {
            let directory = top.path().to_owned();
            return Err(SessionError::Open { directory, source });
        }
    };
    let read = || {
        let spooled;
        let stat = fstat(&file)?;
        let length = u64::try_from(stat.st_size).unwrap_or_default();
        let (length, renames) = match ends {
            Ends::AtItsEnd => (length, None),
            Ends::WithALine(renames) => (whole_lines(&file, length)?, Some(renames)),
        };
        let content = (&file).take(length);
        let (content, source) = match renames.filter(|renames| !renames.is_empty()) {
            None => (content, Source::Elsewhere(Arc::clone(&top), beneath.clone())),
            Some(renames) => {
                spooled = spool(top.path(), renames.reader(content))?;
                ((&*spooled).take(length), Source::Spooled(Arc::clone(&spooled)))
            }
        };
        let (size, chunks) = chunk(content, &Cuts::FILE, &[])?;
        let nanos = u32::try_from(stat.st_mtime_nsec).unwrap_or_default();
        Ok(CarriedFile {
            kind: Kind::File { size, chunks },
            mode: stat.st_mode & MODE_MASK,
            mtime: Timestamp { secs: stat.st_mtime, nanos },
            source,
        })
    };
    read().map(Some).map_err(failed(path))
}

/// What cannot be read like this again, in an unnamed file, which only its owner can.
fn spool(directory: &Path, mut content: impl Read) -> io::Result<Arc<File>> {
    let mut file = tempfile::tempfile_in(directory)?;
    io::copy(&mut content, &mut file)?;
    file.rewind()?;
    Ok(Arc::new(file))
}

fn failed(path: &TreePath) -> impl FnOnce(io::Error) -> SessionError {
    let path = path.clone();
    move |source| SessionError::Read { path, source }
}

/// The length of the whole lines among the first `length` bytes.
fn whole_lines(file: &File, length: u64) -> io::Result<u64> {
    const STEP: u64 = 64 << 10;
    let floor = length.saturating_sub(LINE_LEN_MAX);
    let mut end = length;
    while end > floor {
        let start = end.saturating_sub(STEP).max(floor);
        let mut block = vec![0; usize::try_from(end - start).unwrap_or_default()];
        file.read_exact_at(&mut block, start)?;
        if let Some(place) = block.iter().rposition(|byte| *byte == b'\n') {
            return Ok(start + place as u64 + 1);
        }
        end = start;
    }
    Ok(if floor == 0 { 0 } else { length })
}

#[cfg(test)]
mod tests {
    use handoff_proto::path::AbsolutePath;

    use super::*;

    fn length_of(content: &[u8]) -> u64 {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(content, 0).unwrap();
        whole_lines(&file, content.len() as u64).unwrap()
    }

    #[test]
    fn a_linked_directory_of_sessions_is_followed_and_nothing_beneath_it() {
        let home = tempfile::tempdir().unwrap();
        let at = |name: &str| home.path().join(name);
        for directory in ["agent", "dotfiles/projects/-w", "elsewhere"] {
            std::fs::create_dir_all(at(directory)).unwrap();
        }
        std::fs::write(at("dotfiles/projects/-w/a.jsonl"), "{}\n").unwrap();
        std::fs::write(at("elsewhere/b.jsonl"), "{}\n").unwrap();
        let link = |to: &str, from: &str| std::os::unix::fs::symlink(at(to), at(from)).unwrap();
        link("dotfiles/projects", "agent/projects");
        link("elsewhere", "dotfiles/projects/-v");
        link("nowhere", "agent/tasks");
        let path = at("agent").canonicalize().unwrap();
        let export = |name: &str| Export {
            agent: "claude",
            id: "a".to_owned(),
            directory: AbsolutePath::try_from(path.as_path()).unwrap(),
            files: vec![ExportFile {
                path: name.parse().unwrap(),
                content: ExportContent::Transcript(name.parse().unwrap(), Renames::default()),
            }],
            stays: Vec::new(),
            needs: crate::agents::Needs::default(),
        };
        let read = |name: &str| read(&export(name));
        let found = read("projects/-w/a.jsonl").unwrap();
        assert_eq!(found.session.files[0].path.to_string(), "projects/-w/a.jsonl");
        let root = Directory::open(&path).unwrap();
        let content = found.sources[0].open(&root, &found.session.files[0].path);
        assert!(content.is_ok(), "it is read again when it is sent");
        let Err(error) = read("projects/-v/b.jsonl") else { panic!("it is followed") };
        assert!(error.hint().is_some_and(|hint| hint.contains("right beneath")), "{error}");
        assert!(read("tasks/a/1.json").unwrap().session.files.is_empty());
    }

    #[test]
    fn a_transcript_ends_with_a_whole_line() {
        assert_eq!(length_of(b""), 0);
        assert_eq!(length_of(b"{}\n"), 3);
        assert_eq!(length_of(b"{}\n{\"cut"), 3);
        assert_eq!(length_of(b"{\"cut"), 0);
        let long = [b"{}\n".as_slice(), &vec![b'x'; 200_000]].concat();
        assert_eq!(length_of(&long), 3);
    }
}

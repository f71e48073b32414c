//! What an agent kept of its session: regular files in the directories that hold sessions, and
//! nothing else of what is in its directory.

use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use handoff_proto::manifest::{Entry, Kind, MODE_MASK, Session, Timestamp};
use handoff_proto::path::{AbsolutePath, TreePath, escaped};
use rustix::fs::{Mode, OFlags, open};

use super::content;
use super::note::Note;
use crate::agents;

/// Files of a session, at most: sub-agents and long results of tools have one each.
const FILES_MAX: usize = 100_000;

/// Where an agent's directory is, and whose session is looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionPlace {
    /// The kind of agent.
    pub agent: String,
    /// The session's id.
    pub id: String,
    /// Where the run's processes saw the directory.
    pub directory: AbsolutePath,
    /// Where it is now.
    pub place: PathBuf,
}

/// A session and the directory in which its files can be read again.
#[derive(Debug)]
pub(super) struct Collected {
    pub(super) session: Session,
    pub(super) root: OwnedFd,
}

/// Collects a session. What cannot be is a note: the tree is worth more than that.
pub(super) fn collect(place: &SessionPlace, notes: &mut Vec<Note>) -> Option<Collected> {
    let kind = agents::Kind::from_name(&place.agent)?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let root = match open(&place.place, flags, Mode::empty()) {
        Ok(root) => root,
        Err(error) => {
            notes.push(left_out(&place.place, &error.to_string()));
            return None;
        }
    };
    let mut files = Vec::new();
    for directory in kind.session_directories() {
        list(&place.place, directory, &mut files, notes);
    }
    files.sort_by(|a: &Entry, b| a.path.cmp(&b.path));
    content::fill(&root, &mut files, notes);
    let (agent, id, directory) = (place.agent.clone(), place.id.clone(), place.directory.clone());
    Some(Collected { session: Session { agent, id, directory, files }, root })
}

fn list(top: &Path, directory: &str, files: &mut Vec<Entry>, notes: &mut Vec<Note>) {
    // The run's processes are gone: nothing moves while this looks, and links are not followed.
    for entry in walkdir::WalkDir::new(top.join(directory)).sort_by_file_name() {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) if error.depth() == 0 => return,
            Err(error) => {
                notes.push(left_out(error.path().unwrap_or(top), &error.to_string()));
                continue;
            }
        };
        if entry.file_type().is_dir() {
            continue;
        }
        let beneath = entry.path().strip_prefix(top).unwrap_or(entry.path());
        let path = TreePath::parse(beneath.as_os_str().as_encoded_bytes());
        let (Ok(path), Ok(meta)) = (path, entry.metadata()) else { continue };
        if !meta.is_file() || path.has_git_component() {
            notes.push(left_out(beneath, "it is no file that an agent keeps"));
            continue;
        }
        if files.len() == FILES_MAX {
            notes.push(left_out(beneath, &format!("a session has at most {FILES_MAX} files")));
            return;
        }
        let nanos = u32::try_from(meta.mtime_nsec()).unwrap_or_default();
        files.push(Entry {
            path,
            mode: meta.mode() & MODE_MASK,
            mtime: Timestamp { secs: meta.mtime(), nanos },
            kind: Kind::File { size: 0, chunks: Vec::new() },
        });
    }
}

fn left_out(path: &Path, reason: &str) -> Note {
    let path = escaped(path.as_os_str().as_encoded_bytes());
    Note::LeftOut { path: format!("(session) {path}"), reason: reason.to_owned() }
}

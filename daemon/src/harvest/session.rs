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

/// What all of them hold, at most, in bytes; far more than any session.
const BYTES_MAX: u64 = 4 << 30;

/// Things left out that are told.
const NOTES_MAX: usize = 20;

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
    let mut found = Listing { top: &place.place, seen: 0, bytes: 0, notes: Vec::new() };
    for directory in kind.session_directories() {
        found.list(directory, &mut files);
    }
    let more = found.notes.len().saturating_sub(NOTES_MAX);
    notes.extend(found.notes.into_iter().take(NOTES_MAX));
    if more > 0 {
        notes.push(left_out(Path::new(""), &format!("and {more} more")));
    }
    files.sort_by(|a: &Entry, b| a.path.cmp(&b.path));
    content::fill(&root, &mut files, notes);
    let (agent, id, directory) = (place.agent.clone(), place.id.clone(), place.directory.clone());
    Some(Collected { session: Session { agent, id, directory, files }, root })
}

/// What was seen so far.
struct Listing<'a> {
    top: &'a Path,
    seen: usize,
    bytes: u64,
    notes: Vec<Note>,
}

impl Listing<'_> {
    fn list(&mut self, directory: &str, files: &mut Vec<Entry>) {
        let Self { top, seen, bytes, notes } = self;
        // The run's processes are gone: nothing moves while this looks, and links are not followed.
        let walk = walkdir::WalkDir::new(top.join(directory)).follow_root_links(false);
        for entry in walk {
            *seen += 1;
            if *seen > FILES_MAX {
                notes.push(left_out(Path::new(directory), "it holds too many files"));
                return;
            }
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) if error.depth() == 0 => return,
                Err(error) => {
                    notes.push(left_out(error.path().unwrap_or(*top), &error.to_string()));
                    continue;
                }
            };
            if entry.file_type().is_dir() {
                continue;
            }
            let beneath = entry.path().strip_prefix(*top).unwrap_or(entry.path());
            let path = TreePath::parse(beneath.as_os_str().as_encoded_bytes());
            let (Ok(path), Ok(meta)) = (path, entry.metadata()) else { continue };
            if !meta.is_file() || path.has_git_component() {
                notes.push(left_out(beneath, "it is no file that an agent keeps"));
                continue;
            }
            *bytes = bytes.saturating_add(meta.len());
            if *bytes > BYTES_MAX {
                notes.push(left_out(beneath, "the session holds too much"));
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
}

fn left_out(path: &Path, reason: &str) -> Note {
    let path = escaped(path.as_os_str().as_encoded_bytes());
    Note::LeftOut { path: format!("(session) {path}"), reason: reason.to_owned() }
}

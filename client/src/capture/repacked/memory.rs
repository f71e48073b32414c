//! What this machine remembers of the object stores in the last snapshot that a remote confirmed.
//!
//! The entries of packs and loose objects, and a copy of each pack's index, which says what is in a
//! pack that this repository may no longer have. Everything is checked when it is read: a copy
//! against the chunk ids of its entry, the entries against a hash. What is missing or damaged is
//! as good as never remembered; packs are then sent as they are.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use handoff_proto::chunk::{ChunkRef, chunk_reader};
use handoff_proto::manifest::{Entry, Kind, Limits, SnapshotManifest};
use handoff_proto::path::{AbsolutePath, TreePath};

use super::super::Capture;
use super::super::source::Content;
use super::index::INDEX_MAX;
use super::store::{self, Name};
use crate::settings::{FileLock, create_private_directory, write_private};

/// What the file of entries begins with; another version is not read.
const VERSION: &[u8] = b"handoff object stores 1\n";

/// Bytes of the hash after it.
const HASH: usize = 32;

/// What is remembered about one root and one remote.
#[derive(Clone, Debug)]
pub struct PackMemory {
    directory: PathBuf,
}

impl PackMemory {
    /// The memory of a root beneath the directory of a remote.
    #[must_use]
    pub fn new(packs: &Path, root: &AbsolutePath) -> Self {
        let name = blake3::hash(root.as_bytes()).to_hex();
        Self { directory: packs.join(name.as_str()) }
    }

    /// Remembers the object stores of a snapshot that the remote has confirmed.
    ///
    /// # Errors
    ///
    /// Where a file cannot be read or written; what was remembered before then stays or is gone.
    pub fn remember(&self, capture: &Capture) -> io::Result<()> {
        create_private_directory(&self.directory)?;
        let _lock = FileLock::acquire(&self.directory.join("lock"))?;
        let entries = of_object_stores(&capture.manifest.entries);
        let mut kept = BTreeSet::new();
        for entry in &entries {
            if is_pack_index(&entry.path) && entry.size() <= INDEX_MAX {
                let name = name_of(entry.chunks());
                if !self.indices().join(&name).exists() {
                    write_private(&self.indices().join(&name), &content(capture, &entry.path)?)?;
                }
                kept.insert(name);
            }
        }
        let SnapshotManifest { version, root_mode, root_mtime, .. } = capture.manifest;
        let (root, repositories) = (capture.manifest.root.clone(), Vec::new());
        let manifest = SnapshotManifest {
            version,
            root,
            root_mode,
            root_mtime,
            entries,
            repositories,
            session: None,
        };
        let encoded = manifest.encode();
        let content = [VERSION, blake3::hash(&encoded).as_bytes(), &encoded].concat();
        if fs::read(self.entries()).is_ok_and(|known| known == content) {
            return remove_if_any(&self.generated());
        }
        write_private(&self.entries(), &content)?;
        // What was made for this upload, or for one that was given up, is there now or never.
        remove_if_any(&self.generated())?;
        for file in read_directory(&self.indices())? {
            let name = file?.file_name();
            if name.to_str().is_none_or(|name| !kept.contains(name)) {
                fs::remove_file(self.indices().join(name))?;
            }
        }
        Ok(())
    }

    /// Forgets everything: the remote does not have it any more.
    ///
    /// # Errors
    ///
    /// Where it cannot be removed.
    pub fn forget(&self) -> io::Result<()> {
        match fs::remove_file(self.entries()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// The entries of packs and loose objects that the remote has, and of the directories above.
    pub(super) fn load(&self) -> Option<Vec<Entry>> {
        let content = fs::read(self.entries()).ok()?;
        let (hash, encoded) = content.strip_prefix(VERSION)?.split_at_checked(HASH)?;
        if blake3::hash(encoded).as_bytes() != hash {
            return None;
        }
        Some(SnapshotManifest::decode(encoded, &Limits::DEFAULT).ok()?.entries)
    }

    /// The content of a pack's index; `None` unless it is what the entry says.
    pub(super) fn index(&self, entry: &Entry) -> Option<Vec<u8>> {
        let content = fs::read(self.indices().join(name_of(entry.chunks()))).ok()?;
        let mut expected = entry.chunks().iter();
        let compared = chunk_reader(content.as_slice(), |chunk, _| {
            let same = expected.next() == Some(&chunk);
            if same { Ok(()) } else { Err(io::Error::from(io::ErrorKind::InvalidData)) }
        });
        (compared.is_ok() && expected.next().is_none()).then_some(content)
    }

    /// Where packs are made that have to be sent.
    pub(super) fn generated(&self) -> PathBuf {
        self.directory.join("generated")
    }

    fn entries(&self) -> PathBuf {
        self.directory.join("entries")
    }

    fn indices(&self) -> PathBuf {
        self.directory.join("indices")
    }
}

/// The entries of packs and loose objects with the directories above them.
fn of_object_stores(entries: &[Entry]) -> Vec<Entry> {
    let mut directories = BTreeSet::new();
    let is_wanted = |entry: &&Entry| {
        matches!(entry.kind, Kind::File { .. })
            && match store::parse(entry.path.as_bytes()) {
                Some((_, Name::Pack { extension, .. })) => store::is_part(extension),
                Some((_, Name::Loose(_))) => true,
                Some((_, Name::Packs)) | None => false,
            }
    };
    let wanted: Vec<&Entry> = entries.iter().filter(is_wanted).collect();
    for entry in &wanted {
        let mut parent = entry.path.parent();
        while let Some(path) = parent {
            parent = path.parent();
            if !directories.insert(path) {
                break;
            }
        }
    }
    let place = |path: &TreePath| entries.binary_search_by(|entry| entry.path.cmp(path)).ok();
    let directories = directories.iter().filter_map(|path| Some(&entries[place(path)?]));
    let mut all: Vec<Entry> = wanted.into_iter().chain(directories).cloned().collect();
    all.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    all
}

fn is_pack_index(path: &TreePath) -> bool {
    matches!(store::parse(path.as_bytes()), Some((_, Name::Pack { extension: b"idx", .. })))
}

/// The name of a copy: content of the same chunks has the same name.
fn name_of(chunks: &[ChunkRef]) -> String {
    let mut hasher = blake3::Hasher::new();
    for chunk in chunks {
        hasher.update(chunk.id.as_bytes());
    }
    hasher.finalize().to_hex().to_string()
}

/// The content of a captured file, whatever it has become: it is checked when it is used.
fn content(capture: &Capture, path: &TreePath) -> io::Result<Vec<u8>> {
    let at = capture.manifest.entries.binary_search_by(|entry| entry.path.cmp(path));
    let at = at.map_err(|_| io::ErrorKind::NotFound)?;
    let opened = capture.sources[at].open(&capture.directory, path).map_err(io::Error::other)?;
    let mut content = Vec::new();
    match opened {
        Content::File(file) => drop(file.take(INDEX_MAX).read_to_end(&mut content)?),
        Content::Generated(bytes) => content.extend_from_slice(&bytes),
    }
    Ok(content)
}

fn read_directory(directory: &Path) -> io::Result<impl Iterator<Item = io::Result<fs::DirEntry>>> {
    match fs::read_dir(directory) {
        Ok(files) => Ok(Some(files).into_iter().flatten()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None.into_iter().flatten()),
        Err(error) => Err(error),
    }
}

fn remove_if_any(directory: &Path) -> io::Result<()> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

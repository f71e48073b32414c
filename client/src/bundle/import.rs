//! Puts a full bundle down as a new directory.

use std::collections::{HashMap, HashSet};
use std::io::{self, BufRead};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use handoff_proto::bundle::{BundleError, BundleLimits, Item, Reader};
use handoff_proto::chunk::{ChunkId, ChunkRef};
use handoff_proto::manifest::{Entry, Kind, Limits, ManifestError, SnapshotManifest};
use handoff_proto::path::TreePath;
use handoff_proto::tree::{FileError, Writer, open_regular};
use rustix::fd::{AsFd as _, OwnedFd};
use rustix::fs::{Mode, OFlags};

/// The bundle was not imported; nothing is left behind.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// It is damaged, cut off, of a newer version, or no bundle at all.
    #[error("this is no complete bundle of handoff")]
    Bundle(#[source] BundleError),
    /// It carries chunks only, for a daemon that has the rest.
    #[error("this bundle holds no manifest: it is not one that `handoff export` wrote")]
    Thin,
    /// Its manifest breaks a rule.
    #[error("the manifest of this bundle cannot be used")]
    Manifest(#[source] ManifestError),
    /// Its chunks do not come in the order in which files need them, or one is missing.
    #[error("this bundle lacks a part of `{path}` where it should be")]
    Order {
        /// The file.
        path: TreePath,
    },
    /// Something is where the tree should go.
    #[error("{path} exists already")]
    Exists {
        /// Where.
        path: PathBuf,
    },
    /// A file cannot be written.
    #[error("cannot write the tree")]
    Write(#[source] FileError),
    /// The directory cannot be made or put into its place.
    #[error("cannot make {path}")]
    Place {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// What was imported.
#[derive(Debug)]
pub struct Imported {
    /// The snapshot that the bundle held.
    pub manifest: SnapshotManifest,
    /// Bytes of all files.
    pub bytes: u64,
}

/// Begins to read a full bundle: its manifest, and the reader that now expects its chunks.
///
/// # Errors
///
/// Where this is no full bundle.
pub fn read_manifest<R: BufRead>(input: R) -> Result<(SnapshotManifest, Reader<R>), ImportError> {
    let limits = Limits::DEFAULT;
    let manifest_bytes_max = limits.manifest_bytes_max as u64;
    let bundle_limits = BundleLimits::new(
        manifest_bytes_max,
        manifest_bytes_max.saturating_add(limits.content_bytes_max),
    );
    let mut reader = Reader::new(input, bundle_limits);
    let encoded = match reader.next_item() {
        Ok(Some(Item::Manifest(encoded))) => encoded,
        Ok(Some(Item::Chunk(_)) | None) | Err(BundleError::Unexpected(_)) => {
            return Err(ImportError::Thin);
        }
        Err(error) => return Err(ImportError::Bundle(error)),
    };
    let manifest = SnapshotManifest::decode(&encoded, &limits).map_err(ImportError::Manifest)?;
    reader.expect(manifest.chunks()).map_err(ImportError::Bundle)?;
    Ok((manifest, reader))
}

/// The name of the directory that the tree was in; none where it is hidden or was the root itself:
/// a foreign bundle shall not choose such a place.
#[must_use]
pub fn default_name(manifest: &SnapshotManifest) -> Option<&Path> {
    let name = manifest.root.as_os_path().file_name()?;
    (!name.as_bytes().starts_with(b".")).then_some(Path::new(name))
}

/// Writes the tree of a bundle as the directory `into`, which must not exist or be empty. It
/// appears there when it is complete. `on_written` is told the bytes of each chunk. Blocks.
///
/// # Errors
///
/// See [`ImportError`]; `into` is then as it was.
pub fn import<R: BufRead>(
    manifest: SnapshotManifest,
    bundle: Reader<R>,
    into: &Path,
    on_written: &dyn Fn(u64),
) -> Result<Imported, ImportError> {
    let place = |source| ImportError::Place { path: into.to_owned(), source };
    if !is_free(into).map_err(place)? {
        return Err(ImportError::Exists { path: into.to_owned() });
    }
    let parent = match into.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) | None => Path::new("."),
    };
    // Beside its place, so that it can be moved there at once; goes away by itself unless it is.
    let staging =
        tempfile::Builder::new().prefix(".handoff-import-").tempdir_in(parent).map_err(place)?;
    write_tree(&manifest, bundle, staging.path(), on_written)?;
    // Replaces an empty directory at most, and never follows a link.
    std::fs::rename(staging.path(), into).map_err(|source| match source.kind() {
        io::ErrorKind::DirectoryNotEmpty
        | io::ErrorKind::NotADirectory
        | io::ErrorKind::AlreadyExists => ImportError::Exists { path: into.to_owned() },
        _ => place(source),
    })?;
    // It is in its place under another name: nothing to clean up.
    drop(staging.keep());
    let bytes = super::export::content_bytes(&manifest);
    Ok(Imported { manifest, bytes })
}

/// Whether nothing is there, or an empty directory.
fn is_free(path: &Path) -> io::Result<bool> {
    match path.symlink_metadata() {
        Ok(meta) if meta.is_dir() => Ok(std::fs::read_dir(path)?.next().is_none()),
        Ok(_) => Ok(false),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(error),
    }
}

fn write_tree<R: BufRead>(
    manifest: &SnapshotManifest,
    bundle: Reader<R>,
    root: &Path,
    on_written: &dyn Fn(u64),
) -> Result<(), ImportError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let opened = rustix::fs::open(root, flags, Mode::empty())
        .map_err(|errno| ImportError::Place { path: root.to_owned(), source: errno.into() })?;
    let mut writer = Writer::open(root, None).map_err(ImportError::Write)?;
    for entry in &manifest.entries {
        match &entry.kind {
            Kind::Directory => writer
                .directory(&entry.path, entry.mode, entry.mtime)
                .map_err(ImportError::Write)?,
            Kind::Symlink { target } => writer.symlink(&entry.path, target, entry.mtime),
            Kind::File { .. } => {}
        }
    }
    let mut chunks = Chunks::new(manifest, bundle, opened, on_written);
    for (number, entry) in manifest.entries.iter().enumerate() {
        if let Kind::File { chunks: needed, .. } = &entry.kind {
            chunks.begin(number);
            let content = needed.iter().map(|chunk| chunks.next(*chunk));
            let written = writer.file_from_chunks(&entry.path, entry.mode, entry.mtime, content);
            if let Some(error) = chunks.failure.take() {
                return Err(error);
            }
            written.map_err(ImportError::Write)?;
        }
    }
    chunks.end()?;
    writer.root_directory(manifest.root_mode, manifest.root_mtime);
    writer.finish().map_err(ImportError::Write)
}

/// Gives files their chunks: from the bundle where one is used first, else from the file that has
/// it already.
struct Chunks<'a, R: BufRead> {
    manifest: &'a SnapshotManifest,
    bundle: Reader<R>,
    root: OwnedFd,
    on_written: &'a dyn Fn(u64),
    /// Chunks that are needed more than once.
    repeated: HashSet<ChunkId>,
    /// Where those of them are that have been written: the entry and the offset.
    written: HashMap<ChunkId, (usize, u64)>,
    /// The entry being written, and how far.
    entry: usize,
    offset: u64,
    failure: Option<ImportError>,
}

impl<'a, R: BufRead> Chunks<'a, R> {
    fn new(
        manifest: &'a SnapshotManifest,
        bundle: Reader<R>,
        root: OwnedFd,
        on_written: &'a dyn Fn(u64),
    ) -> Self {
        let mut seen = HashSet::new();
        let chunks = manifest.chunks().map(|chunk| chunk.id);
        let repeated = chunks.filter(|id| !seen.insert(*id)).collect();
        let (written, failure) = (HashMap::new(), None);
        Self { manifest, bundle, root, on_written, repeated, written, entry: 0, offset: 0, failure }
    }

    fn begin(&mut self, entry: usize) {
        (self.entry, self.offset) = (entry, 0);
    }

    /// The next chunk of the entry; a failure is kept with all that is known about it.
    fn next(&mut self, chunk: ChunkRef) -> io::Result<Vec<u8>> {
        let content = match self.written.get(&chunk.id) {
            Some(&(entry, offset)) => self.read_back(entry, offset, chunk),
            None => self.receive(chunk),
        };
        if self.repeated.contains(&chunk.id) {
            self.written.entry(chunk.id).or_insert((self.entry, self.offset));
        }
        self.offset += u64::from(chunk.size);
        (self.on_written)(u64::from(chunk.size));
        content.map_err(|error| {
            self.failure = Some(error);
            io::Error::other("the bundle ends here")
        })
    }

    fn receive(&mut self, chunk: ChunkRef) -> Result<Vec<u8>, ImportError> {
        match self.bundle.next_item().map_err(ImportError::Bundle)? {
            Some(Item::Chunk(found)) if found.id() == chunk.id => Ok(found.into_content()),
            Some(_) | None => Err(ImportError::Order { path: self.path().clone() }),
        }
    }

    fn read_back(
        &self,
        entry: usize,
        offset: u64,
        chunk: ChunkRef,
    ) -> Result<Vec<u8>, ImportError> {
        let from = &self.manifest.entries[entry].path;
        let mut content = vec![0; chunk.size as usize];
        let (file, _) = open_regular(self.root.as_fd(), from).map_err(ImportError::Write)?;
        file.read_exact_at(&mut content, offset).map_err(|source| {
            ImportError::Write(FileError::Content { path: from.to_string(), source })
        })?;
        if ChunkId::of(&content) == chunk.id {
            Ok(content)
        } else {
            let source = io::Error::other("it changed while the tree was written");
            let path = from.to_string();
            Err(ImportError::Write(FileError::Content { path, source }))
        }
    }

    fn path(&self) -> &TreePath {
        let entry: &Entry = &self.manifest.entries[self.entry];
        &entry.path
    }

    /// Makes sure that nothing follows.
    fn end(mut self) -> Result<(), ImportError> {
        match self.bundle.next_item().map_err(ImportError::Bundle)? {
            None => Ok(()),
            Some(_) => Err(ImportError::Bundle(BundleError::Trailing)),
        }
    }
}

//! The manifest of a result, which comes out of a sandbox.

use crate::chunk::ChunkRef;
use crate::path::{AbsolutePath, TreePath};

use super::check::{self, GitNames};
use super::entry::Entry;
use super::error::ManifestError;
use super::id::{ResultId, SnapshotId};
use super::index::IndexEntry;
use super::limits::Limits;
use super::oid::{ObjectFormat, Oid};
use super::parallel;
use super::ref_name::RefName;
use super::repository::{Head, Operation};
use super::session::Session;
use super::stored;

/// What a turn returns: a working tree without any git directory, and parsed repository state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResultManifest {
    /// [`version_of`](super::version_of) the session.
    pub version: u32,
    /// The snapshot that the run started from.
    pub base: SnapshotId,
    /// Where the tree is.
    pub root: AbsolutePath,
    /// What is beneath the root, sorted by path, each once, every parent among them. No component
    /// is `.git` in any spelling.
    pub entries: Vec<Entry>,
    /// The repositories of the base that still exist, sorted by path, each once.
    pub repositories: Vec<RepositoryResult>,
    /// Directories that became repositories during the run, sorted, each once. Only their files
    /// are carried.
    pub new_repositories: Vec<TreePath>,
    /// The agent's session as the turn left it, if an agent did the turn.
    pub session: Option<Session>,
}

/// The state of one repository after a turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepositoryResult {
    /// The directory of its working tree; `None` for the root.
    pub path: Option<TreePath>,
    /// How its objects are named; every id below is of that format.
    pub object_format: ObjectFormat,
    /// What HEAD says.
    pub head: Head,
    /// The references that hold an object id, sorted by name, each once.
    pub refs: Vec<(RefName, Oid)>,
    /// The index, sorted by the plain bytes of the path and then by stage, each once.
    pub index: Vec<IndexEntry>,
    /// Operations in progress with their heads, sorted by operation, each once.
    pub in_progress: Vec<(Operation, Vec<Oid>)>,
    /// One self-contained pack with the objects that the base lacks; empty if there are none.
    pub pack: Vec<ChunkRef>,
}

impl ResultManifest {
    /// The canonical encoding. Only that of a valid manifest can be decoded again.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut encoded = Vec::new();
        stored::result_pieces(self, |piece| encoded.extend_from_slice(piece));
        encoded
    }

    /// Decodes what [`encode`](Self::encode) wrote, trusting nothing.
    ///
    /// # Errors
    ///
    /// Anything that `encode` would not have written for a valid manifest, or that exceeds a limit.
    pub fn decode(bytes: &[u8], limits: &Limits) -> Result<Self, ManifestError> {
        let manifest = stored::decode_result(bytes, limits)?;
        let is_canonical = || {
            let mut rest = Some(bytes);
            stored::result_pieces(&manifest, |piece| {
                rest = rest.and_then(|rest| rest.strip_prefix(piece));
            });
            rest == Some(&[])
        };
        let entries = manifest.entries.len();
        let (is_canonical, valid) =
            parallel::both(entries, is_canonical, || manifest.validate(limits));
        valid?;
        if is_canonical { Ok(manifest) } else { Err(ManifestError::NotCanonical) }
    }

    /// Checks every rule of a result, for whoever has made one.
    ///
    /// # Errors
    ///
    /// The first rule that is broken, with the path.
    pub fn validate(&self, limits: &Limits) -> Result<(), ManifestError> {
        check::version(self.version, self.session.as_ref())?;
        let content = check::entries(&self.entries, GitNames::Refused, limits)?;
        let content =
            check::repository_results(&self.repositories, &self.entries, content, limits)?;
        check::new_repositories(self, limits)?;
        self.session.as_ref().map_or(Ok(content), |session| session.check(content, limits))?;
        Ok(())
    }

    /// The id: the BLAKE3 of [`encode`](Self::encode).
    #[must_use]
    pub fn id(&self) -> ResultId {
        ResultId::of(&self.encode())
    }

    /// Every chunk in order of use: the tree's, then those of the session; one that is used twice
    /// comes twice.
    pub fn chunks(&self) -> impl Iterator<Item = ChunkRef> {
        let session = self.session.iter().flat_map(|session| &session.files);
        self.tree_chunks().chain(session.flat_map(Entry::chunks).copied())
    }

    /// The chunks of files and then of packs; one that is used twice comes twice.
    pub fn tree_chunks(&self) -> impl Iterator<Item = ChunkRef> {
        let files = self.entries.iter().flat_map(|entry| entry.chunks());
        let packs = self.repositories.iter().flat_map(|repository| &repository.pack);
        files.chain(packs).copied()
    }

    /// The entry of this path.
    #[must_use]
    pub fn entry(&self, path: &TreePath) -> Option<&Entry> {
        check::find(&self.entries, path)
    }
}

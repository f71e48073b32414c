//! The manifest of a snapshot, which a laptop makes.

use crate::chunk::ChunkRef;
use crate::path::{AbsolutePath, TreePath};

use super::check::{self, GitNames};
use super::entry::{Entry, Timestamp};
use super::error::ManifestError;
use super::id::SnapshotId;
use super::limits::Limits;
use super::parallel;
use super::repository::Repository;
use super::session::Session;
use super::stored;

/// The state of one directory tree, git directories included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotManifest {
    /// [`version_of`](super::version_of) the session.
    pub version: u32,
    /// Where the tree is, on the laptop as in the sandbox.
    pub root: AbsolutePath,
    /// Permission bits of the root directory.
    pub root_mode: u32,
    /// When the root directory was last modified.
    pub root_mtime: Timestamp,
    /// What is beneath the root, sorted by path, each once, every parent among them.
    pub entries: Vec<Entry>,
    /// The repositories in the tree, sorted by path, each once.
    pub repositories: Vec<Repository>,
    /// The agent's session that goes on with the tree, if one does.
    pub session: Option<Session>,
}

impl SnapshotManifest {
    /// The canonical encoding. Only that of a valid manifest can be decoded again.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut encoded = Vec::new();
        stored::snapshot_pieces(self, |piece| encoded.extend_from_slice(piece));
        encoded
    }

    /// Decodes what [`encode`](Self::encode) wrote, trusting nothing.
    ///
    /// # Errors
    ///
    /// Anything that `encode` would not have written for a valid manifest, or that exceeds a limit.
    pub fn decode(bytes: &[u8], limits: &Limits) -> Result<Self, ManifestError> {
        let manifest = stored::decode_snapshot(bytes, limits)?;
        let is_canonical = || {
            let mut rest = Some(bytes);
            stored::snapshot_pieces(&manifest, |piece| {
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

    /// The canonical encoding of a valid manifest, for whoever has made one.
    ///
    /// # Errors
    ///
    /// The first rule that is broken, with the path.
    pub fn encode_checked(&self, limits: &Limits) -> Result<Vec<u8>, ManifestError> {
        let entries = self.entries.len();
        let (encoded, valid) = parallel::both(entries, || self.encode(), || self.validate(limits));
        valid.map(|()| encoded)
    }

    /// Checks every rule of a snapshot, for whoever has made one.
    ///
    /// # Errors
    ///
    /// The first rule that is broken, with the path.
    pub fn validate(&self, limits: &Limits) -> Result<(), ManifestError> {
        check::version(self.version, self.session.as_ref())?;
        check::root_meta(self.root_mode, self.root_mtime)?;
        let content = check::entries(&self.entries, GitNames::Carried, limits)?;
        check::repositories(&self.repositories, &self.entries, limits)?;
        self.session.as_ref().map_or(Ok(content), |session| session.check(content, limits))?;
        Ok(())
    }

    /// The id: the BLAKE3 of [`encode`](Self::encode).
    #[must_use]
    pub fn id(&self) -> SnapshotId {
        SnapshotId::of(&self.encode())
    }

    /// Every chunk in order of use, the session's last; one that is used twice comes twice.
    pub fn chunks(&self) -> impl Iterator<Item = ChunkRef> {
        let session = self.session.iter().flat_map(|session| &session.files);
        self.entries.iter().chain(session).flat_map(Entry::chunks).copied()
    }

    /// The size of all files, the session's included, in bytes.
    #[must_use]
    pub fn content_bytes(&self) -> u64 {
        let session = self.session.as_ref().map_or(0, Session::size);
        self.entries.iter().map(Entry::size).sum::<u64>() + session
    }

    /// The entry of this path.
    #[must_use]
    pub fn entry(&self, path: &TreePath) -> Option<&Entry> {
        check::find(&self.entries, path)
    }
}

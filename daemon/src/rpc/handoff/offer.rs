//! What an offer must be, checked before anything is uploaded. Changes nothing.

use handoff_proto::{
    chunk::{Chunk, ChunkRef},
    manifest::{Session, SnapshotId, SnapshotManifest},
    run::{Contract, RunName},
    wire,
};
use tonic::Status;

use crate::{
    config::NetworkAccess,
    rpc::status::Refusal,
    runs::{CreateError, Registry},
    store::{Reservation, Usage, UserName},
    workspace,
};

/// Random bytes in an idempotency key.
const KEY_BYTES: usize = 32;

/// Largest plain manifest that is accepted from a network, in bytes: some two million files.
const MANIFEST_BYTES_MAX: u64 = 256 << 20;

/// Most runs of one user. Each is looked at whenever one of them is looked for.
const RUNS_MAX: usize = 10_000;

/// An offer that may go on.
pub(super) struct Accepted {
    pub(super) idempotency_key: Vec<u8>,
    pub(super) name: Option<RunName>,
    pub(super) snapshot: SnapshotId,
    pub(super) manifest_bytes: u64,
    /// The manifest that the client has a delta to, and the delta's plain size.
    pub(super) delta: Option<(SnapshotId, u64)>,
    pub(super) contract: Contract,
}

/// Checks an offer as far as that is possible without its manifest.
pub(super) fn check(
    registry: &Registry,
    user: &UserName,
    offer: wire::Offer,
) -> Result<Accepted, Status> {
    if offer.idempotency_key.len() != KEY_BYTES {
        return Err(Status::invalid_argument("idempotency key is not 32 bytes"));
    }
    let name = match offer.name.as_str() {
        "" => None,
        text => Some(RunName::parse(text).map_err(Refusal::from)?),
    };
    if let Some(name) = &name
        && registry.is_taken(user, name)
    {
        return Err(CreateError::NameTaken(name.clone()).into());
    }
    if registry.count(user) >= RUNS_MAX {
        return Err(Refusal::too_many_runs(RUNS_MAX).into());
    }
    let snapshot = snapshot_id(&offer.snapshot)?;
    let delta = match offer.manifest_base.as_slice() {
        [] => None,
        id => Some((snapshot_id(id)?, offer.delta_bytes)),
    };
    let largest = offer.manifest_bytes.max(offer.delta_bytes);
    if largest > MANIFEST_BYTES_MAX {
        let (bytes, max) = (largest, MANIFEST_BYTES_MAX);
        return Err(Status::resource_exhausted(format!(
            "manifest of {bytes} bytes is over the limit of {max} bytes: hand off fewer files"
        )));
    }
    registry.settings().config.store.quota().check_entries(offer.entries)?;
    // Also for who has nothing to send: a run writes.
    registry.check_room(0)?;
    let contract =
        offer.contract.ok_or_else(|| Status::invalid_argument("offer has no contract"))?;
    registry.check_agent(&contract)?;
    let started = registry.as_started(&contract);
    workspace::find_command(&started, None, &registry.settings().tools)?;
    let network = &registry.settings().config.network;
    if network.access == NetworkAccess::None && !contract.hosts.is_empty() {
        return Err(Refusal::no_network().into());
    }
    Ok(Accepted {
        idempotency_key: offer.idempotency_key,
        name,
        snapshot,
        manifest_bytes: offer.manifest_bytes,
        delta,
        contract,
    })
}

fn snapshot_id(bytes: &[u8]) -> Result<SnapshotId, Status> {
    <[u8; 32]>::try_from(bytes)
        .map(SnapshotId::from_bytes)
        .map_err(|_| Status::invalid_argument("snapshot id is not 32 bytes"))
}

/// Promises the user room for what is lacking, or refuses it before it is sent.
pub(super) async fn reserve(
    registry: &Registry,
    user: &UserName,
    lacking: &[ChunkRef],
    manifest: Chunk<&[u8]>,
) -> Result<Reservation, Status> {
    let stored = registry.store().blobs.usage(user).await?;
    let mut adds = Usage { bytes: bytes_of(lacking), blobs: lacking.len() as u64 };
    if !registry.store().blobs.lacks(user, &[manifest.id()]).await?.is_empty() {
        adds.bytes += manifest.content().len() as u64;
        adds.blobs += 1;
    }
    let quota = registry.settings().config.store.quota();
    Ok(registry.quotas().reserve(user, &quota, stored, adds)?)
}

/// The plain size of these chunks together.
pub(super) fn bytes_of(chunks: &[ChunkRef]) -> u64 {
    chunks.iter().map(|chunk| u64::from(chunk.size)).sum()
}

impl Accepted {
    /// Checks that contract and manifest speak of the same session.
    fn check_session(&self, session: Option<&Session>) -> Result<(), Status> {
        let contract = &self.contract;
        let terms = contract.agent_terms.as_ref();
        let differs = |session: &Session| {
            session.agent != contract.agent
                || session.id != contract.session_id
                || terms.is_none_or(|terms| terms.directory != session.directory.as_bytes())
        };
        if session.is_some_and(differs) {
            return Err(Status::invalid_argument("contract and manifest name different sessions"));
        }
        if session.is_none() && terms.is_some_and(|terms| !terms.is_new) {
            return Err(Status::invalid_argument("the session that is to go on is not there"));
        }
        Ok(())
    }

    /// Checks that contract and manifest speak of the same tree, and that there is room for it and
    /// for so many bytes that are still to be stored.
    pub(super) fn check_manifest(
        &self,
        registry: &Registry,
        snapshot: &SnapshotManifest,
        upload: u64,
    ) -> Result<(), Status> {
        if snapshot.root.as_bytes() != self.contract.root {
            return Err(Status::invalid_argument("contract and manifest name different roots"));
        }
        self.check_session(snapshot.session.as_ref())?;
        let files = snapshot.session.as_ref().map_or(0, |session| session.files.len());
        let entries = (snapshot.entries.len() + files) as u64;
        registry.settings().config.store.quota().check_entries(entries)?;
        let started = registry.as_started(&self.contract);
        workspace::find_command(&started, Some(snapshot), &registry.settings().tools)?;
        let content = snapshot.content_bytes();
        Ok(registry.check_room(upload.saturating_add(content))?)
    }
}

//! Asks a remote which chunks it lacks.

use handoff_proto::chunk::{ChunkId, ChunkIdSet};
use handoff_proto::wire::{ChunkIds, FRAME_BYTES_MAX};

use super::{Error, Remote};

/// Bytes of a chunk id.
const ID_BYTES: usize = 32;

impl Remote {
    /// Which of these chunks the remote lacks.
    ///
    /// # Errors
    ///
    /// Where it does not answer.
    pub async fn lacking(
        &self,
        chunks: impl Iterator<Item = ChunkId>,
    ) -> Result<ChunkIdSet, Error> {
        let unique: ChunkIdSet = chunks.collect();
        let ids: Vec<u8> = unique.iter().flat_map(|id| *id.as_bytes()).collect();
        let messages: Vec<ChunkIds> =
            ids.chunks(FRAME_BYTES_MAX).map(|ids| ChunkIds { ids: ids.to_vec() }).collect();
        let failed = |status| self.error(status);
        let reply = self.runs().lacks(tokio_stream::iter(messages)).await.map_err(failed)?;
        let mut replies = reply.into_inner();
        let mut lacking = ChunkIdSet::default();
        while let Some(ChunkIds { ids }) = replies.message().await.map_err(failed)? {
            let (ids, _rest) = ids.as_chunks::<ID_BYTES>();
            let ids = ids.iter().map(|id| ChunkId::from_bytes(*id));
            lacking.extend(ids.filter(|id| unique.contains(id)));
        }
        Ok(lacking)
    }
}

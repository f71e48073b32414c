//! Gets manifests and contents of a run from its remote; what arrives is checked byte by byte.

use std::collections::HashMap;
use std::io;
use std::time::Duration;

use handoff_proto::bundle::{BundleError, BundleLimits, Item, Reader};
use handoff_proto::chunk::{ChunkId, ChunkRef};
use handoff_proto::frames::{FrameReader, UnpackError, unpack_manifest};
use handoff_proto::manifest::{
    Limits, ManifestError, ResultId, ResultManifest, SnapshotId, SnapshotManifest,
};
use handoff_proto::wire::manifest_request::Which;
use handoff_proto::wire::{ChunksRequest, Frame, ManifestRequest, RunSelector};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tonic::Streaming;

use super::chunks::{ChunkError, Chunks};
use crate::remote::{self, Remote};

/// Frames that may wait for the disk.
const FRAMES_AHEAD: usize = 8;

/// A remote that sends nothing for this long, though it answers for its connection, keeps the user
/// waiting for no reason: it reads what it has.
const IDLE: Duration = Duration::from_secs(if cfg!(test) { 5 } else { 120 });

/// Ids in one message: 512 KiB of them.
const IDS_PER_MESSAGE: usize = 16 * 1024;

/// Why something could not be had from a remote.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The remote.
    #[error("{0}")]
    Remote(#[from] remote::Error),
    /// A manifest that is no stream of frames.
    #[error("the manifest arrived damaged")]
    Unpack(#[from] UnpackError),
    /// A manifest larger than any that is accepted.
    #[error("the manifest has {0} bytes, which is more than this program accepts")]
    TooLarge(u64),
    /// A stream that goes on without saying anything.
    #[error("the remote sent an empty frame")]
    EmptyFrame,
    /// A stream that neither goes on nor ends.
    #[error("the remote sent nothing for {} s", IDLE.as_secs())]
    Idle,
    /// A manifest that breaks a rule.
    #[error("the manifest of the run is refused")]
    Manifest(#[from] ManifestError),
    /// Another manifest than the one that was asked for.
    #[error("the remote sent another manifest than the one of this run")]
    OtherManifest,
    /// A bundle that breaks a rule.
    #[error("the contents of the run are refused")]
    Bundle(#[from] BundleError),
    /// A bundle that ended too early.
    #[error("the remote did not send chunk {0}")]
    Missing(ChunkId),
    /// The disk.
    #[error(transparent)]
    Chunk(#[from] ChunkError),
    /// The reading thread ended.
    #[error("reading what arrived was interrupted")]
    Interrupted,
}

/// The snapshot of this id, which the run started from.
///
/// # Errors
///
/// Where it cannot be had or is not what its id says.
pub async fn snapshot(
    remote: &Remote,
    run: &str,
    id: SnapshotId,
) -> Result<SnapshotManifest, FetchError> {
    let encoded = manifest(remote, run, Which::Snapshot).await?;
    if SnapshotId::of(&encoded) != id {
        return Err(FetchError::OtherManifest);
    }
    decode(move || SnapshotManifest::decode(&encoded, &Limits::DEFAULT)).await
}

/// The result of this id, which the run returned.
///
/// # Errors
///
/// Where it cannot be had, is not what its id says or breaks a rule.
pub async fn result(
    remote: &Remote,
    run: &str,
    id: ResultId,
) -> Result<ResultManifest, FetchError> {
    let encoded = manifest(remote, run, Which::Result).await?;
    if ResultId::of(&encoded) != id {
        return Err(FetchError::OtherManifest);
    }
    decode(move || ResultManifest::decode(&encoded, &Limits::DEFAULT)).await
}

/// Decodes on a thread that may be busy for a while.
async fn decode<M: Send + 'static>(
    decode: impl FnOnce() -> Result<M, ManifestError> + Send + 'static,
) -> Result<M, FetchError> {
    let decoded = tokio::task::spawn_blocking(decode).await;
    Ok(decoded.map_err(|_| FetchError::Interrupted)??)
}

/// Adds the contents that `chunks` lacks of those wanted. `on_bytes` is told how many bytes of
/// content have arrived so far.
///
/// # Errors
///
/// Where one does not arrive or is not what its id says.
pub async fn contents(
    remote: &Remote,
    run: &str,
    wanted: &HashMap<ChunkId, u32>,
    chunks: Chunks,
    on_bytes: impl Fn(u64) + Send + 'static,
) -> Result<Chunks, FetchError> {
    let lacking: Vec<ChunkRef> = wanted
        .iter()
        .filter(|(id, _)| !chunks.has(id))
        .map(|(id, size)| ChunkRef { id: *id, size: *size })
        .collect();
    if lacking.is_empty() {
        return Ok(chunks);
    }
    let requests = tokio_stream::iter(requests(run, &lacking));
    let answer = remote.runs().chunks(requests).await.map_err(|status| remote.error(status))?;
    let mut frames = answer.into_inner();
    let (sender, receiver) = mpsc::channel::<Frame>(FRAMES_AHEAD);
    let reading = tokio::task::spawn_blocking(move || read(receiver, &lacking, chunks, on_bytes));
    let mut failure = None;
    loop {
        let next = tokio::select! {
            next = next(remote, &mut frames) => next,
            // The reader has all it wants, or says why it does not go on.
            () = sender.closed() => break,
        };
        match next {
            Ok(Some(frame)) => {
                if sender.send(frame).await.is_err() {
                    break;
                }
            }
            Ok(None) => break,
            Err(error) => {
                failure = Some(error);
                break;
            }
        }
    }
    drop(sender);
    let read = reading.await.map_err(|_| FetchError::Interrupted)?;
    match failure {
        Some(failure) => Err(failure),
        None => read,
    }
}

/// The next message of a stream.
async fn next<T>(remote: &Remote, stream: &mut Streaming<T>) -> Result<Option<T>, FetchError> {
    match timeout(IDLE, stream.message()).await {
        Ok(message) => message.map_err(|status| remote.error(status).into()),
        Err(_elapsed) => Err(FetchError::Idle),
    }
}

async fn manifest(remote: &Remote, run: &str, which: Which) -> Result<Vec<u8>, FetchError> {
    let size_max = Limits::DEFAULT.manifest_bytes_max as u64;
    let request = ManifestRequest { run: Some(selector(run)), which: which.into() };
    let answer = remote.runs().manifest(request).await.map_err(|status| remote.error(status))?;
    let mut frames = answer.into_inner();
    let (mut packed, mut announced) = (Vec::new(), 0);
    let mut size = 0;
    while let Some(part) = next(remote, &mut frames).await? {
        announced = part.manifest_bytes;
        let frame = part.frame.unwrap_or_default();
        if frame.data.is_empty() {
            return Err(FetchError::EmptyFrame);
        }
        size += frame.data.len() as u64;
        if announced > size_max || size > size_max {
            return Err(FetchError::TooLarge(announced.max(size)));
        }
        packed.push(frame);
    }
    let mut packed = packed.into_iter();
    let reader = FrameReader::new(move || Ok(packed.next()));
    Ok(unpack_manifest(reader, announced)?)
}

fn requests(run: &str, lacking: &[ChunkRef]) -> Vec<ChunksRequest> {
    let ids = |part: &[ChunkRef]| -> Vec<u8> {
        part.iter().flat_map(|chunk| *chunk.id.as_bytes()).collect()
    };
    let parts = lacking.chunks(IDS_PER_MESSAGE).enumerate();
    let request = |(number, part): (usize, &[ChunkRef])| ChunksRequest {
        run: (number == 0).then(|| selector(run)),
        ids: ids(part),
    };
    parts.map(request).collect()
}

/// Reads the bundle that arrives and keeps exactly what was asked for.
fn read(
    mut frames: mpsc::Receiver<Frame>,
    lacking: &[ChunkRef],
    mut chunks: Chunks,
    on_bytes: impl Fn(u64),
) -> Result<Chunks, FetchError> {
    let total = lacking.iter().map(|chunk| u64::from(chunk.size)).sum();
    let stream = FrameReader::new(move || io::Result::Ok(frames.blocking_recv()));
    let mut bundle = Reader::new(stream, BundleLimits::new(0, total));
    bundle.expect(lacking.iter().copied())?;
    let mut arrived = 0;
    while let Some(item) = bundle.next_item()? {
        // No manifest is among what is expected: the reader has refused it.
        if let Item::Chunk(chunk) = item {
            let content = chunk.content();
            let size = u32::try_from(content.len()).unwrap_or(u32::MAX);
            chunks.add(ChunkRef { id: chunk.id(), size }, content)?;
            arrived += u64::from(size);
            on_bytes(arrived);
        }
    }
    match bundle.missing().next() {
        Some(id) => Err(FetchError::Missing(id)),
        None => Ok(chunks),
    }
}

fn selector(run: &str) -> RunSelector {
    RunSelector { run: run.to_owned(), directory: Vec::new() }
}

#[cfg(test)]
mod hostile;

#[cfg(test)]
mod tests {
    use handoff_proto::bundle::Writer;
    use handoff_proto::frames::frames;

    use super::*;

    fn chunk(content: &[u8]) -> ChunkRef {
        ChunkRef { id: ChunkId::of(content), size: u32::try_from(content.len()).unwrap() }
    }

    /// Reads a bundle of `sent` by somebody who asked for `wanted`.
    fn check(sent: &[&[u8]], wanted: &[&[u8]]) -> Result<Chunks, FetchError> {
        let mut bundle = Writer::new(Vec::new(), 1).unwrap();
        for content in sent {
            bundle.chunk(&ChunkId::of(content), content).unwrap();
        }
        let bundle = bundle.finish().unwrap();
        let (sender, receiver) = mpsc::channel(1000);
        for frame in frames(bundle.into()) {
            sender.try_send(frame).unwrap();
        }
        drop(sender);
        let directory = tempfile::tempdir().unwrap();
        let chunks = Chunks::new(directory.path()).unwrap();
        let lacking: Vec<ChunkRef> = wanted.iter().map(|content| chunk(content)).collect();
        read(receiver, &lacking, chunks, |_| {})
    }

    #[test]
    fn exactly_what_was_asked_for_is_kept() {
        let chunks = check(&[b"one", b"two"], &[b"one", b"two"]).unwrap();
        assert_eq!(chunks.get(&ChunkId::of(b"two")).unwrap(), b"two");
        let missing = check(&[b"one"], &[b"one", b"two"]);
        assert!(matches!(missing, Err(FetchError::Missing(id)) if id == ChunkId::of(b"two")));
        let foreign = check(&[b"one", b"two"], &[b"one"]);
        assert!(matches!(foreign, Err(FetchError::Bundle(BundleError::Unexpected(_)))));
    }

    #[test]
    fn ids_are_asked_for_in_parts_and_the_run_once() {
        let lacking: Vec<ChunkRef> =
            (0..IDS_PER_MESSAGE + 1).map(|i| chunk(&i.to_le_bytes())).collect();
        let requests = requests("abcdefghij", &lacking);
        assert_eq!(requests.len(), 2);
        assert_eq!(requests[0].run.as_ref().unwrap().run, "abcdefghij");
        assert_eq!(requests[0].ids.len(), IDS_PER_MESSAGE * 32);
        assert_eq!((requests[1].run.as_ref(), requests[1].ids.len()), (None, 32));
    }
}

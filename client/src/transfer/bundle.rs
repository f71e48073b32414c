//! Writes the thin bundle on a thread that may block, as frames for the connection.

use std::collections::HashSet;
use std::io::{self, Write};
use std::sync::Arc;

use bytes::Bytes;
use handoff_proto::bundle::{BundleError, Writer};
use handoff_proto::chunk::ChunkId;
use handoff_proto::wire::handoff_request::Part;
use handoff_proto::wire::{Empty, FRAME_BYTES_MAX, Frame, HandoffRequest};
use tokio::sync::mpsc;

use super::Parcel;
use crate::capture::ChangedSince;
use crate::output::Progress;

/// Compression of what travels: more effort costs more time than it saves on most lines.
const LEVEL: i32 = 3;

/// The bundle was not sent to its end.
#[derive(Debug)]
pub(super) enum SendError {
    /// The tree changed.
    Changed(ChangedSince),
    /// Nobody takes frames any more; the call knows why.
    Closed,
}

/// Sends these chunks and the end of the bundle; no bundle where there are none.
pub(super) fn send(
    parcel: &Parcel,
    wanted: HashSet<ChunkId>,
    requests: mpsc::Sender<HandoffRequest>,
    progress: &Arc<Progress>,
) -> Result<(), SendError> {
    let closed = |_: BundleError| SendError::Closed;
    let frames = Frames::new(requests);
    if wanted.is_empty() {
        return frames.send(Part::BundleEnd(Empty {})).map_err(|_| SendError::Closed);
    }
    let mut writer = Writer::new(frames, LEVEL).map_err(closed)?;
    let mut chunks = parcel.chunks(wanted);
    let mut sent = 0;
    while let Some((id, content)) = chunks.next_chunk().map_err(SendError::Changed)? {
        writer.chunk(&id, content).map_err(closed)?;
        sent += content.len() as u64;
        progress.set(sent);
    }
    let mut frames = writer.finish().map_err(closed)?;
    frames.flush().map_err(|_| SendError::Closed)?;
    frames.send(Part::BundleEnd(Empty {})).map_err(|_| SendError::Closed)
}

/// Cuts a byte stream into frames.
struct Frames {
    requests: mpsc::Sender<HandoffRequest>,
    offset: u64,
    buffer: Vec<u8>,
}

impl Frames {
    fn new(requests: mpsc::Sender<HandoffRequest>) -> Self {
        Self { requests, offset: 0, buffer: Vec::with_capacity(FRAME_BYTES_MAX) }
    }

    fn send(&self, part: Part) -> io::Result<()> {
        let request = HandoffRequest { part: Some(part) };
        self.requests.blocking_send(request).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

impl Write for Frames {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = FRAME_BYTES_MAX - self.buffer.len();
        let taken = bytes.len().min(room);
        self.buffer.extend_from_slice(&bytes[..taken]);
        if self.buffer.len() == FRAME_BYTES_MAX {
            self.flush()?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let full = std::mem::replace(&mut self.buffer, Vec::with_capacity(FRAME_BYTES_MAX));
        let data = Bytes::from(full);
        let offset = self.offset;
        self.offset += data.len() as u64;
        self.send(Part::Bundle(Frame { offset, data }))
    }
}

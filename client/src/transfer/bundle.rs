//! Writes the thin bundle on a thread that may block, as frames for the connection.

use std::io::{self, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use handoff_proto::bundle::{BundleError, Writer};
use handoff_proto::chunk::ChunkIdSet;
use handoff_proto::wire::handoff_request::Part as RequestPart;
use handoff_proto::wire::{Empty, Frame, HandoffRequest};
use tokio::sync::mpsc;

use super::Parcel;
use super::flight::{Closed, Flight};
use super::pace::{Pace, Part};
use crate::capture::ChangedSince;
use crate::output::Progress;

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
    wanted: ChunkIdSet,
    requests: mpsc::Sender<HandoffRequest>,
    flight: &Flight,
    progress: &Arc<Progress>,
) -> Result<(), SendError> {
    let closed = |_: BundleError| SendError::Closed;
    let frames = Frames::new(requests, flight);
    if wanted.is_empty() {
        return frames.send(RequestPart::BundleEnd(Empty {})).map_err(|_| SendError::Closed);
    }
    let mut pace = Pace::new();
    let mut writer = Writer::for_link(frames, pace.effort()).map_err(closed)?;
    let mut chunks = parcel.chunks(wanted);
    let (mut sent, mut since) = (0, Instant::now());
    let (mut waited, mut packed, mut given) = (Duration::ZERO, 0, 0);
    while let Some((id, content)) = chunks.next_chunk().map_err(SendError::Changed)? {
        let size = content.len() as u64;
        writer.set_effort(pace.effort()).map_err(closed)?;
        writer.chunk(&id, content).map_err(closed)?;
        sent += size;
        progress.set(sent);

        let now = Instant::now();
        let Some(frames) = writer.get_mut() else { return Err(SendError::Closed) };
        let waited_now = frames.waited.saturating_sub(waited);
        pace.sent(&Part {
            plain: size,
            packed: frames.packed() - packed,
            given: frames.offset - given,
            busy: now.duration_since(since).saturating_sub(waited_now),
            waited: waited_now,
        });
        (waited, packed, given, since) = (frames.waited, frames.packed(), frames.offset, now);
    }
    let mut frames = writer.finish().map_err(closed)?;
    frames.flush().map_err(|_| SendError::Closed)?;
    frames.send(RequestPart::BundleEnd(Empty {})).map_err(|_| SendError::Closed)
}

/// Cuts a byte stream into frames and lets no more of them be on their way than the link deserves.
struct Frames<'a> {
    requests: mpsc::Sender<HandoffRequest>,
    flight: &'a Flight,
    /// How long the link did not take more.
    waited: Duration,
    /// How many bytes it was given.
    offset: u64,
    buffer: Vec<u8>,
    /// Bytes at which the buffer is sent.
    piece: usize,
}

impl<'a> Frames<'a> {
    fn new(requests: mpsc::Sender<HandoffRequest>, flight: &'a Flight) -> Self {
        let piece = flight.piece();
        let buffer = Vec::with_capacity(piece);
        Self { requests, flight, waited: Duration::ZERO, offset: 0, buffer, piece }
    }

    /// How many bytes were written, also those that the link was not given yet.
    const fn packed(&self) -> u64 {
        self.offset + self.buffer.len() as u64
    }

    fn send(&self, part: RequestPart) -> io::Result<()> {
        let request = HandoffRequest { part: Some(part) };
        self.requests.blocking_send(request).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

impl Write for Frames<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = self.piece - self.buffer.len();
        let taken = bytes.len().min(room);
        self.buffer.extend_from_slice(&bytes[..taken]);
        if self.buffer.len() == self.piece {
            self.flush()?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        self.piece = self.flight.piece();
        let full = std::mem::replace(&mut self.buffer, Vec::with_capacity(self.piece));
        let data = Bytes::from(full);
        let (offset, length) = (self.offset, data.len() as u64);
        self.offset += length;
        let began = Instant::now();
        self.flight.take_off(length).map_err(|Closed| io::ErrorKind::BrokenPipe)?;
        self.send(RequestPart::Bundle(Frame { offset, data }))?;
        self.waited += began.elapsed();
        Ok(())
    }
}

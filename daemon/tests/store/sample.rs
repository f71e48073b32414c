//! Small things that the tests store.

use handoff_daemon::store::UserName;
use handoff_proto::{
    chunk::ChunkId,
    run::{Event, RUN_ID_LEN, Record, RunId},
};

pub(crate) fn run(number: u8) -> RunId {
    RunId::from_random([number; RUN_ID_LEN])
}

pub(crate) fn record(seq: u64) -> Record {
    record_with(seq, format!("event {seq}"))
}

pub(crate) fn record_with(seq: u64, text: String) -> Record {
    Record { seq, at_unix_nanos: 1_800_000_000_000_000_000, event: Event::Paused(text) }
}

pub(crate) fn user(name: &str) -> UserName {
    UserName::parse(name).expect("a user name")
}

/// Content that no compression or deduplication makes smaller, with its id.
pub(crate) fn blob(seed: u64, length: usize) -> (ChunkId, Vec<u8>) {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    bytes.truncate(length);
    (ChunkId::of(&bytes), bytes)
}

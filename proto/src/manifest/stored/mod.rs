//! Between manifests and their stored messages.
//!
//! Decoding goes message by message and counts as it goes: a hostile manifest of two-byte messages
//! never grows into gigabytes of empty structures.

mod decode;
mod encode;
mod fields;
mod parts;
mod places;
mod record;
mod session;

pub(super) use self::decode::{decode_result, decode_snapshot};
pub(super) use self::encode::{result_pieces, snapshot_pieces};
pub(super) use self::places::{Place, field_len, place};

use crate::path::escaped;

/// The length in bytes of one packed chunk: its id and its size as a little-endian `u32`.
const CHUNK_RECORD_LEN: usize = 36;

/// Numbers of the repeated fields that are encoded and decoded one by one; see manifest.proto.
mod number {
    pub(super) mod snapshot {
        pub(in super::super) const ENTRIES: u32 = 5;
        pub(in super::super) const REPOSITORIES: u32 = 6;
        pub(in super::super) const SESSION: u32 = 7;
    }
    pub(super) mod session {
        pub(in super::super) const FILES: u32 = 4;
    }
    pub(super) mod repository {
        pub(in super::super) const STATE: u32 = 3;
    }
    pub(super) mod state {
        pub(in super::super) const REFS: u32 = 3;
        pub(in super::super) const IN_PROGRESS: u32 = 5;
    }
    pub(super) mod result {
        pub(in super::super) const ENTRIES: u32 = 4;
        pub(in super::super) const REPOSITORIES: u32 = 5;
        pub(in super::super) const NEW_REPOSITORIES: u32 = 6;
        pub(in super::super) const SESSION: u32 = 7;
    }
    pub(super) mod repository_result {
        pub(in super::super) const REFS: u32 = 4;
        pub(in super::super) const INDEX: u32 = 5;
        pub(in super::super) const IN_PROGRESS: u32 = 6;
    }
}

/// The beginning of a path that broke a rule.
fn shown(path: &[u8]) -> String {
    escaped(&path[..path.len().min(512)])
}

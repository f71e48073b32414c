//! Manifests travel as what changed, and arrive as they were.

use handoff_proto::chunk::{ChunkId, ChunkRef};
use handoff_proto::manifest::{
    DeltaError, Entry, Kind, SnapshotManifest, Timestamp, apply_delta, changed_chunks, delta,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use crate::support::trees;

fn round_trip(base: &[u8], new: &[u8]) -> Result<(), TestCaseError> {
    let steps = delta(base, new);
    prop_assert_eq!(apply_delta(base, &steps, new.len() as u64), Ok(new.to_vec()));
    Ok(())
}

proptest! {
    #[test]
    fn any_manifest_is_made_of_any_other(a in trees::snapshot(), b in trees::snapshot()) {
        round_trip(&a.encode(), &b.encode())?;
        round_trip(&a.encode(), &a.encode())?;
        round_trip(&[], &b.encode())?;
    }

    #[test]
    fn what_the_base_lacks_is_among_the_changed_chunks(a in trees::snapshot(), b in trees::snapshot()) {
        let changed = changed_chunks(&a.encode(), &b.encode()).unwrap();
        let has: Vec<ChunkRef> = a.chunks().collect();
        for chunk in b.chunks().filter(|chunk| !has.contains(chunk)) {
            prop_assert!(changed.contains(&chunk));
        }
        prop_assert_eq!(changed_chunks(&b.encode(), &b.encode()), Ok(Vec::new()));
        prop_assert_eq!(changed_chunks(&[], &b.encode()), Ok(b.chunks().collect()));
    }

    #[test]
    fn what_is_no_manifest_survives_as_well(a in vec(any::<u8>(), 0..300), b in vec(any::<u8>(), 0..300)) {
        round_trip(&a, &b)?;
    }

    #[test]
    fn a_mutated_delta_never_makes_more_than_was_announced(
        a in trees::snapshot(),
        b in trees::snapshot(),
        edits in vec((any::<Index>(), any::<u8>()), 1..5),
        size in 0_u64..4000,
    ) {
        let base = a.encode();
        let mut steps = delta(&base, &b.encode());
        for (place, byte) in edits {
            let place = place.index(steps.len().max(1));
            if let Some(found) = steps.get_mut(place) {
                *found = byte;
            }
        }
        if let Ok(made) = apply_delta(&base, &steps, size) {
            prop_assert_eq!(made.len() as u64, size);
        }
    }
}

/// A tree of some size, as a large project has it.
fn large(files: u32) -> SnapshotManifest {
    let entries = (0..files).map(|number| {
        let content = number.to_le_bytes();
        let chunks = vec![ChunkRef { id: ChunkId::of(&content), size: 4 }];
        Entry {
            path: format!("file-{number:06}").parse().unwrap(),
            mode: 0o644,
            mtime: Timestamp { secs: i64::from(number), nanos: 1 },
            kind: Kind::File { size: 4, chunks },
        }
    });
    SnapshotManifest {
        version: handoff_proto::manifest::VERSION,
        root: "/home/me/project".parse().unwrap(),
        root_mode: 0o755,
        root_mtime: Timestamp { secs: 1, nanos: 0 },
        entries: entries.collect(),
        repositories: Vec::new(),
        session: None,
    }
}

#[test]
fn a_delta_is_about_as_large_as_what_changed() {
    let base = large(10_000);
    let mut new = base.clone();
    for number in (0..10_000).step_by(1000) {
        new.entries[number].mtime.secs += 1;
        let chunk = ChunkRef { id: ChunkId::of(b"new"), size: 4 };
        new.entries[number].kind = Kind::File { size: 4, chunks: vec![chunk] };
    }
    new.entries.remove(5);
    new.root_mtime.secs += 1;
    let steps = delta(&base.encode(), &new.encode());
    assert!(steps.len() < 12 * 64, "{} bytes for 12 changes", steps.len());
}

#[test]
fn a_delta_that_does_not_fit_says_why() {
    let (base, new) = (large(3).encode(), large(4).encode());
    let (steps, size) = (delta(&base, &new), new.len() as u64);
    assert_eq!(apply_delta(&base[..9], &steps, size), Err(DeltaError::Base));
    assert_eq!(apply_delta(&base, &steps, size - 1), Err(DeltaError::Size(size - 1)));
    assert_eq!(apply_delta(&base, &steps, size + 1), Err(DeltaError::Size(size + 1)));
    let cut = &steps[..steps.len() - 1];
    assert_eq!(apply_delta(&base, cut, size), Err(DeltaError::CutOff));
}

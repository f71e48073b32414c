//! Whatever a manifest or its bytes hold.

use handoff_proto::manifest::{
    ChangeKind, Limits, ResultManifest, SnapshotId, SnapshotManifest, differences,
};
use handoff_proto::path::TreePath;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use crate::support::trees;

/// Changes bytes, cuts and doubles pieces.
fn mutate(bytes: &[u8], edits: &[(Index, u8, u8)]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for (index, value, kind) in edits {
        if bytes.is_empty() {
            break;
        }
        let at = index.index(bytes.len());
        match kind % 5 {
            0 => bytes[at] = *value,
            1 => bytes[at] ^= 1 << (value % 8),
            2 => bytes.truncate(at),
            3 => bytes.insert(at, *value),
            _ => {
                let piece = bytes[at..].to_vec();
                bytes.extend(piece);
            }
        }
    }
    bytes
}

/// Limits that random manifests exceed now and then.
const TIGHT: Limits = Limits {
    manifest_bytes_max: 4096,
    entries_max: 20,
    content_bytes_max: 1000,
    repositories_max: 2,
    refs_max: 6,
    index_entries_max: 6,
    heads_max: 2,
};

fn edits() -> impl Strategy<Value = Vec<(Index, u8, u8)>> {
    vec(any::<(Index, u8, u8)>(), 0..4)
}

proptest! {
    #[test]
    fn a_snapshot_is_read_back(manifest in trees::snapshot()) {
        let encoded = manifest.encode();
        prop_assert_eq!(SnapshotId::of(&encoded), manifest.id());
        prop_assert_eq!(SnapshotManifest::decode(&encoded, &Limits::DEFAULT), Ok(manifest));
    }

    #[test]
    fn a_result_is_read_back(manifest in trees::result()) {
        let encoded = manifest.encode();
        prop_assert_eq!(ResultManifest::decode(&encoded, &Limits::DEFAULT), Ok(manifest));
    }

    #[test]
    fn what_is_decoded_is_valid_within_limits_and_the_only_spelling(
        manifest in trees::snapshot(),
        edits in edits(),
    ) {
        let bytes = mutate(&manifest.encode(), &edits);
        if let Ok(decoded) = SnapshotManifest::decode(&bytes, &TIGHT) {
            prop_assert!(bytes.len() <= TIGHT.manifest_bytes_max);
            prop_assert!(decoded.entries.len() <= TIGHT.entries_max);
            prop_assert!(decoded.chunks().map(|c| u64::from(c.size)).sum::<u64>() <= 1000);
            prop_assert!(decoded.repositories.len() <= TIGHT.repositories_max);
            prop_assert_eq!(decoded.validate(&TIGHT), Ok(()));
            prop_assert_eq!(decoded.encode(), bytes);
        }
    }

    #[test]
    fn a_decoded_result_is_valid_within_limits_and_the_only_spelling(
        manifest in trees::result(),
        edits in edits(),
    ) {
        let bytes = mutate(&manifest.encode(), &edits);
        if let Ok(decoded) = ResultManifest::decode(&bytes, &TIGHT) {
            prop_assert!(!decoded.entries.iter().any(|entry| entry.path.has_git_component()));
            prop_assert!(decoded.chunks().map(|c| u64::from(c.size)).sum::<u64>() <= 1000);
            prop_assert_eq!(decoded.validate(&TIGHT), Ok(()));
            prop_assert_eq!(decoded.encode(), bytes);
        }
    }

    #[test]
    fn random_bytes_are_no_manifest(bytes in vec(any::<u8>(), 0..300)) {
        prop_assert!(SnapshotManifest::decode(&bytes, &TIGHT).is_err());
        prop_assert!(ResultManifest::decode(&bytes, &TIGHT).is_err());
    }

    #[test]
    fn applying_the_differences_leaves_none(a in trees::tree(), b in trees::tree()) {
        let paths = |kind| -> Vec<TreePath> {
            let changes = differences(&a.entries, &b.entries).into_iter();
            changes.filter(|change| change.kind == kind).map(|change| change.path).collect()
        };
        let (added, removed) = (paths(ChangeKind::Added), paths(ChangeKind::Removed));
        let has = |tree: &trees::Tree, path: &TreePath| tree.entries.iter().any(|e| e.path == *path);
        prop_assert!(added.iter().all(|path| has(&b, path) && !has(&a, path)));
        prop_assert!(removed.iter().all(|path| has(&a, path) && !has(&b, path)));
        prop_assert_eq!(a.entries.len() + added.len(), b.entries.len() + removed.len());
    }
}

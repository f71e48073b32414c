//! One encoding of one manifest, within limits.

use handoff_proto::manifest::{EntryProblem, Limits, ManifestError, SnapshotManifest};
use handoff_proto::wire::{self, StoredSnapshot};
use prost::Message as _;

use super::{decode, directory, file, snapshot};

#[test]
fn a_second_encoding_of_the_same_is_refused() {
    let encoded = snapshot(vec![file("a", "x")]).encode();
    let limits = &Limits::DEFAULT;
    assert!(SnapshotManifest::decode(&encoded, limits).is_ok());
    // The version again with another length; an unknown field; a default written out.
    for extra in [&[0x08, 0x81, 0x00][..], &[0x78, 0x01], &[0x72, 0x00]] {
        let refused = SnapshotManifest::decode(&[&encoded[..], extra].concat(), limits);
        assert_eq!(refused, Err(ManifestError::NotCanonical), "{extra:x?}");
    }
    let cut = &encoded[..encoded.len() - 1];
    assert!(matches!(SnapshotManifest::decode(cut, limits), Err(ManifestError::Malformed(_))));
}

#[test]
fn another_version_is_named() {
    let newer = SnapshotManifest { version: 3, ..snapshot(Vec::new()) };
    assert_eq!(decode(&newer), Err(ManifestError::UnknownVersion(3)));
    let refused = SnapshotManifest::decode(b"", &Limits::DEFAULT);
    assert_eq!(refused, Err(ManifestError::UnknownVersion(0)));
}

#[test]
fn every_limit_holds() {
    let manifest = snapshot(vec![directory("a"), file("a/b", "four")]);
    let encoded = manifest.encode();
    let check = |limits: Limits, text: &str| {
        let refused = SnapshotManifest::decode(&encoded, &limits).unwrap_err();
        assert_eq!(refused.to_string(), text);
    };
    let fine = Limits {
        manifest_bytes_max: encoded.len(),
        entries_max: 2,
        content_bytes_max: 4,
        ..Limits::DEFAULT
    };
    assert!(SnapshotManifest::decode(&encoded, &fine).is_ok());
    let text = format!("the manifest has {} bytes, the limit is 10", encoded.len());
    check(Limits { manifest_bytes_max: 10, ..fine }, &text);
    check(Limits { entries_max: 1, ..fine }, "the manifest holds more than 1 entries");
    let text = "the manifest holds more than 3 bytes of content";
    check(Limits { content_bytes_max: 3, ..fine }, text);
}

/// Millions of empty messages fit a few megabytes but would need gigabytes in memory.
#[test]
fn empty_messages_are_counted_before_they_are_built() {
    let header = snapshot(Vec::new()).encode();
    let repository = |state: &[u8]| {
        let mut bytes = vec![0x12, 0x01, b'a', 0x1a];
        prost::encode_length_delimiter(state.len(), &mut bytes).unwrap();
        bytes.extend_from_slice(state);
        let mut field = vec![0x32];
        prost::encode_length_delimiter(bytes.len(), &mut field).unwrap();
        [field, bytes].concat()
    };
    let limits = Limits { entries_max: 10, repositories_max: 10, refs_max: 10, ..Limits::DEFAULT };
    for (what, flood) in [
        ("repositories", [0x32, 0x00].repeat(1_000_000)),
        ("references", repository(&[0x1a, 0x00].repeat(1_000_000))),
        ("operations in progress", repository(&[0x2a, 0x00].repeat(1_000_000))),
    ] {
        let bytes = [&header[..], &flood].concat();
        let refused = SnapshotManifest::decode(&bytes, &limits).unwrap_err().to_string();
        // Empty references and repositories are refused at the first of them already.
        assert!(refused.contains(what) || refused.starts_with("repository `"), "{refused}");
    }
}

#[test]
fn chunks_are_whole_records() {
    let mut stored = StoredSnapshot::decode(&*snapshot(vec![file("a", "x")]).encode()).unwrap();
    if let Some(wire::stored_entry::Kind::File(file)) = &mut stored.entries[0].kind {
        file.chunks.pop();
    }
    let refused = SnapshotManifest::decode(&stored.encode_to_vec(), &Limits::DEFAULT);
    let problem = EntryProblem::ChunkRecord;
    assert_eq!(refused, Err(ManifestError::Entry { path: "a".to_owned(), problem }));
}

//! What a hostile jail might write instead of a bundle: nothing of it is stored.

use std::collections::HashSet;

use handoff_daemon::harvest::{HarvestError, IngestLimits, ingest};
use handoff_proto::bundle;
use handoff_proto::chunk::{ChunkId, ChunkRef};
use handoff_proto::manifest::{
    Entry, Head, Kind, ObjectFormat, Oid, RepositoryResult, ResultManifest, SnapshotId,
    SnapshotManifest, Timestamp,
};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use crate::world::{DISK_BYTES, Harvested, World, commit, write};

fn world() -> (World, SnapshotManifest, Harvested) {
    let world = World::with_repository();
    let base = world.hand_off();
    write(&world.tree().join("new"), "new content\n");
    commit(&world.tree(), "second");
    let collection = world.collect();
    let bytes = crate::world::bundle(&collection);
    let outcome = World::with_repository().ingest(&[], &base).err();
    assert!(outcome.is_some(), "an empty stream is refused");
    let limits = IngestLimits::of_run(&base, DISK_BYTES);
    let elsewhere = crate::world::Memory::default();
    let outcome =
        ingest(bytes.as_slice(), &elsewhere, &world.user, &base, None, &limits).expect("fine");
    let harvested = Harvested { manifest: collection.manifest, notes: Vec::new(), bytes, outcome };
    (world, base, harvested)
}

fn rewritten(manifest: &[u8], chunks: &[(ChunkId, &[u8])]) -> Vec<u8> {
    let mut writer = bundle::Writer::new(Vec::new(), 1).expect("writer");
    writer.manifest(manifest).expect("manifest");
    for (id, content) in chunks {
        writer.chunk(id, content).expect("chunk");
    }
    writer.finish().expect("finish")
}

fn file(path: &str, content: &[u8]) -> Entry {
    let chunk =
        ChunkRef { id: ChunkId::of(content), size: u32::try_from(content.len()).expect("size") };
    let size = content.len() as u64;
    Entry {
        path: path.parse().expect("path"),
        mode: 0o644,
        mtime: Timestamp::default(),
        kind: Kind::File { size, chunks: vec![chunk] },
    }
}

/// The result of the snapshot itself, to be spoiled.
fn plain(base: &SnapshotManifest) -> ResultManifest {
    ResultManifest {
        version: handoff_proto::manifest::VERSION,
        base: base.id(),
        root: base.root.clone(),
        entries: base.entries.iter().filter(|e| !e.path.has_git_component()).cloned().collect(),
        repositories: Vec::new(),
        new_repositories: Vec::new(),
        session: None,
    }
}

#[test]
fn a_manifest_that_lies_is_refused_and_nothing_is_stored() {
    let (world, base, _) = world();
    let known = world.blobs.len();
    let refused = |change: &dyn Fn(&mut ResultManifest), chunks: &[(ChunkId, &[u8])]| {
        let mut manifest = plain(&base);
        change(&mut manifest);
        let error =
            world.ingest(&rewritten(&manifest.encode(), chunks), &base).expect_err("refused");
        assert_eq!(world.blobs.len(), known, "{error}");
        error
    };
    let nothing: &[(ChunkId, &[u8])] = &[];
    assert!(matches!(
        refused(&|m| m.base = SnapshotId::from_bytes([7; 32]), nothing),
        HarvestError::Foreign("snapshot")
    ));
    assert!(matches!(
        refused(&|m| m.root = "/etc/app".parse().expect("root"), nothing),
        HarvestError::Foreign("root")
    ));
    assert!(matches!(
        refused(&|m| m.entries.push(file("zzz", b"never sent")), nothing),
        HarvestError::Missing { more: 0, .. }
    ));
    let stranger: &[u8] = b"in no manifest";
    assert!(matches!(
        refused(&|_| (), &[(ChunkId::of(stranger), stranger)]),
        HarvestError::Bundle(_)
    ));
    let sent: &[u8] = b"not what the id says";
    assert!(matches!(
        refused(
            &|m| m.entries.push(file("zzz", b"what the id says....")),
            &[(ChunkId::of(b"what the id says...."), sent)]
        ),
        HarvestError::Bundle(_)
    ));
    assert!(matches!(
        refused(&|m| m.entries.insert(0, file(".git", b"x")), &[(ChunkId::of(b"x"), b"x")]),
        HarvestError::Manifest(_)
    ));
    assert!(matches!(refused(&|m| m.entries.reverse(), nothing), HarvestError::Manifest(_)));
    assert!(matches!(
        refused(&|m| m.new_repositories.push("nowhere".parse().expect("path")), nothing),
        HarvestError::Manifest(_)
    ));
    // A chunk of the snapshot under another size.
    let known_chunk = base.chunks().next().expect("chunk");
    assert!(matches!(
        refused(
            &|m| {
                let lie = ChunkRef { id: known_chunk.id, size: known_chunk.size + 1 };
                let mut entry = file("zzz", b"");
                entry.kind = Kind::File { size: u64::from(lie.size), chunks: vec![lie] };
                m.entries.push(entry);
            },
            nothing
        ),
        HarvestError::Size(_)
    ));
}

#[test]
fn repositories_must_be_those_of_the_snapshot() {
    let (world, base, _) = world();
    let repository = |path: Option<&str>, format| RepositoryResult {
        path: path.map(|path| path.parse().expect("path")),
        object_format: format,
        head: Head::Detached(match format {
            ObjectFormat::Sha1 => Oid::Sha1([1; 20]),
            ObjectFormat::Sha256 => Oid::Sha256([1; 32]),
        }),
        refs: Vec::new(),
        index: Vec::new(),
        in_progress: Vec::new(),
        pack: Vec::new(),
    };
    for (path, format) in [(Some("dir"), ObjectFormat::Sha1), (None, ObjectFormat::Sha256)] {
        let mut manifest = plain(&base);
        manifest.repositories.push(repository(path, format));
        let error = world.ingest(&rewritten(&manifest.encode(), &[]), &base).expect_err("refused");
        assert!(matches!(error, HarvestError::Repository(_)), "{error}");
    }
    let mut manifest = plain(&base);
    manifest.repositories.push(repository(None, ObjectFormat::Sha1));
    world.ingest(&rewritten(&manifest.encode(), &[]), &base).expect("as in the snapshot");
}

#[test]
fn a_stream_that_is_cut_off_or_goes_on_is_refused() {
    let (world, base, harvested) = world();
    let known = world.blobs.len();
    let bytes = &harvested.bytes;
    for len in (0..bytes.len()).step_by(7).chain([bytes.len() - 1]) {
        world.ingest(&bytes[..len], &base).expect_err("cut off");
    }
    world.ingest(&[bytes.as_slice(), b"more"].concat(), &base).expect_err("goes on");
    assert_eq!(world.blobs.len(), known);
    world.ingest(bytes, &base).expect("the original");
}

#[test]
fn no_change_of_bytes_makes_it_panic_or_store_what_was_not_named() {
    let (world, base, harvested) = world();
    let mut allowed: HashSet<ChunkId> = world.blobs.ids().into_iter().collect();
    allowed.extend(harvested.manifest.chunks().map(|chunk| chunk.id));
    let encoded = harvested.manifest.encode();
    let mut runner = TestRunner::new(ProptestConfig { cases: 400, ..ProptestConfig::default() });
    let edits = proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6);
    let edited = |bytes: &[u8], edits: &[(prop::sample::Index, u8)]| {
        let mut bytes = bytes.to_vec();
        for (place, value) in edits {
            let place = place.index(bytes.len());
            bytes[place] ^= value;
        }
        bytes
    };
    runner
        .run(&(edits, any::<bool>()), |(edits, inside)| {
            let bytes = if inside {
                rewritten(&edited(&encoded, &edits), &[])
            } else {
                edited(&harvested.bytes, &edits)
            };
            if let Ok(outcome) = world.ingest(&bytes, &base) {
                // Times, modes and heads may differ; all that is new is the manifest then.
                let id = ChunkId::from_bytes(*outcome.result.as_bytes());
                world.blobs.forget(&id);
            }
            let strangers =
                world.blobs.ids().into_iter().filter(|id| !allowed.contains(id)).count();
            prop_assert_eq!(strangers, 0);
            Ok(())
        })
        .expect("no failure");
}

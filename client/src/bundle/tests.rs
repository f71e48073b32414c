//! Trees through a bundle and back; bundles that are none.

use std::fs;
use std::io::BufReader;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

use handoff_proto::path::AbsolutePath;
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::capture::{Capture, Options, capture};

fn captured(tree: &Path) -> Capture {
    let options = Options::new(AbsolutePath::try_from(tree).unwrap());
    capture(&options, &|_| {}).unwrap()
}

use std::path::{Path, PathBuf};

struct World(TempDir);

impl World {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().canonicalize().unwrap().join(name)
    }

    /// Everything in the directory, for "nothing is left behind".
    fn names(&self) -> Vec<String> {
        let names = fs::read_dir(self.path("")).unwrap();
        let mut names: Vec<String> =
            names.map(|name| name.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// A tree with one of each kind, a repeated content, and a file of several chunks.
    fn tree(&self) -> PathBuf {
        let tree = self.path("tree");
        fs::create_dir_all(tree.join("empty")).unwrap();
        fs::create_dir_all(tree.join("closed")).unwrap();
        let large: Vec<u8> = (0_u32..900_000).map(|n| n.wrapping_mul(n).to_le_bytes()[1]).collect();
        for (name, content) in [
            ("a", &b"same"[..]),
            ("b", b"same"),
            ("nothing", b""),
            ("closed/large", &large),
            ("again", &large),
        ] {
            fs::write(tree.join(name), content).unwrap();
        }
        symlink("../outside", tree.join("link")).unwrap();
        fs::set_permissions(tree.join("b"), fs::Permissions::from_mode(0o4755)).unwrap();
        fs::set_permissions(tree.join("closed"), fs::Permissions::from_mode(0o555)).unwrap();
        tree
    }

    fn exported(&self) -> Vec<u8> {
        export(&captured(&self.tree()), Vec::new(), &|_| {}).unwrap()
    }

    fn import(&self, bundle: &[u8], into: &str) -> Result<Imported, ImportError> {
        let (manifest, reader) = read_manifest(bundle)?;
        import(manifest, reader, &self.path(into), &|_| {})
    }
}

#[test]
fn a_tree_comes_back_as_it_was() {
    let world = World::new();
    let capture = captured(&world.tree());
    let bundle = export(&capture, Vec::new(), &|_| {}).unwrap();
    world.import(&bundle, "copy").unwrap();
    let again = captured(&world.path("copy"));
    assert_eq!(again.manifest.entries, capture.manifest.entries);
    assert_eq!(again.manifest.root_mode, capture.manifest.root_mode);
    assert_eq!(again.manifest.root_mtime, capture.manifest.root_mtime);
    assert_eq!(fs::read_link(world.path("copy/link")).unwrap(), Path::new("../outside"));
    assert_eq!(world.names(), ["copy", "tree"]);
}

#[test]
fn a_file_appears_when_it_is_complete_and_is_private() {
    let world = World::new();
    let capture = captured(&world.tree());
    let file = world.path("file");
    let bytes = export_to_file(&capture, &file, &stop().1, &|_| {
        assert!(!file.exists());
    })
    .unwrap();
    let meta = fs::metadata(&file).unwrap();
    assert_eq!((meta.len(), meta.mode() & 0o777), (bytes, 0o600));
    let again = export_to_file(&capture, &file, &stop().1, &|_| {});
    assert!(matches!(again, Err(ExportError::Exists { .. })));
    fs::write(world.path("tree/a"), "different").unwrap();
    let changed = export_to_file(&capture, &world.path("other"), &stop().1, &|_| {});
    assert!(matches!(changed, Err(ExportError::Changed(_))));
    assert_eq!(world.names(), ["file", "tree"]);
}

#[test]
fn work_that_nobody_wants_any_more_cleans_up() {
    let world = World::new();
    let capture = captured(&world.tree());
    let bundle = export(&capture, Vec::new(), &|_| {}).unwrap();
    let (handle, wanted) = stop();
    let (manifest, reader) =
        read_manifest(BufReader::new(wanted.through(std::io::Cursor::new(bundle)))).unwrap();
    drop(wanted);
    let into = world.path("copy");
    let importing = std::thread::spawn(move || import(manifest, reader, &into, &|_| {}));
    drop(handle);
    drop(importing.join().unwrap());
    let left = world.names();
    assert!(left.iter().all(|name| ["copy", "tree"].contains(&name.as_str())), "{left:?}");
}

#[test]
fn nothing_is_overwritten() {
    let world = World::new();
    let bundle = world.exported();
    fs::create_dir(world.path("empty")).unwrap();
    world.import(&bundle, "empty").unwrap();
    fs::write(world.path("file"), "mine").unwrap();
    symlink("nowhere", world.path("link")).unwrap();
    for taken in ["empty", "file", "link"] {
        let refused = world.import(&bundle, taken);
        assert!(matches!(refused, Err(ImportError::Exists { .. })), "{taken}: {refused:?}");
    }
    assert_eq!(fs::read(world.path("file")).unwrap(), b"mine");
    assert_eq!(world.names(), ["empty", "file", "link", "tree"]);
}

#[test]
fn a_bundle_that_is_cut_off_leaves_nothing_behind() {
    let world = World::new();
    let bundle = world.exported();
    for length in (0..bundle.len()).step_by(bundle.len() / 97).chain([bundle.len() - 1]) {
        let refused = world.import(&bundle[..length], "copy");
        assert!(matches!(refused, Err(ImportError::Bundle(_))), "{length}: {refused:?}");
        assert_eq!(world.names(), ["tree"]);
    }
    let longer = [&bundle[..], b"x"].concat();
    assert!(matches!(world.import(&longer, "copy"), Err(ImportError::Bundle(_))));
    assert_eq!(world.names(), ["tree"]);
}

#[test]
fn what_is_no_full_bundle_is_told_apart() {
    let world = World::new();
    for foreign in [&b""[..], b"PK\x03\x04", &[0x1f, 0x8b, 8, 0], &[0; 4096]] {
        assert!(matches!(world.import(foreign, "copy"), Err(ImportError::Bundle(_))));
    }
    let capture = captured(&world.tree());
    let mut thin = handoff_proto::bundle::Writer::new(Vec::new(), 1).unwrap();
    let mut chunks = capture.chunks(capture.manifest.chunks().map(|chunk| chunk.id).collect());
    while let Some((id, content)) = chunks.next_chunk().unwrap() {
        thin.chunk(&id, content).unwrap();
    }
    let thin = thin.finish().unwrap();
    assert!(matches!(world.import(&thin, "copy"), Err(ImportError::Thin)));
    assert_eq!(world.names(), ["tree"]);
}

#[test]
fn chunks_out_of_order_are_refused() {
    let world = World::new();
    let capture = captured(&world.tree());
    let mut parts = Vec::new();
    let mut chunks = capture.chunks(capture.manifest.chunks().map(|chunk| chunk.id).collect());
    while let Some((id, content)) = chunks.next_chunk().unwrap() {
        parts.push((id, content.to_vec()));
    }
    parts.reverse();
    let mut writer = handoff_proto::bundle::Writer::new(Vec::new(), 1).unwrap();
    writer.manifest(&capture.encoded).unwrap();
    parts.iter().for_each(|(id, content)| writer.chunk(id, content).unwrap());
    let bundle = writer.finish().unwrap();
    assert!(matches!(world.import(&bundle, "copy"), Err(ImportError::Order { .. })));
    assert_eq!(world.names(), ["tree"]);
}

#[test]
fn a_hidden_name_is_not_chosen_by_a_bundle() {
    let mut manifest = captured(&World::new().tree()).manifest;
    for (root, name) in [("/home/a/app", Some("app")), ("/home/a/.ssh", None)] {
        manifest.root = root.parse().unwrap();
        assert_eq!(default_name(&manifest), name.map(Path::new));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    #[test]
    fn a_bundle_with_wrong_bytes_is_refused_or_the_same(
        changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..4)
    ) {
        let world = World::new();
        let original = world.exported();
        let mut bundle = original.clone();
        for (place, byte) in &changes {
            bundle[place.index(original.len())] = *byte;
        }
        match world.import(&bundle, "copy") {
            // Bytes of the compression that carry no meaning.
            Ok(_) => {
                let copy = captured(&world.path("copy"));
                prop_assert_eq!(copy.manifest.entries, captured(&world.path("tree")).manifest.entries);
            }
            Err(_) => prop_assert_eq!(world.names(), ["tree"]),
        }
    }
}

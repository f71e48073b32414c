#[cfg(target_os = "linux")]
mod settled;

use proptest::prelude::*;

use super::*;

fn root() -> AbsolutePath {
    "/home/a".parse().unwrap()
}

fn stamp(secs: i64) -> Stamp {
    let time = Timestamp { secs, nanos: 7 };
    Stamp { size: 3, mtime: time, ctime: time, inode: 5 }
}

fn chunk(byte: u8) -> ChunkRef {
    ChunkRef { id: handoff_proto::chunk::ChunkId::of(&[byte]), size: byte.into() }
}

fn save(directory: &Path, entries: &[(&str, Stamp, Vec<ChunkRef>)]) {
    let cache = StatCache::load(Some(directory), &root());
    let files = entries.iter().map(|(path, stamp, chunks)| (path.as_bytes(), *stamp, &**chunks));
    let directories = [(&b""[..], stamp(1), b"fa\0".as_slice()), (b"a", stamp(2), b"dx\0")];
    let directories =
        directories.into_iter().map(|(path, stamp, names)| (path, stamp, Cow::Borrowed(names)));
    let captured = Captured { indexes: &[([3; 32], [4; 32])], directories, files };
    cache.update(u64::MAX, captured).unwrap();
}

/// Remembers that there is nothing.
fn save_nothing(cache: &StatCache, new_cost: u64) {
    let (directories, files) = (std::iter::empty(), std::iter::empty());
    cache.update(new_cost, Captured { indexes: &[], directories, files }).unwrap();
}

#[test]
fn names_are_known_of_a_directory_with_the_same_stamp_only() {
    let home = tempfile::tempdir().unwrap();
    save(home.path(), &[]);
    let cache = StatCache::load(Some(home.path()), &root());
    let (a, b): (TreePath, TreePath) = ("a".parse().unwrap(), "b".parse().unwrap());
    assert_eq!(cache.names(None, &stamp(1)), Some(&b"fa\0"[..]));
    assert_eq!(cache.names(Some(&a), &stamp(2)), Some(&b"dx\0"[..]));
    assert_eq!(cache.names(Some(&a), &stamp(1)), None);
    assert_eq!(cache.names(Some(&b), &stamp(2)), None);
}

#[test]
fn what_was_remembered_is_found_with_the_same_stamp_only() {
    let home = tempfile::tempdir().unwrap();
    let entries = [
        ("a/b", stamp(10), vec![chunk(1), chunk(2)]),
        ("a.b", stamp(10), vec![]),
        ("c", stamp(10), vec![chunk(3)]),
    ];
    save(home.path(), &entries);
    let cache = StatCache::load(Some(home.path()), &root());
    let mut cursor = cache.cursor(None);
    assert_eq!(cursor.find(b"a", &stamp(10)), Recalled::Nothing);
    assert_eq!(cursor.find(b"a/b", &stamp(10)), Recalled::Same(vec![chunk(1), chunk(2)]));
    assert_eq!(cursor.find(b"a.b", &Stamp { inode: 6, ..stamp(10) }), Recalled::Changed(vec![]));
    assert_eq!(cursor.find(b"b", &stamp(10)), Recalled::Nothing);
    assert_eq!(cursor.find(b"c", &stamp(10)), Recalled::Same(vec![chunk(3)]));
    assert_eq!(cursor.find(b"d", &stamp(10)), Recalled::Nothing);
    for from in ["a", "a/b", "a/c", "b", "c", "d"] {
        let found = cache.cursor(Some(from.as_bytes())).find(b"c", &stamp(10));
        assert_eq!(found != Recalled::Nothing, from != "d", "{from}");
    }
    assert_eq!(cache.index_digest(&[3; 32]), Some([4; 32]));
    assert_eq!(cache.index_digest(&[4; 32]), None);
    let other = StatCache::load(Some(home.path()), &"/home/b".parse().unwrap());
    assert_eq!(other.cursor(None).find(b"c", &stamp(10)), Recalled::Nothing);
}

#[test]
fn what_changed_a_moment_before_is_not_trusted() {
    let began = Moment(Timestamp { secs: 100, nanos: 7 });
    let future = Stamp { mtime: Timestamp { secs: 500, nanos: 0 }, ..stamp(10) };
    let touched = Stamp { ctime: Timestamp { secs: 99, nanos: 0 }, ..stamp(10) };
    assert!(began.is_after(&stamp(97), COARSE));
    for recent in [stamp(98), stamp(99), future, touched] {
        assert!(!began.is_after(&recent, COARSE), "{recent:?}");
    }
    assert!(began.is_after(&stamp(99), Duration::from_millis(20)));
    let just_now = Stamp { ctime: Timestamp { secs: 99, nanos: 990_000_000 }, ..stamp(10) };
    assert!(!began.is_after(&just_now, Duration::from_millis(20)));
}

#[test]
fn each_file_system_has_its_own_margin() {
    let (file, mut margins) = (tempfile::tempfile().unwrap(), Margins::default());
    let margin = margins.of(&file, 1, &stamp(1));
    assert!(margin <= COARSE && margin > Duration::from_millis(10), "{margin:?}");
    assert_eq!(margins.of(&file, 1, &stamp(1)), margin);
    let whole_seconds = Stamp { ctime: Timestamp { secs: 1, nanos: 0 }, ..stamp(1) };
    assert_eq!(margins.of(&file, 1, &whole_seconds), COARSE);
    #[cfg(target_os = "linux")]
    {
        // The kernel's own files have no times to rely on.
        let proc = File::open("/proc/self/stat").unwrap();
        assert_eq!(margins.of(&proc, 2, &stamp(1)), COARSE);
    }
}

#[test]
fn little_that_is_new_is_read_again_rather_than_written() {
    let home = tempfile::tempdir().unwrap();
    let paths: Vec<String> = (0..2000).map(|number| format!("{number:04}")).collect();
    let entries: Vec<_> = paths.iter().map(|path| (&**path, stamp(1), vec![chunk(1)])).collect();
    save(home.path(), &entries);
    let cache = StatCache::load(Some(home.path()), &root());
    save_nothing(&cache, read_cost(10));
    let first =
        || StatCache::load(Some(home.path()), &root()).cursor(None).find(b"0000", &stamp(1));
    assert_eq!(first(), Recalled::Same(vec![chunk(1)]));
    save_nothing(&cache, read_cost(1 << 20));
    assert_eq!(first(), Recalled::Nothing);
}

proptest! {
    #[test]
    fn a_damaged_file_is_no_cache(at in 0_usize..400, byte in any::<u8>(), cut in any::<bool>()) {
        let home = tempfile::tempdir().unwrap();
            save(home.path(), &[("a", stamp(1), vec![chunk(1)]), ("b", stamp(1), vec![])]);
        let file = std::fs::read_dir(home.path()).unwrap().next().unwrap().unwrap().path();
        let mut content = std::fs::read(&file).unwrap();
        let at = at % content.len();
        if cut { content.truncate(at) } else { content[at] ^= byte }
        std::fs::write(&file, &content).unwrap();
        let found = StatCache::load(Some(home.path()), &root()).cursor(None).find(b"a", &stamp(1));
        prop_assert_eq!(found != Recalled::Nothing, !cut && byte == 0);
    }
}

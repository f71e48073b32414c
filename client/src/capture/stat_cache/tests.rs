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

fn save(directory: &Path, began: Moment, entries: &[(&str, Stamp, Vec<ChunkRef>)]) {
    let cache = StatCache::load(Some(directory), &root());
    let entries = entries.iter().map(|(path, stamp, chunks)| (path.as_bytes(), *stamp, &**chunks));
    cache.update(began, u64::MAX, &[([3; 32], [4; 32])], entries).unwrap();
}

#[test]
fn what_was_remembered_is_found_with_the_same_stamp_only() {
    let home = tempfile::tempdir().unwrap();
    let began = Moment(Timestamp { secs: 100, nanos: 0 });
    let entries = [
        ("a/b", stamp(10), vec![chunk(1), chunk(2)]),
        ("a.b", stamp(10), vec![]),
        ("c", stamp(10), vec![chunk(3)]),
    ];
    save(home.path(), began, &entries);
    let cache = StatCache::load(Some(home.path()), &root());
    let mut cursor = cache.cursor();
    assert_eq!(cursor.find(b"a", &stamp(10)), None);
    assert_eq!(cursor.find(b"a/b", &stamp(10)), Some(vec![chunk(1), chunk(2)]));
    assert_eq!(cursor.find(b"a.b", &Stamp { inode: 6, ..stamp(10) }), None);
    assert_eq!(cursor.find(b"b", &stamp(10)), None);
    assert_eq!(cursor.find(b"c", &stamp(10)), Some(vec![chunk(3)]));
    assert_eq!(cursor.find(b"d", &stamp(10)), None);
    assert_eq!(cache.index_digest(&[3; 32]), Some([4; 32]));
    assert_eq!(cache.index_digest(&[4; 32]), None);
    let other = StatCache::load(Some(home.path()), &"/home/b".parse().unwrap());
    assert_eq!(other.cursor().find(b"c", &stamp(10)), None);
}

#[test]
fn what_changed_a_moment_before_is_not_remembered() {
    let home = tempfile::tempdir().unwrap();
    let began = Moment(Timestamp { secs: 100, nanos: 7 });
    let future = Stamp { mtime: Timestamp { secs: 500, nanos: 0 }, ..stamp(10) };
    let touched = Stamp { ctime: Timestamp { secs: 99, nanos: 0 }, ..stamp(10) };
    let entries = [("a", stamp(98)), ("b", stamp(97)), ("c", future), ("d", touched)];
    save(home.path(), began, &entries.map(|(path, stamp)| (path, stamp, vec![chunk(1)])));
    let cache = StatCache::load(Some(home.path()), &root());
    let mut cursor = cache.cursor();
    for (path, stamp) in entries {
        assert_eq!(cursor.find(path.as_bytes(), &stamp).is_some(), path == "b", "{path}");
    }
}

#[test]
fn little_that_is_new_is_read_again_rather_than_written() {
    let home = tempfile::tempdir().unwrap();
    let began = Moment(Timestamp { secs: 100, nanos: 0 });
    let paths: Vec<String> = (0..2000).map(|number| format!("{number:04}")).collect();
    let entries: Vec<_> = paths.iter().map(|path| (&**path, stamp(1), vec![chunk(1)])).collect();
    save(home.path(), began, &entries);
    let cache = StatCache::load(Some(home.path()), &root());
    cache.update(began, read_cost(10), &[], [].into_iter()).unwrap();
    assert!(
        StatCache::load(Some(home.path()), &root()).cursor().find(b"0000", &stamp(1)).is_some()
    );
    cache.update(began, read_cost(1 << 20), &[], [].into_iter()).unwrap();
    assert!(
        StatCache::load(Some(home.path()), &root()).cursor().find(b"0000", &stamp(1)).is_none()
    );
}

proptest! {
    #[test]
    fn a_damaged_file_is_no_cache(at in 0_usize..400, byte in any::<u8>(), cut in any::<bool>()) {
        let home = tempfile::tempdir().unwrap();
        let began = Moment(Timestamp { secs: 100, nanos: 0 });
        save(home.path(), began, &[("a", stamp(1), vec![chunk(1)]), ("b", stamp(1), vec![])]);
        let file = std::fs::read_dir(home.path()).unwrap().next().unwrap().unwrap().path();
        let mut content = std::fs::read(&file).unwrap();
        let at = at % content.len();
        if cut { content.truncate(at) } else { content[at] ^= byte }
        std::fs::write(&file, &content).unwrap();
        let found = StatCache::load(Some(home.path()), &root()).cursor().find(b"a", &stamp(1));
        prop_assert_eq!(found.is_some(), !cut && byte == 0);
    }
}

//! How two trees differ.

use handoff_proto::manifest::{Change, ChangeKind, Entry, Timestamp, differences};

use super::{directory, file};

#[test]
fn differences_are_in_kind_mode_and_content() {
    let before = [
        directory("d"),
        file("d/gone", "x"),
        file("mode", "x"),
        file("same", "x"),
        file("text", "x"),
    ];
    let later = Timestamp { secs: 1, nanos: 1 };
    let after = [
        file("d", "x"),
        Entry { mode: 0o755, ..file("mode", "x") },
        file("new", "x"),
        Entry { mtime: later, ..file("same", "x") },
        file("text", "y"),
    ];
    let change = |path: &str, kind| Change { path: path.parse().unwrap(), kind };
    let expected = [
        change("d", ChangeKind::Modified),
        change("d/gone", ChangeKind::Removed),
        change("mode", ChangeKind::Modified),
        change("new", ChangeKind::Added),
        change("text", ChangeKind::Modified),
    ];
    assert_eq!(differences(&before, &after), expected);
    assert_eq!(differences(&before, &before), []);
    assert_eq!(differences(&[], &before).len(), before.len());
}

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn check(bytes: &[u8], expected: Result<(), fn(String) -> PathError>) {
    let parsed = TreePath::parse(bytes).map(|_| ());
    let shown = shown(bytes);
    assert_eq!(parsed, expected.map_err(|variant| variant(shown)), "{}", escaped(bytes));
}

#[test]
fn a_path_is_relative_and_leads_downwards() {
    for fine in ["a", "a/b", "...", "a/..b", "-", " ", "a\nb", "a\\b", "é", ".git"] {
        check(fine.as_bytes(), Ok(()));
    }
    check(b"\xff\xfe", Ok(()));
    check(b"/a", Err(PathError::Absolute));
    check(b"a/", Err(PathError::EmptyComponent));
    check(b"a//b", Err(PathError::EmptyComponent));
    check(b".", Err(PathError::DotComponent));
    check(b"a/./b", Err(PathError::DotComponent));
    check(b"..", Err(PathError::DotComponent));
    check(b"a/../../b", Err(PathError::DotComponent));
    check(b"a\0b", Err(PathError::Nul));
    assert_eq!(TreePath::parse(b""), Err(PathError::Empty));
}

#[test]
fn lengths_end_where_the_kernel_ends_them() {
    let component = vec![b'x'; COMPONENT_MAX];
    check(&component, Ok(()));
    check(&[&component[..], b"x"].concat(), Err(PathError::LongComponent));

    // 15 components of 255 and their slashes, and one that fills up to the limit.
    let mut longest = [&component[..], b"/"].concat().repeat(15);
    longest.resize(PATH_MAX, b'y');
    check(&longest, Ok(()));
    longest.push(b'y');
    check(&longest, Err(PathError::Long));
}

#[test]
fn joining_keeps_the_rules() {
    let path = TreePath::parse(b"a/b").unwrap();
    assert_eq!(path.join(b"c/d").unwrap().as_bytes(), b"a/b/c/d");
    for bad in [&b""[..], b"/c", b"..", b"c/../d", b"c/", b"c\0"] {
        assert!(path.join(bad).is_err(), "{}", escaped(bad));
    }
    let long = TreePath::parse(&b"xxxxxxxxx/".repeat(409)[..4089]).unwrap();
    assert!(long.join(b"12345").is_ok());
    assert_eq!(
        long.join(b"123456"),
        Err(PathError::Long(shown(&[long.as_bytes(), b"/123456"].concat())))
    );
    assert!(TreePath::child(None, b"a/b").is_err());
}

#[test]
fn a_path_knows_its_surroundings() {
    let path = TreePath::parse(b"a/bc/d").unwrap();
    assert_eq!(path.file_name(), b"d");
    assert_eq!(path.parent(), Some(TreePath::parse(b"a/bc").unwrap()));
    assert_eq!(TreePath::parse(b"a").unwrap().parent(), None);
    assert_eq!(path.components().collect::<Vec<_>>(), [&b"a"[..], b"bc", b"d"]);
    assert!(path.starts_with(&TreePath::parse(b"a/bc").unwrap()));
    assert!(path.starts_with(&path));
    assert!(!path.starts_with(&TreePath::parse(b"a/b").unwrap()));
    assert_eq!(path.strip_prefix(&TreePath::parse(b"a").unwrap()).unwrap().as_bytes(), b"bc/d");
    assert_eq!(path.strip_prefix(&path), None);
}

#[test]
fn a_directory_sorts_right_before_what_it_holds() {
    let sorted = ["a", "a/z", "a/z/z", "a!", "a-b", "a.b", "a0", "ab", "b"];
    let mut paths: Vec<_> =
        sorted.iter().rev().map(|path| path.parse::<TreePath>().unwrap()).collect();
    paths.sort();
    let shown: Vec<String> = paths.iter().map(ToString::to_string).collect();
    assert_eq!(shown, sorted);
}

#[test]
fn what_is_shown_cannot_drive_a_terminal() {
    assert_eq!(escaped(b"plain \xc3\xa9 \xf0\x9f\xa6\x80"), "plain é 🦀");
    assert_eq!(escaped(b"\x1b[2J\x07\x7f"), "\\x1b[2J\\x07\\x7f");
    assert_eq!(escaped(b"a\tb\nc\rd\\"), "a\\tb\\nc\\rd\\\\");
    assert_eq!(escaped("\u{9b}31m".as_bytes()), "\\u{9b}31m");
    assert_eq!(escaped("\u{202e}gpj.exe\u{200d}".as_bytes()), "\\u{202e}gpj.exe\\u{200d}");
    assert_eq!(escaped(b"\xff\xc3(\xe2\x82"), "\\xff\\xc3(\\xe2\\x82");
}

#[test]
fn git_is_recognised_in_every_disguise() {
    let disguises = [
        ".git",
        ".GIT",
        ".Git",
        ".g\u{200c}it",
        "\u{feff}.git",
        ".gi\u{206f}T",
        "git~1",
        "GIT~1",
        ".git ",
        ".git.",
        ".git . .",
        "git~1.",
        ".git::$INDEX_ALLOCATION",
        ".git:x",
        "git~1:x",
        "x\\.git",
        ".git\\x",
        ".GIT.\\hooks",
    ];
    for name in disguises {
        assert!(is_git_spelling(name.as_bytes()), "{name:?}");
    }
    let others = [
        "git",
        ".gitignore",
        ".gitmodules",
        ".gi",
        "git~2",
        "git~10",
        ".git-x",
        ". git",
        "..git",
        "x.git",
        ".gitx.",
        "\u{200b}.git",
        "",
    ];
    for name in others {
        assert!(!is_git_spelling(name.as_bytes()), "{name:?}");
    }
    assert!(TreePath::parse(b"a/.GIT/hooks").unwrap().has_git_component());
    assert!(!TreePath::parse(b"a/git/hooks").unwrap().has_git_component());
}

#[test]
fn a_root_is_absolute_normal_and_not_the_systems() {
    for (path, reserved) in [
        ("/home/me/project", None),
        ("/root", None),
        ("/tmp/x", None),
        ("/Users/me", None),
        ("/usr/src/x", Some("usr")),
        ("/lib64/x", Some("lib64")),
        ("/etc", Some("etc")),
        ("/usrx", None),
        ("/binary", None),
    ] {
        let path: AbsolutePath = path.parse().unwrap();
        assert_eq!(path.reserved_top_level(), reserved.map(str::as_bytes), "{path}");
    }
    for bad in ["", "/", "home", "//", "/a/", "/a//b", "/a/../b", "/./a", "/a\0"] {
        assert!(bad.parse::<AbsolutePath>().is_err(), "{bad:?}");
    }
    let root: AbsolutePath = "/a/b".parse().unwrap();
    assert_eq!(root.join(&"c".parse().unwrap()).unwrap().to_string(), "/a/b/c");
    assert!(root.starts_with(&"/a".parse().unwrap()));
    assert!(!root.starts_with(&"/a/bc".parse().unwrap()));
}

/// Bytes in which everything that has a meaning is frequent.
fn pathological() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![
        4 => proptest::sample::select(&b"/.ab\0\x1b\xff"[..]),
        1 => any::<u8>(),
    ];
    vec(byte, 0..40)
}

proptest! {
    #[test]
    fn whatever_parses_is_what_the_rules_allow(bytes in pathological()) {
        let legal = !bytes.is_empty()
            && !bytes.contains(&0)
            && bytes.split(|&b| b == b'/').all(|c| !matches!(c, b"" | b"." | b".."));
        let parsed = TreePath::parse(&bytes);
        prop_assert_eq!(parsed.is_ok(), legal);
        if let Ok(path) = parsed {
            prop_assert_eq!(path.as_bytes(), &bytes[..]);
            let rebuilt = path.components().collect::<Vec<_>>().join(&b'/');
            prop_assert_eq!(rebuilt, bytes);
        }
    }

    #[test]
    fn paths_sort_as_their_components(a in pathological(), b in pathological()) {
        if let (Ok(a), Ok(b)) = (TreePath::parse(&a), TreePath::parse(&b)) {
            prop_assert_eq!(a.cmp(&b), a.components().cmp(b.components()));
        }
    }

    #[test]
    fn escaped_text_is_one_line_without_controls_and_unambiguous(
        a in pathological(),
        b in pathological(),
    ) {
        prop_assert!(!escaped(&a).chars().any(char::is_control));
        prop_assert_eq!(escaped(&a) == escaped(&b), a == b);
    }
}

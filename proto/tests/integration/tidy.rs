//! Rules about the source that no compiler checks.

use std::path::Path;

/// Calls `check` with path and content of every source file beneath a directory of `src`.
fn each_source(directory: &str, check: &mut dyn FnMut(&Path, &str)) {
    let mut seen = 0;
    let mut open = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(directory)];
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                check(&path, &std::fs::read_to_string(&path).unwrap());
                seen += 1;
            }
        }
    }
    assert!(seen > 0, "no source file was checked");
}

/// Names out of a bundle must never reach the file system from where they are parsed.
#[test]
fn bundles_know_no_file_system() {
    each_source("bundle", &mut |path, content| {
        for banned in ["std::fs", "use std::path", "Path::", ".join(", "rustix", "unpack"] {
            assert!(!content.contains(banned), "{} uses `{banned}`", path.display());
        }
    });
}

/// Content that is compared, stored or hostile is opened beneath a descriptor, never by path.
#[test]
fn manifests_and_chunks_know_no_file_system() {
    each_source("manifest", &mut |path, content| {
        for banned in ["std::fs", "use std::path", "rustix"] {
            assert!(!content.contains(banned), "{} uses `{banned}`", path.display());
        }
    });
}

#[test]
fn files_begin_with_what_they_are_for_and_stay_short() {
    const LINES_MAX: usize = 500;
    for directory in ["path", "chunk", "manifest", "bundle", "tree"] {
        each_source(directory, &mut |path, content| {
            let is_test = path.ends_with("tests.rs");
            let shown = path.display();
            assert!(is_test || content.starts_with("//! "), "{shown} says not what it is for");
            let lines = content.lines().count();
            assert!(is_test || lines <= LINES_MAX, "{shown} has {lines} lines");
        });
    }
}

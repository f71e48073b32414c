//! Which object directories a repository borrows objects from.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use handoff_proto::path::TreePath;

use super::layout::LayoutError;
use super::unsupported::Unsupported;

/// Files of an object directory that say something about that directory only.
const LISTS: [&[u8]; 3] = [b"info/alternates", b"info/http-alternates", b"info/packs"];

/// Whether this path in an object directory says something about that directory only.
pub(super) fn is_list(path: &TreePath) -> bool {
    LISTS.contains(&path.as_bytes())
}

/// The directories that `objects` borrows from, directly or through another; itself not among
/// them. One that does not exist is an error: nobody can tell what is missing without it.
pub(super) fn lenders(objects: &Path) -> Result<Vec<PathBuf>, LayoutError> {
    let mut seen = BTreeSet::from([objects.canonicalize().unwrap_or_else(|_| objects.to_owned())]);
    let mut to_visit = vec![objects.to_owned()];
    let mut lenders = Vec::new();
    while let Some(directory) = to_visit.pop() {
        let list = directory.join("info/alternates");
        let content = match std::fs::read(&list) {
            Ok(content) => content,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(source) => return Err(LayoutError::Alternates { path: list, source }),
        };
        for line in content.split(|&byte| byte == b'\n').filter_map(parse_line) {
            let lender = directory.join(Path::new(OsStr::from_bytes(&line)));
            let Ok(real) = lender.canonicalize() else {
                return Err(LayoutError::Unsupported(Unsupported::MissingLender { list, lender }));
            };
            if seen.insert(real.clone()) {
                lenders.push(real.clone());
                to_visit.push(real);
            }
        }
    }
    Ok(lenders)
}

/// A path, quoted as in C where it begins with a quote; nothing for comments and empty lines.
fn parse_line(line: &[u8]) -> Option<Vec<u8>> {
    match line.first()? {
        b'#' => None,
        b'"' => unquote(line),
        _ => Some(line.to_vec()),
    }
}

fn unquote(line: &[u8]) -> Option<Vec<u8>> {
    let mut rest = line.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    let mut path = Vec::with_capacity(rest.len());
    while let [first, after @ ..] = rest {
        rest = after;
        if *first != b'\\' {
            path.push(*first);
            continue;
        }
        let [escape, after @ ..] = rest else { return None };
        rest = after;
        path.push(match escape {
            b'n' => b'\n',
            b't' => b'\t',
            b'r' => b'\r',
            b'a' => 7,
            b'b' => 8,
            b'f' => 12,
            b'v' => 11,
            b'0'..=b'3' => {
                let octal = [*escape, *rest.first()?, *rest.get(1)?];
                rest = &rest[2..];
                u8::from_str_radix(std::str::from_utf8(&octal).ok()?, 8).ok()?
            }
            _ => *escape,
        });
    }
    Some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_as_git_reads_them() {
        assert_eq!(parse_line(b"../a b"), Some(b"../a b".to_vec()));
        assert_eq!(parse_line(b"# no"), None);
        assert_eq!(parse_line(b""), None);
        assert_eq!(parse_line(br#""a\"\\\n\303\244""#), Some("a\"\\\nä".as_bytes().to_vec()));
        assert_eq!(parse_line(br#""a\"#), None);
    }

    #[test]
    fn lenders_of_lenders_lend_too_and_circles_end() {
        let home = tempfile::tempdir().unwrap();
        let home = home.path().canonicalize().unwrap();
        for (borrower, lender) in [("a", "../b"), ("b", "../c"), ("c", "../a")] {
            let info = home.join(borrower).join("info");
            std::fs::create_dir_all(&info).unwrap();
            std::fs::write(info.join("alternates"), format!("{lender}\n{lender}\n")).unwrap();
        }
        assert_eq!(lenders(&home.join("a")).unwrap(), [home.join("b"), home.join("c")]);
        std::fs::remove_dir_all(home.join("c")).unwrap();
        let error = lenders(&home.join("a")).unwrap_err();
        assert!(error.to_string().contains("b/../c, which does not exist"), "{error}");
    }
}

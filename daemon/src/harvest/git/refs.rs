//! HEAD and references: loose files and `packed-refs`, parsed as text.

use std::collections::BTreeMap;

use handoff_proto::manifest::{Head, Limits, Oid, RefName};
use handoff_proto::path::escaped;
use handoff_proto::tree::MetaKind;

use super::super::note::Note;
use super::{GitDirectory, GitError};

/// A reference file holds one id or one name.
const REF_FILE_MAX: u64 = 16 * 1024;

/// Two million references with names of common length.
const PACKED_REFS_MAX: u64 = 256 << 20;

/// Levels of names; each is a directory that is open while it is read.
const DEPTH_MAX: usize = 64;

/// What a reference says.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Value {
    Oid(Oid),
    /// Another reference's name, not checked.
    Symbolic(Vec<u8>),
}

/// Reads HEAD and all references that hold an id, sorted by name.
pub(super) fn read(
    directory: GitDirectory<'_>,
    notes: &mut Vec<Note>,
) -> Result<(Head, Vec<(RefName, Oid)>), GitError> {
    refuse_other_formats(directory)?;
    let mut refs = BTreeMap::new();
    if let Some(content) = directory.read(b"packed-refs", PACKED_REFS_MAX)? {
        read_packed(directory, &content, &mut refs, notes)?;
    }
    read_loose(directory, &mut refs, notes)?;
    let head = head(directory, &refs)?;
    let with_ids = refs.into_iter().filter_map(|(name, value)| match value {
        Value::Oid(oid) => Some((name, oid)),
        Value::Symbolic(_) => None,
    });
    Ok((head, with_ids.collect()))
}

fn refuse_other_formats(directory: GitDirectory<'_>) -> Result<(), GitError> {
    for (name, problem) in [
        (b"reftable".as_slice(), "exists: references in the reftable format are not read"),
        (b"commondir", "exists: linked worktrees are not read"),
    ] {
        if directory.lstat(name)?.is_some() {
            return Err(directory.odd(name, problem));
        }
    }
    match directory.lstat(b"refs")? {
        Some(meta) if meta.kind == MetaKind::Directory => Ok(()),
        _ => Err(directory.odd(b"refs", "is no directory")),
    }
}

fn head(directory: GitDirectory<'_>, refs: &BTreeMap<RefName, Value>) -> Result<Head, GitError> {
    let odd = |problem| directory.odd(b"HEAD", problem);
    let content = directory.read(b"HEAD", REF_FILE_MAX)?.ok_or_else(|| odd("does not exist"))?;
    match parse(directory, &content) {
        None => Err(odd("holds neither an id nor a reference")),
        Some(Value::Oid(oid)) => Ok(Head::Detached(oid)),
        Some(Value::Symbolic(name)) => {
            let name = RefName::parse(&name).map_err(|_| odd("names no valid reference"))?;
            match refs.get(&name) {
                None => Ok(Head::Branch(name, None)),
                Some(Value::Oid(oid)) => {
                    let oid = *oid;
                    Ok(Head::Branch(name, Some(oid)))
                }
                Some(Value::Symbolic(_)) => Err(odd("names a symbolic reference")),
            }
        }
    }
}

fn parse(directory: GitDirectory<'_>, content: &[u8]) -> Option<Value> {
    match content.strip_prefix(b"ref:") {
        Some(name) => Some(Value::Symbolic(name.trim_ascii().to_vec())),
        None => id(directory, content),
    }
}

fn id(directory: GitDirectory<'_>, line: &[u8]) -> Option<Value> {
    directory.leading_oid(line).filter(|oid| !oid.is_zero()).map(Value::Oid)
}

fn read_packed(
    directory: GitDirectory<'_>,
    content: &[u8],
    refs: &mut BTreeMap<RefName, Value>,
    notes: &mut Vec<Note>,
) -> Result<(), GitError> {
    for line in content.split(|&byte| byte == b'\n') {
        // A comment, or the object that an annotated tag names.
        if line.is_empty() || line.starts_with(b"#") || line.starts_with(b"^") {
            continue;
        }
        let end = line.iter().position(|&byte| byte == b' ').unwrap_or(line.len());
        let name = line.get(end + 1..).unwrap_or_default();
        insert(refs, name, id(directory, line), notes)?;
    }
    Ok(())
}

fn read_loose(
    directory: GitDirectory<'_>,
    refs: &mut BTreeMap<RefName, Value>,
    notes: &mut Vec<Note>,
) -> Result<(), GitError> {
    let mut to_visit = vec![(b"refs".to_vec(), 1)];
    while let Some((name, depth)) = to_visit.pop() {
        let path = directory.join(&name)?;
        for (child, kind) in directory.list(&path)? {
            let child = [&name, child.as_slice()].join(&b'/');
            match kind {
                MetaKind::Directory if depth < DEPTH_MAX => to_visit.push((child, depth + 1)),
                MetaKind::Directory => {
                    return Err(GitError::TooMany {
                        what: "levels of references",
                        limit: DEPTH_MAX,
                    });
                }
                MetaKind::File => {
                    let content = directory.read(&child, REF_FILE_MAX)?.unwrap_or_default();
                    insert(refs, &child, parse(directory, &content), notes)?;
                }
                MetaKind::Symlink => return Err(directory.odd(&child, "is a symbolic link")),
                MetaKind::Socket | MetaKind::Fifo | MetaKind::Device => {
                    return Err(directory.odd(&child, "is no file"));
                }
            }
        }
    }
    Ok(())
}

/// Takes a reference up; one that git would ignore as broken is left out with a note.
fn insert(
    refs: &mut BTreeMap<RefName, Value>,
    name: &[u8],
    value: Option<Value>,
    notes: &mut Vec<Note>,
) -> Result<(), GitError> {
    let limit = Limits::DEFAULT.refs_max;
    if refs.len() >= limit {
        return Err(GitError::TooMany { what: "references", limit });
    }
    match (RefName::parse(name), value) {
        (Ok(name), Some(value)) => drop(refs.insert(name, value)),
        (Ok(name), None) => {
            // A broken loose file hides the packed one.
            refs.remove(&name);
            let reason = "it holds no object id";
            notes.push(Note::Reference { name: name.to_string(), reason });
        }
        (Err(_), _) => {
            let reason = "git does not allow its name";
            notes.push(Note::Reference { name: escaped(name), reason });
        }
    }
    Ok(())
}

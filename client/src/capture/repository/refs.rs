//! Reads references from loose files and `packed-refs`, as `git for-each-ref` lists them.
//!
//! Loose files come first and win: who packs references writes the packed file before it removes
//! them, so that none is missed in between. Whatever is broken or unusual is left to git.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use handoff_proto::manifest::{ObjectFormat, Oid, RefName};

use super::witness::Witnesses;

/// What each working tree has for itself.
const OF_WORKTREE: [&[u8]; 3] = [b"refs/bisect/", b"refs/rewritten/", b"refs/worktree/"];

/// The references of a repository.
#[derive(Debug, Default)]
pub(super) struct References {
    found: BTreeMap<RefName, Target>,
}

#[derive(Debug)]
enum Target {
    Object(Oid),
    Symbolic,
}

/// What a file that holds a reference says.
#[derive(Debug)]
pub(super) enum Content {
    Object(Oid),
    Symbolic(RefName),
}

impl References {
    /// Reads all references; `None` to ask git. What was read is noted.
    pub(super) fn read(
        git_dir: &Path,
        common_dir: &Path,
        format: ObjectFormat,
        seen: &mut Witnesses,
    ) -> Option<Self> {
        let mut references = Self::default();
        references.add_loose(common_dir, b"refs", format, seen, &|name| {
            git_dir == common_dir || !is_of_worktree(name)
        })?;
        if git_dir != common_dir {
            for own in OF_WORKTREE {
                let directory = own.strip_suffix(b"/").unwrap_or(own);
                references.add_loose(git_dir, directory, format, seen, &|_| true)?;
            }
        }
        references.add_packed(&common_dir.join("packed-refs"), format, seen)?;
        Some(references)
    }

    /// What HEAD's branch holds; `None` inside if there is no such branch yet, outside to ask git.
    pub(super) fn branch(&self, name: &RefName) -> Option<Option<Oid>> {
        match self.found.get(name) {
            Some(Target::Object(oid)) => Some(Some(*oid)),
            Some(Target::Symbolic) => None,
            None => Some(None),
        }
    }

    /// All that hold an object, sorted by name.
    pub(super) fn into_objects(self) -> Vec<(RefName, Oid)> {
        let each = self.found.into_iter();
        each.filter_map(|(name, target)| match target {
            Target::Object(oid) => Some((name, oid)),
            Target::Symbolic => None,
        })
        .collect()
    }

    fn add_loose(
        &mut self,
        base: &Path,
        directory: &[u8],
        format: ObjectFormat,
        seen: &mut Witnesses,
        wanted: &dyn Fn(&[u8]) -> bool,
    ) -> Option<()> {
        let path = base.join(std::ffi::OsStr::from_bytes(directory));
        if seen.note(&path)?.is_none() {
            return Some(());
        }
        for item in fs::read_dir(&path).ok()? {
            let item = item.ok()?;
            let kind = item.file_type().ok()?;
            let name = [directory, item.file_name().as_bytes()].join(&b'/');
            if kind.is_dir() {
                let below = [&*name, b"/"].concat();
                if wanted(&below) {
                    self.add_loose(base, &name, format, seen, wanted)?;
                }
            } else if is_skipped(item.file_name().as_bytes()) || !wanted(&name) {
                // git neither.
            } else if kind.is_file() {
                let file = item.path();
                // One that has just been packed is in the packed file.
                if seen.note(&file)?.is_none() {
                    continue;
                }
                let target = match parse(&fs::read(&file).ok()?, format)? {
                    Content::Object(oid) => Target::Object(oid),
                    Content::Symbolic(_) => Target::Symbolic,
                };
                self.found.insert(RefName::parse(&name).ok()?, target);
            } else {
                return None;
            }
        }
        Some(())
    }

    fn add_packed(
        &mut self,
        path: &Path,
        format: ObjectFormat,
        seen: &mut Witnesses,
    ) -> Option<()> {
        if seen.note(path)?.is_none() {
            return Some(());
        }
        let content = fs::read(path).ok()?;
        for line in content.strip_suffix(b"\n").unwrap_or(&content).split(|&byte| byte == b'\n') {
            // Headers, and what tags point to.
            if matches!(line.first(), None | Some(b'#' | b'^')) {
                continue;
            }
            let (hex, name) = line.split_at_checked(format.oid_len() * 2)?;
            let oid = object(hex, format)?;
            let name = RefName::parse(name.strip_prefix(b" ")?).ok()?;
            self.found.entry(name).or_insert(Target::Object(oid));
        }
        Some(())
    }
}

/// What the file of a reference or HEAD says; `None` to ask git.
pub(super) fn parse(content: &[u8], format: ObjectFormat) -> Option<Content> {
    let line = content.strip_suffix(b"\n").unwrap_or(content);
    match line.strip_prefix(b"ref: ") {
        Some(name) => RefName::parse(name).ok().map(Content::Symbolic),
        None => object(line, format).map(Content::Object),
    }
}

fn object(hex: &[u8], format: ObjectFormat) -> Option<Oid> {
    let oid = Oid::parse(hex).ok()?;
    // git ignores references to no object, with a warning.
    (oid.format() == format && !oid.is_zero()).then_some(oid)
}

fn is_of_worktree(name: &[u8]) -> bool {
    OF_WORKTREE.iter().any(|own| name.starts_with(own))
}

/// Names that git passes over without a word.
fn is_skipped(file_name: &[u8]) -> bool {
    file_name.starts_with(b".") || file_name.ends_with(b".lock")
}

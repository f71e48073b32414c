//! The objects that the snapshot lacks, as one pack that needs no other.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, BufWriter, Write};
use std::path::Path;

use handoff_proto::manifest::{Head, IndexEntry, Oid, Operation, RefName, RepositoryState};
use handoff_proto::tree::MetaKind;

use super::super::note::Note;
use super::clean::CleanRepository;
use super::{GitDirectory, GitError};

/// The boundary of a shallow clone with hundreds of thousands of commits.
const SHALLOW_MAX: u64 = 32 << 20;

/// The mode of a submodule in an index: a commit of another repository.
const SUBMODULE: u32 = 0o160_000;

/// What a repository names now, and what is known to be in the snapshot.
pub(super) struct Wanted<'a> {
    pub(super) head: &'a Head,
    /// Those whose object is missing are removed.
    pub(super) refs: &'a mut Vec<(RefName, Oid)>,
    pub(super) in_progress: &'a [(Operation, Vec<Oid>)],
    pub(super) index: &'a [IndexEntry],
    pub(super) base: &'a RepositoryState,
    /// Objects that the snapshot's index names.
    pub(super) known: &'a HashSet<Oid>,
}

/// Writes the pack; `false` if there is nothing to put into it.
pub(super) fn pack(
    directory: GitDirectory<'_>,
    clean: &CleanRepository,
    wanted: Wanted<'_>,
    notes: &mut Vec<Note>,
) -> Result<bool, GitError> {
    match directory.lstat(b"objects")? {
        Some(meta) if meta.kind == MetaKind::Directory => {}
        _ => return Err(directory.odd(b"objects", "is no directory")),
    }
    copy_shallow(directory, clean)?;
    let existing = wanted.existing(clean)?;
    let Wanted { head, refs, in_progress, index, base, known } = wanted;
    refs.retain(|(name, oid)| {
        let exists = existing.contains(oid);
        if !exists {
            let reason = "its object is missing";
            notes.push(Note::Reference { name: name.to_string(), reason });
        }
        exists
    });
    let mut tips: Vec<Oid> = refs.iter().map(|(_, oid)| *oid).collect();
    for (oid, what) in heads(head, in_progress) {
        if !existing.contains(&oid) {
            return Err(GitError::MissingObject { oid, what });
        }
        tips.push(oid);
    }
    tips.extend(staged(index, known).filter(|oid| existing.contains(oid)));
    let base_tips = base_tips(base).filter(|oid| existing.contains(oid));
    let listed = list_new(directory, clean, &tips, base_tips)?;
    if keep_unknown(&listed, known, &clean.file("objects-to-pack"))? == 0 {
        return Ok(false);
    }
    let arguments = ["--stdout", "-q", "--delta-base-offset"].map(OsStr::new);
    let input = clean.file("objects-to-pack");
    clean.run("pack-objects", &arguments, None, Some(&input), &clean.pack())?;
    Ok(true)
}

impl Wanted<'_> {
    /// Which of all objects that are named here are in the object store.
    fn existing(&self, clean: &CleanRepository) -> Result<HashSet<Oid>, GitError> {
        let mut named: HashSet<Oid> = self.refs.iter().map(|(_, oid)| *oid).collect();
        named.extend(heads(self.head, self.in_progress).map(|(oid, _)| oid));
        named.extend(staged(self.index, self.known));
        named.extend(base_tips(self.base));
        named.retain(|oid| oid.format() == clean.format());
        let (input, output) = (clean.file("objects-named"), clean.file("objects-found"));
        write_lines(&input, named.iter()).map_err(GitError::Scratch)?;
        let arguments = ["--batch-check=%(objectname)", "--buffer"].map(OsStr::new);
        clean.run("cat-file", &arguments, None, Some(&input), &output)?;
        let mut existing = HashSet::new();
        for line in BufReader::new(File::open(&output).map_err(GitError::Scratch)?).split(b'\n') {
            // A missing one is followed by the word "missing".
            if let Ok(oid) = Oid::parse(&line.map_err(GitError::Scratch)?) {
                existing.insert(oid);
            }
        }
        Ok(existing)
    }
}

/// The objects of HEAD and of operations in progress, each with who names it.
fn heads<'a>(
    head: &'a Head,
    in_progress: &'a [(Operation, Vec<Oid>)],
) -> impl Iterator<Item = (Oid, String)> + 'a {
    let operations = in_progress.iter().flat_map(|(operation, heads)| {
        heads.iter().map(move |oid| (*oid, operation.head_file().unwrap_or_default().to_owned()))
    });
    head.oid().map(|oid| (oid, "HEAD".to_owned())).into_iter().chain(operations)
}

/// The objects that are staged and that the snapshot's index does not name.
fn staged<'a>(index: &'a [IndexEntry], known: &'a HashSet<Oid>) -> impl Iterator<Item = Oid> + 'a {
    index
        .iter()
        .filter(|entry| entry.mode != SUBMODULE && !entry.oid.is_zero())
        .map(|entry| entry.oid)
        .filter(|oid| !known.contains(oid))
}

fn base_tips(base: &RepositoryState) -> impl Iterator<Item = Oid> + '_ {
    let refs = base.refs.iter().map(|(_, oid)| *oid);
    let operations = base.in_progress.iter().flat_map(|(_, heads)| heads.iter().copied());
    refs.chain(base.head.oid()).chain(operations)
}

/// Lists what can be reached from the tips and not from those of the base.
fn list_new(
    directory: GitDirectory<'_>,
    clean: &CleanRepository,
    tips: &[Oid],
    base_tips: impl Iterator<Item = Oid>,
) -> Result<std::path::PathBuf, GitError> {
    let (input, output) = (clean.file("revisions"), clean.file("objects-new"));
    let lines = tips.iter().map(Oid::to_string);
    write_lines(&input, lines.chain(base_tips.map(|oid| format!("^{oid}"))))
        .map_err(GitError::Scratch)?;
    let mut arguments = vec![OsStr::new("--objects"), OsStr::new("--stdin")];
    if is_partial(directory)? {
        // What a partial clone lacks, the laptop lacks as well.
        arguments.push(OsStr::new("--missing=allow-any"));
    }
    clean.run("rev-list", &arguments, None, Some(&input), &output)?;
    Ok(output)
}

/// Copies the listed objects that are not known, each once, and returns how many there are.
fn keep_unknown(listed: &Path, known: &HashSet<Oid>, kept: &Path) -> Result<usize, GitError> {
    let copy = || -> io::Result<usize> {
        let mut seen: HashSet<Oid> = HashSet::new();
        let mut output = BufWriter::new(File::create(kept)?);
        for line in BufReader::new(File::open(listed)?).split(b'\n') {
            let line = line?;
            let end = line.iter().position(|&byte| byte == b' ').unwrap_or(line.len());
            let Ok(oid) = Oid::parse(&line[..end]) else { continue };
            if !known.contains(&oid) && seen.insert(oid) {
                // The path after the id helps git to find similar objects.
                output.write_all(&line)?;
                output.write_all(b"\n")?;
            }
        }
        output.flush()?;
        Ok(seen.len())
    };
    copy().map_err(GitError::Scratch)
}

/// Tells git where a shallow clone's history ends.
fn copy_shallow(directory: GitDirectory<'_>, clean: &CleanRepository) -> Result<(), GitError> {
    let Some(content) = directory.read(b"shallow", SHALLOW_MAX)? else { return Ok(()) };
    let oids =
        directory.oids(&content).ok_or_else(|| directory.odd(b"shallow", "holds no object ids"))?;
    write_lines(&clean.file("shallow"), oids.iter()).map_err(GitError::Scratch)
}

/// Whether some objects were never fetched: their packs have a file beside them that says so.
fn is_partial(directory: GitDirectory<'_>) -> Result<bool, GitError> {
    let packs = directory.tree.join(directory.path.as_os_path()).join("objects/pack");
    match fs::read_dir(packs) {
        Ok(entries) => Ok(entries.filter_map(Result::ok).any(|entry| {
            Path::new(&entry.file_name()).extension() == Some(OsStr::new("promisor"))
        })),
        Err(_) => Ok(false),
    }
}

fn write_lines<T: std::fmt::Display>(
    path: &Path,
    lines: impl Iterator<Item = T>,
) -> io::Result<()> {
    let mut output = BufWriter::new(File::create(path)?);
    for line in lines {
        writeln!(output, "{line}")?;
    }
    output.flush()
}

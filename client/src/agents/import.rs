//! How a session comes back: over the one that is here if that has not moved since, else beside it.
//!
//! ```text
//! result ─▶ sorted: transcript, files of the session, files that it shares, others
//! base   ─▶ what was here: up to there the transcript is the laptop's own word
//! here   ─▶ a beginning of the transcript? forward : fork
//! ```
//!
//! What comes out of a sandbox is data: files go to places of the session's own, nothing that is here
//! is overwritten by something else, and records that would decide what the agent may do are left out.

mod error;
mod outcome;
mod sort;

use std::collections::HashMap;
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use handoff_proto::chunk::ChunkId;
use handoff_proto::manifest::{Entry, Session};
use handoff_proto::path::{AbsolutePath, TreePath};

pub use self::error::ImportError;
pub use self::outcome::{ImportMode, Imported};
use self::sort::Sorted;
use super::Kind;
use crate::pull::chunks::Chunks;
use crate::settings::{Durability, replace_private};

/// How many forks of one session are looked for.
const FORKS_MAX: usize = 100;

/// The longest transcript that is brought back, in bytes.
const TRANSCRIPT_BYTES_MAX: u64 = 1 << 30;

/// How often what is here is looked at again after writing what belongs to the transcript.
const ATTEMPTS: usize = 3;

/// Things left out that are named.
const LEFT_OUT_MAX: usize = 20;

/// How a transcript that is here stands to what came back.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Here {
    /// It holds all of it, and perhaps more.
    HasIt,
    /// It is a beginning.
    Begins {
        /// What it reads with the rest.
        content: Vec<u8>,
        /// How much of that is the laptop's own word, in bytes.
        own: usize,
    },
    /// It went on by itself.
    WentOn,
}

impl Here {
    /// By bytes.
    pub(super) fn by_bytes(here: &[u8], content: Vec<u8>, own: usize) -> Self {
        match () {
            () if here.starts_with(&content) => Self::HasIt,
            () if content.starts_with(here) => Self::Begins { content, own },
            () => Self::WentOn,
        }
    }
}

/// What a file of a session is to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// The transcript.
    Transcript,
    /// The session's alone.
    Own,
    /// Its todo list.
    List,
    /// Named by the session, in a place that others use, too.
    Shared,
}

/// A session that came back, and what there was when it left.
#[derive(Debug)]
pub struct Import<'a> {
    kind: Kind,
    run: &'a str,
    agent: &'a Path,
    /// Where the command started, here as there.
    directory: &'a AbsolutePath,
    sorted: Sorted<'a>,
}

impl<'a> Import<'a> {
    /// Sorts what a run returned. `agent` is the agent's directory here, `directory` where the
    /// command started.
    ///
    /// # Errors
    ///
    /// Where it holds no transcript in the place where one belongs.
    pub fn new(
        kind: Kind,
        run: &'a str,
        agent: &'a AbsolutePath,
        directory: &'a AbsolutePath,
        base: Option<&'a Session>,
        session: &'a Session,
    ) -> Result<Self, ImportError> {
        let sorted = Sorted::new(kind, directory, base, session)?;
        Ok(Self { kind, run, agent: agent.as_os_path(), directory, sorted })
    }

    /// The contents that are needed.
    #[must_use]
    pub fn wanted(&self) -> HashMap<ChunkId, u32> {
        let parts = self.sorted.parts.iter().map(|(file, _)| *file);
        let files = parts.chain(std::iter::once(self.sorted.transcript));
        files.flat_map(Entry::chunks).map(|chunk| (chunk.id, chunk.size)).collect()
    }

    /// Brings it back; `is_held` tells whether a program has a session open.
    ///
    /// # Errors
    ///
    /// Where something cannot be read or written. The transcript comes last: until then it is as
    /// though nothing had come back.
    pub fn apply(
        mut self,
        chunks: &Chunks,
        is_held: impl Fn(&str) -> bool,
    ) -> Result<Imported, ImportError> {
        let returned = read(chunks, self.sorted.transcript)?;
        let (transcript, own) = self.returned_from(&returned)?;
        let mut standing = self.decide(&transcript, own, &is_held)?;
        for _ in 0..ATTEMPTS {
            if standing.content.is_none() {
                break;
            }
            self.write_parts(chunks, &standing.id)?;
            // Again after the parts, which take a while: the session here may have gone on.
            let now = self.decide(&transcript, own, &is_held)?;
            let before = std::mem::replace(&mut standing, now);
            if before.id == standing.id {
                break;
            }
        }
        if let Standing { id, content: Some(content), own, .. } = &mut standing {
            let content = std::mem::take(content);
            let content = self
                .kind
                .closed(content, *own, id, self.directory)
                .ok_or_else(|| ImportError::NoSettings(id.clone()))?;
            write(&self.path(&self.sorted.transcript.path, id), &content)?;
        }
        let resume = self.kind.resume(&standing.id);
        let Standing { id, mode, .. } = standing;
        Ok(Imported { mode, session_id: id, resume, left_out: few(self.sorted.left_out) })
    }

    /// The transcript as it may be here: the laptop's own part as it was, whose length comes second,
    /// and what the run added without what decides about permissions.
    fn returned_from(&self, returned: &[u8]) -> Result<(Vec<u8>, usize), ImportError> {
        let sent = self.sorted.sent(&self.sorted.transcript.path);
        let end = sent.map_or(Ok(0), |sent| usize::try_from(sent.size())).unwrap_or(usize::MAX);
        let part = returned.get(..end);
        let Some(part) = part.filter(|part| sent.is_none_or(|sent| is_content(part, sent))) else {
            return Err(ImportError::Rewritten(self.sorted.session.id.clone()));
        };
        let (mut own, added) = (part.to_vec(), &returned[part.len()..]);
        for line in added.split_inclusive(|byte| *byte == b'\n') {
            // What has no end would take in what comes behind it.
            if line.ends_with(b"\n") && self.kind.is_harmless(line) {
                own.extend_from_slice(line);
            }
        }
        Ok((own, end))
    }

    /// Which session it becomes, unless one has all of it already.
    fn decide(
        &self,
        returned: &[u8],
        own: usize,
        is_held: &impl Fn(&str) -> bool,
    ) -> Result<Standing, ImportError> {
        let mut mode = ImportMode::Forwarded;
        let session = &self.sorted.session.id;
        for number in 0..=FORKS_MAX {
            let id = match number {
                0 => session.clone(),
                number => self.kind.fork_id(session, self.run, number),
            };
            let content = self.kind.rewritten(returned, session, &id);
            let path = self.path(&self.sorted.transcript.path, &id);
            let Some(here) = read_here(&path)? else {
                let mode = if number == 0 { ImportMode::New } else { mode };
                return Ok(Standing { id, mode, content: Some(content), own });
            };
            let continued = match self.kind.continued(here, content, own) {
                Here::HasIt => {
                    return Ok(Standing { id, mode: ImportMode::UpToDate, content: None, own });
                }
                Here::Begins { content, own } if !is_held(&id) => {
                    return Ok(Standing { id, mode, content: Some(content), own });
                }
                Here::Begins { .. } => ImportMode::ForkedWhileOpen,
                Here::WentOn => ImportMode::Forked,
            };
            if number == 0 {
                mode = continued;
            }
        }
        Err(ImportError::TooManyForks(session.clone()))
    }

    /// Writes everything but the transcript. What is here is only ever added to, but for the todo
    /// list, which is what the session says it is, and a plan that is here as it left.
    fn write_parts(&mut self, chunks: &Chunks, id: &str) -> Result<(), ImportError> {
        let mut left_out = Vec::new();
        for (file, part) in &self.sorted.parts {
            let path = self.path(&file.path, id);
            let content = read(chunks, file)?;
            match read_here(&path)? {
                Some(here) if here == content => {}
                Some(here) if *part == Part::Shared && self.is_as_sent(&here, file, id) => {
                    write(&path, &content)?;
                }
                Some(here) if *part != Part::List && !content.starts_with(&here) => {
                    left_out.push(format!("{}: it is another file here", file.path));
                }
                Some(_) | None => write(&path, &content)?,
            }
        }
        // What the run took off its todo list does not come back by staying here.
        for gone in self.sorted.gone() {
            let path = self.path(&gone.path, id);
            if read_here(&path)?.is_some_and(|here| is_content(&here, gone)) {
                fs::remove_file(&path)
                    .map_err(|source| ImportError::Write { path: path.clone(), source })?;
            }
        }
        for what in left_out {
            if !self.sorted.left_out.contains(&what) {
                self.sorted.left_out.push(what);
            }
        }
        Ok(())
    }

    /// Whether these bytes are what was sent as that file, by the session that `id` names here.
    fn is_as_sent(&self, here: &[u8], file: &Entry, id: &str) -> bool {
        let sent = self.sorted.sent(&file.path);
        id == self.sorted.session.id && sent.is_some_and(|sent| is_content(here, sent))
    }

    /// Where a file of the session is here, if the session is called `id`.
    fn path(&self, path: &TreePath, id: &str) -> PathBuf {
        self.agent.join(self.kind.renamed(path, &self.sorted.session.id, id).as_os_path())
    }
}

/// What is to be done.
struct Standing {
    id: String,
    mode: ImportMode,
    /// What the transcript is to hold; none where it is here already.
    content: Option<Vec<u8>>,
    /// How much of it is the laptop's own word, in bytes.
    own: usize,
}

/// The first ones, and how many more there are.
fn few(mut lines: Vec<String>) -> Vec<String> {
    let more = lines.len().saturating_sub(LEFT_OUT_MAX);
    lines.truncate(LEFT_OUT_MAX);
    if more > 0 {
        lines.push(format!("and {more} more"));
    }
    lines
}

/// What a file holds here; none where there is none.
fn read_here(path: &Path) -> Result<Option<Vec<u8>>, ImportError> {
    match fs::read(path) {
        Ok(here) => Ok(Some(here)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(ImportError::Read { path: path.to_owned(), source }),
    }
}

fn read(chunks: &Chunks, file: &Entry) -> Result<Vec<u8>, ImportError> {
    let mut content = Vec::with_capacity(usize::try_from(file.size()).unwrap_or_default());
    let read = chunks.reader(file.chunks()).read_to_end(&mut content);
    read.map_err(ImportError::Content)?;
    Ok(content)
}

/// Whether these bytes are what the file holds.
fn is_content(bytes: &[u8], file: &Entry) -> bool {
    let mut rest = bytes;
    let mut is_next = |chunk: &handoff_proto::chunk::ChunkRef| {
        let Some((part, after)) = rest.split_at_checked(chunk.size as usize) else { return false };
        rest = after;
        ChunkId::of(part) == chunk.id
    };
    file.chunks().iter().all(&mut is_next) && rest.is_empty()
}

fn write(path: &Path, content: &[u8]) -> Result<(), ImportError> {
    replace_private(path, Durability::Power, |file| file.write_all(content))
        .map_err(|source: io::Error| ImportError::Write { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests;

//! How a session comes back: over the one that is here if that has not moved since, else beside it.
//!
//! ```text
//! result ─▶ sorted: transcript, files of the session, files that it shares, others
//! base   ─▶ what was here: up to there the transcript is the laptop's own word
//! here   ─▶ a beginning of the transcript? forward : fork
//! ```
//!
//! What comes out of a sandbox is data: files get names of ours in places of the session's own, and
//! records that would decide what the agent may do here are left out.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use handoff_proto::chunk::ChunkId;
use handoff_proto::manifest::{Entry, Session};
use handoff_proto::path::{AbsolutePath, TreePath};
use serde::Serialize;

use super::Kind;
use crate::pull::chunks::Chunks;
use crate::settings::{Durability, replace_private};

/// How many forks of one session are looked for.
const FORKS_MAX: usize = 100;

/// The longest transcript that is brought back, in bytes.
const TRANSCRIPT_BYTES_MAX: u64 = 2 << 30;

/// What a file of a session is to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// The transcript.
    Transcript,
    /// The session's alone.
    Own,
    /// Named by the session, in a place that others use, too.
    Shared,
}

/// What became of a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Imported {
    /// How it came back.
    pub mode: ImportMode,
    /// The session that holds it now.
    pub session_id: String,
    /// What goes on with it.
    pub resume: Vec<String>,
    /// What of it stays with the run.
    pub left_out: Vec<String>,
}

/// How a conversation came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ImportMode {
    /// The session that was here has all of it already.
    UpToDate,
    /// The session that was here goes on.
    Forwarded,
    /// It is a session that was not here before.
    New,
    /// A session of its own: the one here went on meanwhile.
    Forked,
    /// A session of its own: a program has the one here open.
    ForkedWhileOpen,
}

/// A conversation cannot be brought back; what was here is as it was.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// There is no transcript, or more than one.
    #[error("the run returned no transcript of session {0}")]
    NoTranscript(String),
    /// It is larger than any session.
    #[error("the transcript has {0} bytes, the limit is {TRANSCRIPT_BYTES_MAX}")]
    TooLarge(u64),
    /// Every name for a fork is taken.
    #[error("there are {FORKS_MAX} forks of session {0} here that went on by themselves")]
    TooManyForks(String),
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file cannot be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Content that did not arrive.
    #[error("cannot read what arrived of the conversation")]
    Content(#[source] io::Error),
}

/// A session that came back, and what there was when it left.
#[derive(Debug)]
pub struct Import<'a> {
    kind: Kind,
    run: &'a str,
    agent: &'a Path,
    base: Option<&'a Session>,
    session: &'a Session,
    transcript: &'a Entry,
    parts: Vec<(&'a Entry, Part)>,
    left_out: Vec<String>,
}

impl<'a> Import<'a> {
    /// Sorts what a run returned. `agent` is the agent's directory here.
    ///
    /// # Errors
    ///
    /// Where it holds no transcript.
    pub fn new(
        kind: Kind,
        run: &'a str,
        agent: &'a AbsolutePath,
        base: Option<&'a Session>,
        session: &'a Session,
    ) -> Result<Self, ImportError> {
        let base = base.filter(|base| base.id == session.id && base.agent == session.agent);
        let known: HashMap<&TreePath, &Entry> =
            base.iter().flat_map(|base| &base.files).map(|file| (&file.path, file)).collect();
        let (mut transcripts, mut parts, mut left_out) = (Vec::new(), Vec::new(), Vec::new());
        for file in &session.files {
            match kind.part(&file.path, &session.id) {
                Some(Part::Transcript) => transcripts.push(file),
                Some(part) => parts.push((file, part)),
                None if known.get(&file.path).is_some_and(|known| known.kind == file.kind) => {}
                None => left_out.push(file.path.to_string()),
            }
        }
        let sent = |file: &&&Entry| known.contains_key(&file.path);
        let transcript = match transcripts.as_slice() {
            [only] => Some(*only),
            // Of a thread in several files the newest goes on; their names begin with the time.
            several => several.iter().rfind(sent).copied(),
        };
        let missing = || ImportError::NoTranscript(session.id.clone());
        let transcript = transcript.ok_or_else(missing)?;
        if transcript.size() > TRANSCRIPT_BYTES_MAX {
            return Err(ImportError::TooLarge(transcript.size()));
        }
        let agent = agent.as_os_path();
        Ok(Self { kind, run, agent, base, session, transcript, parts, left_out })
    }

    /// The contents that are needed.
    #[must_use]
    pub fn wanted(&self) -> HashMap<ChunkId, u32> {
        let parts = self.parts.iter().map(|(file, _)| *file);
        let files = parts.chain(std::iter::once(self.transcript));
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
        let returned = read(chunks, self.transcript)?;
        let (transcript, own) = self.returned_from(&returned);
        let Standing { id, mode, content } = self.decide(&transcript, is_held)?;
        if let Some(content) = content {
            self.write_parts(chunks, &id)?;
            let path = self.path(&self.transcript.path, &id);
            write(&path, &self.kind.closed(content, own))?;
        }
        let resume = self.kind.resume(&id);
        Ok(Imported { mode, session_id: id, resume, left_out: self.left_out })
    }

    /// The transcript as it may be here: the laptop's own part as it was, whose length comes second,
    /// and what the run added without what decides about permissions.
    fn returned_from(&self, returned: &[u8]) -> (Vec<u8>, usize) {
        let same = self.base.and_then(|base| {
            let sent = base.files.iter().find(|file| file.path == self.transcript.path)?;
            let end = usize::try_from(sent.size()).ok()?;
            let part = returned.get(..end)?;
            is_content(part, sent).then_some(end)
        });
        let (mut own, added) = {
            let (own, added) = returned.split_at(same.unwrap_or_default());
            (own.to_vec(), added)
        };
        for line in added.split_inclusive(|byte| *byte == b'\n') {
            if self.kind.is_harmless(line) {
                own.extend_from_slice(line);
            }
        }
        (own, same.unwrap_or_default())
    }

    /// Which session it becomes, and with what content unless that has all of it.
    fn decide(
        &self,
        returned: &[u8],
        is_held: impl Fn(&str) -> bool,
    ) -> Result<Standing, ImportError> {
        let mut mode = ImportMode::Forwarded;
        for number in 0..=FORKS_MAX {
            let id = match number {
                0 => self.session.id.clone(),
                number => self.kind.fork_id(&self.session.id, self.run, number),
            };
            let content = self.kind.rewritten(returned, &self.session.id, &id);
            let path = self.path(&self.transcript.path, &id);
            let here = match fs::read(&path) {
                Ok(here) => Some(here),
                Err(error) if error.kind() == io::ErrorKind::NotFound => None,
                Err(source) => return Err(ImportError::Read { path, source }),
            };
            match here {
                None => {
                    let mode = if number == 0 { ImportMode::New } else { mode };
                    return Ok(Standing { id, mode, content: Some(content) });
                }
                Some(here) if here.starts_with(&content) => {
                    let mode = ImportMode::UpToDate;
                    return Ok(Standing { id, mode, content: None });
                }
                Some(here) if content.starts_with(self.kind.unclosed(&here)) => {
                    if !is_held(&id) {
                        return Ok(Standing { id, mode, content: Some(content) });
                    }
                    if number == 0 {
                        mode = ImportMode::ForkedWhileOpen;
                    }
                }
                Some(_) => {
                    if number == 0 {
                        mode = ImportMode::Forked;
                    }
                }
            }
        }
        Err(ImportError::TooManyForks(self.session.id.clone()))
    }

    /// Writes everything but the transcript.
    fn write_parts(&mut self, chunks: &Chunks, id: &str) -> Result<(), ImportError> {
        let sent: HashMap<&TreePath, &Entry> =
            self.base.iter().flat_map(|base| &base.files).map(|file| (&file.path, file)).collect();
        for (file, part) in &self.parts {
            let path = self.path(&file.path, id);
            let content = read(chunks, file)?;
            let here = match fs::read(&path) {
                Ok(here) => Some(here),
                Err(error) if error.kind() == io::ErrorKind::NotFound => None,
                Err(source) => return Err(ImportError::Read { path, source }),
            };
            let is_as_sent =
                |here: &Vec<u8>| sent.get(&file.path).is_some_and(|sent| is_content(here, sent));
            match here {
                Some(here) if here == content => {}
                Some(here) if *part == Part::Shared && !is_as_sent(&here) => {
                    self.left_out.push(format!("{}: it is another file here", file.path));
                }
                Some(_) | None => write(&path, &content)?,
            }
        }
        // What the run took off its todo list does not come back by staying here.
        let returned: HashSet<&TreePath> =
            self.session.files.iter().map(|file| &file.path).collect();
        let gone = sent.keys().filter(|path| !returned.contains(**path));
        for path in gone.filter(|path| self.kind.part(path, &self.session.id) == Some(Part::Own)) {
            let path = self.path(path, id);
            match fs::remove_file(&path) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(source) => return Err(ImportError::Write { path, source }),
            }
        }
        Ok(())
    }

    /// Where a file of the session is here, if the session is called `id`.
    fn path(&self, path: &TreePath, id: &str) -> PathBuf {
        self.agent.join(self.kind.renamed(path, &self.session.id, id).as_os_path())
    }
}

/// What is to be done.
struct Standing {
    id: String,
    mode: ImportMode,
    content: Option<Vec<u8>>,
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

impl Imported {
    /// What is told about it, line by line.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let resume = self.resume.join(" ");
        let first = match self.mode {
            ImportMode::UpToDate => return Vec::new(),
            ImportMode::Forwarded | ImportMode::New => {
                format!("the conversation is back: `{resume}` goes on with it")
            }
            ImportMode::Forked => format!(
                "the conversation here went on meanwhile: the run's is a session of its own, `{resume}`"
            ),
            ImportMode::ForkedWhileOpen => format!(
                "the conversation is open here: the run's is a session of its own, `{resume}`; in the open one `/resume {}` goes over to it",
                self.session_id
            ),
        };
        let left_out =
            self.left_out.iter().map(|what| format!("of the conversation stays there: {what}"));
        std::iter::once(first).chain(left_out).collect()
    }
}

#[cfg(test)]
mod tests;

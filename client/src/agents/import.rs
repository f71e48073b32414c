//! How a session comes back: over the one that is here if that has not moved since, else beside it.
//!
//! ```text
//! result ─▶ sorted: transcript, files of the session, files that it shares, others
//! base   ─▶ what was here: up to there the transcript is the laptop's own word
//! here   ─▶ a beginning of the transcript? forward : fork
//! ```
//!
//! Agents that the session spawned in files of their own come with it: all of them go forward, or
//! all become a fork with other ids.
//!
//! What comes out of a sandbox is data: files go to places of the session's own, nothing that is here
//! is overwritten by something else, and records that would decide what the agent may do are left
//! out. No file is held in memory as a whole.

mod error;
mod family;
mod lines;
mod outcome;
mod parts;
mod place;
mod returned;
mod sort;
mod standing;

use std::collections::{HashMap, HashSet};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use handoff_proto::chunk::ChunkId;
use handoff_proto::manifest::{Entry, Session};
use handoff_proto::path::{AbsolutePath, TreePath};

pub use self::error::ImportError;
pub(super) use self::family::Spawned;
use self::family::{Member, Role};
pub(super) use self::lines::{From, Line, Lines, first_line};
pub use self::outcome::{ImportMode, Imported};
pub(super) use self::place::Here;
use self::place::Waiting;
pub(super) use self::returned::Returned;
use self::sort::Sorted;
pub(super) use self::standing::{Join, Standing};
use self::standing::{Step, step};
use super::Kind;
use super::renames::Renames;
use crate::pull::chunks::Chunks;

/// How many forks of one session are looked for.
const FORKS_MAX: usize = 100;

/// The longest transcript that is brought back, in bytes.
const TRANSCRIPT_BYTES_MAX: u64 = 1 << 30;

/// How often what is here is looked at again after writing what belongs to the transcript.
const ATTEMPTS: usize = 3;

/// Things left out that are named.
const LEFT_OUT_MAX: usize = 20;

/// What a file of a session is to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// The transcript.
    Transcript,
    /// A transcript of the session of that id, which this one may have spawned.
    Thread(String),
    /// The session's alone.
    Own,
    /// Its todo list.
    List,
    /// Named by the session, in a place that others use, too.
    Shared,
    /// What later sessions are to remember, whichever they are.
    Memory,
}

/// Where a session comes back to.
#[derive(Clone, Copy, Debug)]
pub struct ImportPlace<'a> {
    /// The agent's directory here.
    pub agent: &'a AbsolutePath,
    /// Where the command started, here as there.
    pub directory: &'a AbsolutePath,
    /// Files beneath it that a conversation may be about to restore.
    pub files: &'a HashSet<TreePath>,
}

/// A session that came back, and what there was when it left.
#[derive(Debug)]
pub struct Import<'a> {
    kind: Kind,
    run: &'a str,
    place: ImportPlace<'a>,
    sorted: Sorted<'a>,
}

impl<'a> Import<'a> {
    /// Sorts what a run returned.
    ///
    /// # Errors
    ///
    /// Where it holds no transcript in the place where one belongs.
    pub fn new(
        kind: Kind,
        run: &'a str,
        place: ImportPlace<'a>,
        base: Option<&'a Session>,
        session: &'a Session,
    ) -> Result<Self, ImportError> {
        let sorted = Sorted::new(kind, place.directory, base, session)?;
        Ok(Self { kind, run, place, sorted })
    }

    /// The contents that are needed.
    #[must_use]
    pub fn wanted(&self) -> HashMap<ChunkId, u32> {
        let Sorted { transcript, parts, beginnings, threads, .. } = &self.sorted;
        let parts = parts.iter().map(|(file, _)| *file);
        let threads = threads.iter().map(|(file, _)| *file);
        let files = parts.chain(threads).chain(beginnings.iter().copied());
        let files = files.chain(std::iter::once(*transcript));
        files.flat_map(Entry::chunks).map(|chunk| (chunk.id, chunk.size)).collect()
    }

    /// Brings it back; `is_held` tells whether a program has a session open, and `scratch` is a
    /// directory to work in.
    ///
    /// # Errors
    ///
    /// Where something cannot be read or written. The transcript comes last: until then it is as
    /// though nothing had come back.
    pub fn apply(
        mut self,
        chunks: &Chunks,
        scratch: &Path,
        is_held: impl Fn(&str) -> bool,
    ) -> Result<Imported, ImportError> {
        let mut left_out = std::mem::take(&mut self.sorted.left_out);
        let members = family::gather(&self, chunks, scratch, &mut left_out)?;
        for _ in 0..ATTEMPTS {
            let Decided { mode, renames, steps } = self.decide(&members, &is_held)?;
            let mut others = Vec::new();
            let brings_parts = mode != ImportMode::UpToDate;
            let mut waiting = Vec::new();
            if brings_parts {
                waiting = parts::write_beside(&self, chunks, &renames, &mut others)?;
            }
            let parts = waiting.len();
            for (member, step) in members.iter().zip(&steps) {
                waiting.extend(self.write_beside(member, *step, &renames)?);
            }
            // Again after writing, which takes a while: what is here may have gone on.
            let opened = |(member, step): (&Member<'_>, &Step)| {
                matches!(step, Step::Replace(..)) && is_held(renames.id(&member.id))
            };
            if !waiting.iter().all(Waiting::is_due) || members.iter().zip(&steps).any(opened) {
                continue;
            }
            let transcripts = waiting.split_off(parts);
            waiting.into_iter().try_for_each(Waiting::put)?;
            if brings_parts {
                parts::remove_gone(&self, &renames)?;
            }
            transcripts.into_iter().try_for_each(Waiting::put)?;
            left_out.extend(others);
            let session_id = renames.id(&self.sorted.session.id).to_owned();
            let resume = self.kind.resume(&session_id);
            let left_out = few(left_out, LEFT_OUT_MAX);
            let kin = members.iter().filter(|member| member.role == Role::Kin);
            let spawned = kin.map(|member| renames.id(&member.id).to_owned()).collect();
            return Ok(Imported { mode, session_id, resume, left_out, spawned, unknown: None });
        }
        Err(ImportError::Moving(self.sorted.session.id.clone()))
    }

    /// Tells the agent of what it spawned there and does not find by itself. The conversation is back
    /// whether that can be done or not.
    pub fn make_known(kind: Kind, agent: &AbsolutePath, imported: &mut Imported) {
        if imported.spawned.is_empty() {
            return;
        }
        let spawned = imported.spawned.iter().map(String::as_str);
        let all: Vec<&str> = std::iter::once(imported.session_id.as_str()).chain(spawned).collect();
        if let Err(error) = kind.make_known(agent, &all) {
            imported.unknown = Some(error.to_string());
        }
    }

    /// Which session it becomes, and what is to be done for that.
    fn decide(
        &self,
        members: &[Member<'_>],
        is_held: &impl Fn(&str) -> bool,
    ) -> Result<Decided, ImportError> {
        let mut mode = ImportMode::Forwarded;
        for number in 0..=FORKS_MAX {
            let renames = self.renames(members, number);
            let steps = self.steps(members, &renames, number)?;
            let root = steps.last().copied().unwrap_or(Step::Nothing);
            let is_open = |(member, step): (&Member<'_>, &Step)| {
                matches!(step, Step::Replace(..)) && is_held(renames.id(&member.id))
            };
            if root == Step::Nothing {
                // What it spawned and is not here yet belongs to it all the same.
                let due = |(member, step)| match step {
                    Step::Make | Step::Replace(..) if !is_open((member, &step)) => step,
                    Step::Make | Step::Replace(..) | Step::Nothing | Step::Keep => Step::Nothing,
                };
                let steps = members.iter().zip(steps).map(due).collect();
                return Ok(Decided { mode: ImportMode::UpToDate, renames, steps });
            }
            let why = match () {
                () if steps.contains(&Step::Keep) => ImportMode::Forked,
                () if members.iter().zip(&steps).any(is_open) => ImportMode::ForkedWhileOpen,
                () => {
                    let is_new = number == 0 && root == Step::Make;
                    let mode = if is_new { ImportMode::New } else { mode };
                    return Ok(Decided { mode, renames, steps });
                }
            };
            if number == 0 {
                mode = why;
            }
        }
        Err(ImportError::TooManyForks(self.sorted.session.id.clone()))
    }

    /// What is to be done with each of them under these names.
    fn steps(
        &self,
        members: &[Member<'_>],
        renames: &Renames,
        number: usize,
    ) -> Result<Vec<Step>, ImportError> {
        let of = |member: &Member<'_>| match member.role {
            // They are where they were.
            Role::Beginning if number == 0 => Ok(Step::Nothing),
            Role::Root if number == 0 && self.is_anothers(member) => Ok(Step::Keep),
            Role::Root | Role::Beginning | Role::Kin => {
                step(self.kind, &self.path(&member.entry.path, renames), member, renames)
            }
        };
        members.iter().map(of).collect()
    }

    /// Whether a session that began there has the name of one that is in another place here.
    fn is_anothers(&self, root: &Member<'_>) -> bool {
        let is_new = self.sorted.sent(&root.entry.path).is_none();
        let is_it = |(id, path): (String, TreePath)| id == root.id && path != root.entry.path;
        is_new && self.kind.sessions_here(self.place.agent).into_iter().any(is_it)
    }

    /// The names of that fork; none for what is no fork.
    fn renames(&self, members: &[Member<'_>], number: usize) -> Renames {
        let mut renames = Renames::default();
        if number > 0 {
            for Member { id, .. } in members {
                renames.add(id, &self.kind.fork_id(id, self.run, number));
            }
        }
        renames
    }

    fn write_beside(
        &self,
        member: &Member<'_>,
        step: Step,
        renames: &Renames,
    ) -> Result<Option<Waiting>, ImportError> {
        let (join, over) = match step {
            Step::Nothing | Step::Keep => return Ok(None),
            Step::Make => (Join::default(), None),
            Step::Replace(join, mark) => (join, Some(mark)),
        };
        let path = self.path(&member.entry.path, renames);
        let failed = |source| ImportError::Write { path: path.clone(), source };
        let waiting = Waiting::write(&path, over, |into| {
            let added = member.returned.from(join.from);
            match Here::open(&path)?.filter(|_| join.keep > 0) {
                None => {
                    io::copy(&mut renames.reader(added), into).map_err(failed)?;
                    into.write_all(&renames.text(&member.closing)).map_err(failed)
                }
                Some(here) => {
                    let mut kept = From::new(&here.file, 0).take(join.keep);
                    io::copy(&mut kept, into).map_err(failed)?;
                    let append =
                        |into| self.kind.append(&here, added, renames, &member.closing, into);
                    append(into).map_err(failed)
                }
            }
        })?;
        Ok(Some(waiting))
    }

    /// Where a file of the session is here, with these names.
    fn path(&self, path: &TreePath, renames: &Renames) -> PathBuf {
        self.place.agent.as_os_path().join(self.kind.renamed(path, renames).as_os_path())
    }
}

/// What is to be done.
struct Decided {
    mode: ImportMode,
    renames: Renames,
    /// For each member, the session's own transcript last.
    steps: Vec<Step>,
}

/// The first ones, and how many more there are.
fn few(mut lines: Vec<String>, max: usize) -> Vec<String> {
    let more = lines.len().saturating_sub(max);
    lines.truncate(max);
    if more > 0 {
        lines.push(format!("and {more} more"));
    }
    lines
}

#[cfg(test)]
mod tests;

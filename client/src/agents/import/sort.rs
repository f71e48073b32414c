//! What of a returned session is what.

use std::collections::{HashMap, HashSet};

use handoff_proto::manifest::{Entry, Session};
use handoff_proto::path::{AbsolutePath, TreePath};

use super::{ImportError, Part, TRANSCRIPT_BYTES_MAX, few};
use crate::agents::Kind;
use crate::agents::renames::is_id;

/// What is brought back beside the transcript, in bytes and files: far more than sessions hold.
const PARTS_BYTES_MAX: u64 = 1 << 30;
const PARTS_MAX: usize = 20_000;

/// Files of memory that are named.
const MEMORY_NAMES_MAX: usize = 5;

/// What a run returned of a session, and what was sent of it.
#[derive(Debug)]
pub(super) struct Sorted<'a> {
    pub(super) session: &'a Session,
    pub(super) transcript: &'a Entry,
    pub(super) parts: Vec<(&'a Entry, Part)>,
    /// Files as they were sent, in which the transcript begins.
    pub(super) beginnings: Vec<&'a Entry>,
    /// Transcripts of other sessions, with their ids: of agents that this one spawned, if they are.
    pub(super) threads: Vec<(&'a Entry, String)>,
    /// What is not brought back.
    pub(super) left_out: Vec<String>,
    sent: HashMap<&'a TreePath, &'a Entry>,
    /// What was sent of the todo list and did not come back.
    gone: Vec<&'a Entry>,
}

impl<'a> Sorted<'a> {
    pub(super) fn new(
        kind: Kind,
        directory: &AbsolutePath,
        base: Option<&'a Session>,
        session: &'a Session,
    ) -> Result<Self, ImportError> {
        // It becomes a part of names and of a command.
        if !is_id(&session.id) {
            return Err(ImportError::Name);
        }
        let base = base.filter(|base| base.agent == session.agent);
        let sent: HashMap<&TreePath, &Entry> =
            base.iter().flat_map(|base| &base.files).map(|file| (&file.path, file)).collect();
        let is_transcript =
            |file: &&Entry| kind.part(&file.path, &session.id) == Some(Part::Transcript);
        // The newest file is the one that goes on; where names differ, they begin with the time.
        let was_sent = sent.values().copied().filter(is_transcript).max_by_key(|file| &file.path);
        let place = |file: &&Entry| match was_sent {
            Some(sent) => file.path == sent.path,
            None => kind.begins_at(&file.path, directory),
        };
        let transcript = session.files.iter().filter(is_transcript).find(place);
        let missing = || ImportError::NoTranscript(session.id.clone());
        let transcript = transcript.ok_or_else(missing)?;
        if transcript.size() > TRANSCRIPT_BYTES_MAX {
            return Err(ImportError::TooLarge(transcript.size()));
        }
        let returned: HashSet<&TreePath> = session.files.iter().map(|file| &file.path).collect();
        let gone = sent.values().copied().filter(|file| {
            kind.part(&file.path, &session.id) == Some(Part::List) && !returned.contains(&file.path)
        });
        let gone = gone.collect();
        let (parts, beginnings, threads) = (Vec::new(), Vec::new(), Vec::new());
        let left_out = Vec::new();
        let mut sorted =
            Self { session, transcript, parts, beginnings, threads, left_out, sent, gone };
        sorted.sort(kind);
        Ok(sorted)
    }

    fn sort(&mut self, kind: Kind) {
        let (mut bytes, mut memory): (u64, Vec<String>) = (0, Vec::new());
        for file in &self.session.files {
            if std::ptr::eq(file, self.transcript) {
                continue;
            }
            bytes = bytes.saturating_add(file.size());
            let fits =
                bytes <= PARTS_BYTES_MAX && self.parts.len() + self.threads.len() < PARTS_MAX;
            match kind.part(&file.path, &self.session.id) {
                Some(part @ (Part::Own | Part::List | Part::Shared)) if fits => {
                    self.parts.push((file, part));
                }
                Some(Part::Thread(id)) if fits => self.threads.push((file, id)),
                Some(Part::Transcript) if fits && self.is_as_sent(file) => {
                    self.beginnings.push(file);
                }
                _ if self.is_as_sent(file) => {}
                Some(Part::Memory) => memory.push(name_of(file)),
                Some(Part::Own | Part::List | Part::Shared | Part::Thread(_)) => {
                    self.left_out.push(format!("{}: it is too much", file.path));
                }
                Some(Part::Transcript) | None => self.left_out.push(file.path.to_string()),
            }
        }
        // Every later session here would take it for instructions, and nobody would be asked.
        if !memory.is_empty() {
            let (count, names) = (memory.len(), few(memory, MEMORY_NAMES_MAX).join(", "));
            let files = if count == 1 { "one file" } else { &format!("{count} files") };
            self.left_out.push(format!("{files} of memory for later sessions: {names}"));
        }
    }

    /// Whether this is what was sent.
    pub(super) fn is_as_sent(&self, file: &Entry) -> bool {
        self.sent(&file.path).is_some_and(|sent| sent.kind == file.kind)
    }

    /// What was sent as this file.
    pub(super) fn sent(&self, path: &TreePath) -> Option<&'a Entry> {
        self.sent.get(path).copied()
    }

    /// What was sent of the todo list and did not come back.
    pub(super) fn gone(&self) -> impl Iterator<Item = &'a Entry> {
        self.gone.iter().copied()
    }
}

fn name_of(file: &Entry) -> String {
    handoff_proto::path::escaped(file.path.file_name())
}

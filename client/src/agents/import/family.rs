//! The transcripts that come back together: the session's own, and those of agents that it spawned
//! in files of their own.
//!
//! Which these are is what their first records say, and those come out of a sandbox: a spawned agent
//! is one whose chain of parents leads to the session, and whose name no other session here has.

use std::collections::{HashMap, VecDeque};
use std::path::Path;

use handoff_proto::chunk::ChunkId;
use handoff_proto::manifest::Entry;
use handoff_proto::path::TreePath;

use super::lines::first_line;
use super::returned::Returned;
use super::{From, Here, Import, ImportError};
use crate::agents::renames::{Renames, is_id};
use crate::pull::chunks::Chunks;

/// How many come back with a session; each is open while it does.
const KIN_MAX: usize = 200;

/// One transcript.
#[derive(Debug)]
pub(super) struct Member<'a> {
    pub(super) entry: &'a Entry,
    /// The session that it holds, or a part of.
    pub(super) id: String,
    pub(super) role: Role,
    pub(super) returned: Returned,
    /// What is put at its end here.
    pub(super) closing: Vec<u8>,
}

/// What a transcript is to the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Its own.
    Root,
    /// One in which it begins, as it was sent.
    Beginning,
    /// A spawned agent's.
    Kin,
}

/// What a transcript's first record says of its agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::agents) struct Spawned {
    /// The agent's own session.
    pub(in crate::agents) id: String,
    /// That of the agent which spawned it.
    pub(in crate::agents) parent: String,
    /// That with which all began.
    pub(in crate::agents) root: String,
}

/// Takes in all of them, the session's own last. What cannot come back is added to `left_out`.
pub(super) fn gather<'a>(
    import: &Import<'a>,
    chunks: &Chunks,
    scratch: &Path,
    left_out: &mut Vec<String>,
) -> Result<Vec<Member<'a>>, ImportError> {
    let sorted = &import.sorted;
    let root = &sorted.session.id;
    let mut members = Vec::new();
    for (entry, id) in kin(import, chunks, left_out)? {
        let Some(returned) = take_in(import, chunks, scratch, entry)? else {
            left_out.push(format!("{}: the run did not only add to it", entry.path));
            continue;
        };
        let closing = import.kind.closing(&returned, &id, import.place.directory);
        let Some(closing) = closing.map_err(ImportError::Scratch)? else {
            left_out.push(format!("{}: it says too little to be opened safely", entry.path));
            continue;
        };
        members.push(Member { entry, id, role: Role::Kin, returned, closing });
    }
    for entry in &sorted.beginnings {
        let (role, closing) = (Role::Beginning, Vec::new());
        let returned = take_in(import, chunks, scratch, entry)?;
        members.extend(returned.map(|returned| {
            let id = root.clone();
            Member { entry, id, role, returned, closing }
        }));
    }
    let entry = sorted.transcript;
    let rewritten = || ImportError::Rewritten(root.clone());
    let returned = take_in(import, chunks, scratch, entry)?.ok_or_else(rewritten)?;
    let closing = import.kind.closing(&returned, root, import.place.directory);
    let closing = closing.map_err(ImportError::Scratch)?;
    let closing = closing.ok_or_else(|| ImportError::NoSettings(root.clone()))?;
    if returned.too_long > 0 {
        left_out.push(format!("{} records, each larger than any should be", returned.too_long));
    }
    members.push(Member { entry, id: root.clone(), role: Role::Root, returned, closing });
    Ok(members)
}

fn take_in(
    import: &Import<'_>,
    chunks: &Chunks,
    scratch: &Path,
    entry: &Entry,
) -> Result<Option<Returned>, ImportError> {
    let sent = import.sorted.sent(&entry.path);
    Returned::new(chunks, entry, sent, scratch, |line| import.kind.kept(line, &import.place))
}

/// The transcripts of spawned agents, with their ids, parents before their children.
fn kin<'a>(
    import: &Import<'a>,
    chunks: &Chunks,
    left_out: &mut Vec<String>,
) -> Result<Vec<(&'a Entry, String)>, ImportError> {
    let sorted = &import.sorted;
    let mut of_parent: HashMap<String, Vec<(&Entry, &str, ChunkId)>> = HashMap::new();
    for (entry, id) in &sorted.threads {
        let first = first_line(chunks.reader(entry.chunks())).map_err(ImportError::Content)?;
        let spawned = import.kind.spawned(&first);
        // What is no id is as long as the run likes, and nobody's parent.
        let is_named = |spawned: &Spawned| {
            let Spawned { id: own, parent, root } = spawned;
            is_id(id) && own == id && *root == sorted.session.id && is_id(parent)
        };
        match spawned.filter(is_named) {
            Some(Spawned { parent, .. }) => {
                of_parent.entry(parent).or_default().push((
                    *entry,
                    id.as_str(),
                    ChunkId::of(&first),
                ));
            }
            // One of those that were sent to be read; it is here.
            None if sorted.is_as_sent(entry) => {}
            None => left_out.push(entry.path.to_string()),
        }
    }
    // Most sessions have none; what follows looks at every session that is here.
    if of_parent.is_empty() {
        return Ok(Vec::new());
    }
    let mut others: HashMap<String, Vec<TreePath>> = HashMap::new();
    for (id, path) in import.kind.sessions_here(import.place.agent) {
        others.entry(id).or_default().push(path);
    }
    let is_anothers = |entry: &Entry, id: &str, first: ChunkId| {
        let mut same = others.get(id).into_iter().flatten();
        let is_it = |path: &TreePath| *path == entry.path && begins_with(import, path, first);
        sorted.sent(&entry.path).is_none() && !same.all(is_it)
    };
    let (mut parents, mut kin) = (VecDeque::from([sorted.session.id.as_str()]), Vec::new());
    while let Some(parent) = parents.pop_front() {
        for (entry, id, first) in of_parent.remove(parent).unwrap_or_default() {
            if is_anothers(entry, id, first) {
                left_out.push(format!("{}: another session here has its name", entry.path));
            } else if kin.len() == KIN_MAX {
                left_out.push(format!("{}: there are too many", entry.path));
            } else {
                parents.push_back(id);
                kin.push((entry, id.to_owned()));
            }
        }
    }
    let others = of_parent.into_values().flatten().map(|(entry, ..)| entry.path.to_string());
    let mut others: Vec<String> = others.collect();
    others.sort_unstable();
    left_out.append(&mut others);
    Ok(kin)
}

/// Whether a file that is here has that first record.
fn begins_with(import: &Import<'_>, path: &TreePath, first: ChunkId) -> bool {
    let here = Here::open(&import.path(path, &Renames::default())).ok().flatten();
    let found = here.and_then(|here| first_line(From::new(&here.file, 0)).ok());
    found.is_some_and(|found| ChunkId::of(&found) == first)
}

//! Where Codex keeps a thread, and what of it travels. Checked against version 0.169.0.
//!
//! `sessions/YEAR/MONTH/DAY/rollout-TIME-ID.jsonl` holds a thread; its first record tells the id, the
//! directory, and whether it belongs to a sub-agent. One that was taken back to an earlier prompt, or
//! forked, goes on in another file and names the thread whose file holds its beginning; those files
//! travel, too, and so do those of its sub-agents, which name the thread that spawned them. Databases
//! beside them are made anew from these files.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use handoff_proto::path::{AbsolutePath, TreePath};
use serde::Deserialize;

use super::settings;
use crate::agents::export::{AgentError, Export, ExportContent, ExportFile, Found, Setup};
use crate::agents::import::{Spawned, first_line};
use crate::agents::live::tail;
use crate::agents::renames::{Renames, is_id};

/// Where threads are, and those that the user put away.
const SESSIONS: &str = "sessions";
const ARCHIVED: &str = "archived_sessions";

/// What is set up for every thread.
const SETUP_FILES: [&str; 2] = ["AGENTS.md", "AGENTS.override.md"];
const SETUP_DIRECTORIES: [&str; 2] = ["rules", "skills"];

/// The skill that hands a thread off from within means nothing there, and those of Codex itself are
/// the daemon's.
const NOT_TAKEN: [&str; 1] = ["skills/handoff/SKILL.md"];
const OF_CODEX: &[u8] = b"skills/.system/";

/// The length of a thread's id in a file's name, and of the time before it.
const ID_LEN: usize = 36;
const TIME_LEN: usize = "2026-11-22T07-16-43".len();

/// Where an id tells its version.
const VERSION_AT: usize = 14;

/// As much of a record as is looked at.
#[derive(Deserialize)]
struct Record {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    payload: Payload,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Payload {
    id: Option<String>,
    session_id: Option<String>,
    cwd: Option<String>,
    parent_thread_id: Option<String>,
    history_base: Option<HistoryBase>,
    cli_version: Option<String>,
}

#[derive(Deserialize)]
struct HistoryBase {
    thread_id: String,
}

impl Payload {
    /// Which agent spawned this one, if one did.
    pub(super) fn spawned(self) -> Option<Spawned> {
        let Self { id, session_id, parent_thread_id, .. } = self;
        Some(Spawned { id: id?, parent: parent_thread_id?, root: session_id? })
    }
}

/// One file of a thread.
struct Rollout {
    id: String,
    path: TreePath,
    modified: SystemTime,
}

/// The newest thread of a directory that no sub-agent has.
pub(in crate::agents) fn newest(
    agent: &AbsolutePath,
    directory: &AbsolutePath,
) -> Result<Option<Found>, AgentError> {
    let mut rollouts = rollouts(agent.as_os_path(), SESSIONS);
    rollouts.sort_by_key(|rollout| std::cmp::Reverse(rollout.modified));
    for rollout in &rollouts {
        let Some(first) = first_record(agent, &rollout.path)? else { continue };
        let is_here = first.cwd.is_some_and(|cwd| cwd.as_bytes() == directory.as_bytes());
        if is_here && first.parent_thread_id.is_none() {
            let id = rollout.id.clone();
            return last_of(rollouts, &id).map(|last| described(agent, last)).transpose();
        }
    }
    Ok(None)
}

/// The thread of that id.
pub(in crate::agents) fn of_id(
    agent: &AbsolutePath,
    id: &str,
) -> Result<Option<Found>, AgentError> {
    current(agent.as_os_path(), id).map(|rollout| described(agent, rollout)).transpose()
}

/// The file in which the thread of that id goes on, in Codex's directory.
pub(in crate::agents) fn transcript(top: &Path, id: &str) -> Option<PathBuf> {
    current(top, id).map(|rollout| top.join(rollout.path.as_os_path()))
}

/// The file in which the thread of that id goes on.
fn current(top: &Path, id: &str) -> Option<Rollout> {
    last_of(rollouts(top, SESSIONS), id)
}

/// Of the files of a thread the newest one goes on; their names begin with the time.
fn last_of(rollouts: Vec<Rollout>, id: &str) -> Option<Rollout> {
    let of_thread = rollouts.into_iter().filter(|rollout| rollout.id == id);
    of_thread.max_by(|a, b| {
        let by_name = a.path.file_name().cmp(b.path.file_name());
        by_name.then_with(|| a.path.cmp(&b.path))
    })
}

/// All threads with their files, also those that were put away.
pub(in crate::agents) fn sessions_here(agent: &AbsolutePath) -> Vec<(String, TreePath)> {
    let of = |place| rollouts(agent.as_os_path(), place);
    let found = [SESSIONS, ARCHIVED].into_iter().flat_map(of);
    found.map(|rollout| (rollout.id, rollout.path)).collect()
}

fn rollouts(top: &Path, place: &str) -> Vec<Rollout> {
    let walk = walkdir::WalkDir::new(top.join(place)).sort_by_file_name();
    // What cannot be read is no thread of this user's.
    let files = walk.into_iter().flatten().filter(|entry| entry.file_type().is_file());
    files
        .filter_map(|entry| {
            let id = thread_of(entry.file_name().to_str()?)?.to_owned();
            let beneath = entry.path().strip_prefix(top).ok()?;
            let path = TreePath::parse(beneath.as_os_str().as_encoded_bytes()).ok()?;
            let modified = entry.metadata().ok()?.modified().ok()?;
            Some(Rollout { id, path, modified })
        })
        .collect()
}

/// The thread that a file of this name holds, or a part of.
pub(super) fn thread_of(name: &str) -> Option<&str> {
    let rest = name.strip_prefix("rollout-")?.strip_suffix(".jsonl")?;
    let id = rest.get(TIME_LEN..)?.strip_prefix('-')?.get(..ID_LEN)?;
    is_id(id).then_some(id)
}

fn first_record(agent: &AbsolutePath, path: &TreePath) -> Result<Option<Payload>, AgentError> {
    let path = agent.as_os_path().join(path.as_os_path());
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(AgentError::read(&path)(error)),
    };
    let first = first_line(file).map_err(AgentError::read(&path))?;
    Ok(meta(&first))
}

/// What a thread's first record says.
pub(super) fn meta(first: &[u8]) -> Option<Payload> {
    let record = serde_json::from_slice::<Record>(first).ok();
    record.filter(|record| record.kind == "session_meta").map(|record| record.payload)
}

/// Looks for the last word on model and approvals, which each turn says anew.
fn described(agent: &AbsolutePath, rollout: Rollout) -> Result<Found, AgentError> {
    let Rollout { id, path: transcript, modified } = rollout;
    let path = agent.as_os_path().join(transcript.as_os_path());
    let turn = tail::find(&path, |records| {
        let mut turns = records.filter(|record| record["type"] == "turn_context");
        turns.next()
    });
    let turn = turn.map_err(AgentError::read(&path))?.unwrap_or_default();
    let text = |name: &str| turn["payload"][name].as_str().unwrap_or_default().to_owned();
    let first = first_record(agent, &transcript)?;
    let version = first.and_then(|first| first.cli_version).unwrap_or_default();
    let (model, permissions) = (text("model"), text("approval_policy"));
    Ok(Found { id, transcript, modified, model, permissions, version })
}

/// What travels: a thread as `id`, if one goes on, and what is set up for every one.
pub(in crate::agents) fn export(
    agent: &AbsolutePath,
    directory: &AbsolutePath,
    session: Option<&Found>,
    id: &str,
) -> Result<Export, AgentError> {
    let top = agent.as_os_path();
    let mut setup = Setup::new(top);
    setup.take_along(&SETUP_FILES, &SETUP_DIRECTORIES, &NOT_TAKEN)?;
    settings::export(&mut setup, top, directory)?;
    let Setup { mut files, stays, needs, .. } = setup;
    files.retain(|file| !file.path.as_bytes().starts_with(OF_CODEX));
    if let Some(session) = session {
        let Threads { files: threads, spawned } = threads(agent, session)?;
        let mut renames = Renames::default();
        renames.add(&session.id, id);
        if session.id != id {
            for spawned in &spawned {
                renames.add(spawned, &super::fork_id(spawned, id, 0));
            }
        }
        for path in threads {
            let content = ExportContent::Transcript(path.clone(), renames.clone());
            files.push(ExportFile { path: super::renamed(&path, &renames), content });
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    let (agent, directory) = ("codex", agent.clone());
    Ok(Export { agent, id: id.to_owned(), directory, files, stays, needs })
}

/// What belongs to a thread.
#[derive(Default)]
struct Threads {
    /// Its files, those in which it begins, and those of its sub-agents.
    files: BTreeSet<TreePath>,
    /// The threads of its sub-agents.
    spawned: BTreeSet<String>,
}

fn threads(agent: &AbsolutePath, session: &Found) -> Result<Threads, AgentError> {
    let (mut by_thread, mut by_parent) = (BTreeMap::new(), BTreeMap::new());
    for Rollout { id, path, .. } in rollouts(agent.as_os_path(), SESSIONS) {
        if may_be_spawned_by(&id, &session.id) {
            let spawned = first_record(agent, &path)?.and_then(Payload::spawned);
            let spawned = spawned.filter(|spawned| spawned.id == id);
            if let Some(spawned) = spawned {
                by_parent.entry(spawned.parent).or_insert_with(Vec::new).push(id.clone());
            }
        }
        by_thread.entry(id).or_insert_with(Vec::new).push(path);
    }
    let (mut found, mut wanted) = (Threads::default(), vec![session.id.clone()]);
    let mut family = vec![session.id.clone()];
    while let Some(parent) = family.pop() {
        for spawned in by_parent.remove(&parent).unwrap_or_default() {
            if found.spawned.insert(spawned.clone()) {
                wanted.push(spawned.clone());
                family.push(spawned);
            }
        }
    }
    while let Some(thread) = wanted.pop() {
        for path in by_thread.remove(&thread).unwrap_or_default() {
            let base = first_record(agent, &path)?.and_then(|first| first.history_base);
            wanted.extend(base.map(|base| base.thread_id));
            found.files.insert(path);
        }
    }
    Ok(found)
}

/// Whether a thread can be a sub-agent's of that one: ids of version 7 begin with the time, and there
/// may be thousands of older threads.
fn may_be_spawned_by(id: &str, root: &str) -> bool {
    let has_time = |id: &str| id.as_bytes().get(VERSION_AT) == Some(&b'7');
    !(has_time(id) && has_time(root)) || id > root
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const ID: &str = "01a2021d-47a1-7870-9b2a-bcb5742cd1e4";
    const OLD: &str = "01a2021d-5fde-7033-b1b2-747f1d9e3407";

    #[test]
    fn a_thread_travels_with_the_files_in_which_it_begins_and_with_its_sub_agents() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().canonicalize().unwrap();
        let agent = AbsolutePath::parse(path.as_os_str().as_encoded_bytes()).unwrap();
        let write = |day: &str, id: &str, meta: &str| {
            let name = format!("sessions/2026/11/{day}/rollout-2026-11-{day}T07-16-43-{id}.jsonl");
            fs::create_dir_all(path.join(&name).parent().unwrap()).unwrap();
            let lines = format!(
                "{{\"type\":\"session_meta\",\"payload\":{{\"cwd\":\"/w\"{meta}}}}}\n\
                 {{\"type\":\"turn_context\",\"payload\":{{\"model\":\"m\",\"approval_policy\":\"never\"}}}}\n"
            );
            fs::write(path.join(&name), lines).unwrap();
            name
        };
        let base = format!(",\"history_base\":{{\"thread_id\":\"{OLD}\"}}");
        let expected = [write("20", OLD, ""), write("21", ID, &base)];
        let spawned = |id: &str, parent: &str| {
            format!(",\"id\":\"{id}\",\"session_id\":\"{ID}\",\"parent_thread_id\":\"{parent}\"")
        };
        let (sub, sub_sub) =
            ("01a20237-e760-7641-80da-bd15a5c16a59", "01a20238-e760-7641-80da-bd15a5c16a59");
        let of_spawned =
            [write("22", sub, &spawned(sub, ID)), write("22", sub_sub, &spawned(sub_sub, sub))];
        let expected: Vec<String> = expected.into_iter().chain(of_spawned).collect();
        let of_another = "01a20239-e760-7641-80da-bd15a5c16a59";
        write("23", of_another, &spawned(of_another, "01a20230-e760-7641-80da-bd15a5c16a59"));
        let found = newest(&agent, &"/w".parse().unwrap()).unwrap().unwrap();
        assert!([ID, OLD].contains(&found.id.as_str()), "{found:?}");
        assert_eq!(newest(&agent, &"/v".parse().unwrap()).unwrap(), None);
        let found = of_id(&agent, ID).unwrap().unwrap();
        assert_eq!((found.model.as_str(), found.permissions.as_str()), ("m", "never"));
        let paths = |id: &str| -> Vec<String> {
            let export = export(&agent, &"/w".parse().unwrap(), Some(&found), id).unwrap();
            export.files.iter().map(|file| file.path.to_string()).collect()
        };
        assert_eq!(paths(ID), expected);
        // Taken back to an earlier prompt it goes on in another file, whichever was touched last.
        let continued = format!("{ID}_{sub}");
        let newer = write("23", &continued, &base.replace(OLD, ID));
        write("21", ID, &base);
        assert_eq!(of_id(&agent, ID).unwrap().unwrap().transcript.to_string(), newer);
        assert_eq!(
            newest(&agent, &"/w".parse().unwrap()).unwrap().unwrap().transcript.to_string(),
            newer
        );
        assert_eq!(transcript(&path, ID).unwrap(), path.join(&newer));
        fs::remove_file(path.join(newer)).unwrap();
        let fork = "01a2023b-4524-7e81-a89c-bd9ecfbbecd5";
        let forked = paths(fork);
        assert_eq!(forked[..2], [expected[0].clone(), expected[1].replace(ID, fork)]);
        // Those of its sub-agents have other names as well, the same each time.
        assert!(forked[2..].iter().all(|path| !path.contains(sub) && !path.contains(sub_sub)));
        assert_eq!((forked.len(), paths(fork)), (4, forked));
    }
}

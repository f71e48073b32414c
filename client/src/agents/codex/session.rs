//! Where Codex keeps a thread, and what of it travels. Checked against version 0.169.0.
//!
//! `sessions/YEAR/MONTH/DAY/rollout-TIME-ID.jsonl` holds a thread; its first record tells the id, the
//! directory, and whether it belongs to a sub-agent. One that was taken back to an earlier prompt, or
//! forked, goes on in another file and names the thread whose file holds its beginning; those files
//! travel, too. Databases beside them are made anew from these files.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use handoff_proto::path::{AbsolutePath, TreePath};
use serde::Deserialize;

use super::settings;
use crate::agents::export::{AgentError, Export, ExportContent, ExportFile, Found, Setup};
use crate::agents::live::tail;

/// Where threads are.
const SESSIONS: &str = "sessions";

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

/// The first record holds Codex's own instructions, in bytes at most.
const FIRST_RECORD_MAX: u64 = 4 << 20;

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
struct Payload {
    cwd: Option<String>,
    parent_thread_id: Option<String>,
    history_base: Option<HistoryBase>,
    cli_version: Option<String>,
}

#[derive(Deserialize)]
struct HistoryBase {
    thread_id: String,
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
    let mut rollouts = rollouts(agent.as_os_path());
    rollouts.sort_by_key(|rollout| std::cmp::Reverse(rollout.modified));
    for rollout in rollouts {
        let Some(first) = first_record(agent, &rollout.path)? else { continue };
        let is_here = first.cwd.is_some_and(|cwd| cwd.as_bytes() == directory.as_bytes());
        if is_here && first.parent_thread_id.is_none() {
            return of_id(agent, &rollout.id);
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

/// Of the files of a thread the newest one goes on; their names begin with the time.
fn current(top: &Path, id: &str) -> Option<Rollout> {
    let of_thread = rollouts(top).into_iter().filter(|rollout| rollout.id == id);
    of_thread.max_by(|a, b| a.path.file_name().cmp(b.path.file_name()))
}

fn rollouts(top: &Path) -> Vec<Rollout> {
    let walk = walkdir::WalkDir::new(top.join(SESSIONS)).sort_by_file_name();
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
    id.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-').then_some(id)
}

fn first_record(agent: &AbsolutePath, path: &TreePath) -> Result<Option<Payload>, AgentError> {
    let path = agent.as_os_path().join(path.as_os_path());
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(AgentError::read(&path)(error)),
    };
    let mut line = Vec::new();
    let mut reader = BufReader::new(file.take(FIRST_RECORD_MAX));
    reader.read_until(b'\n', &mut line).map_err(AgentError::read(&path))?;
    let record = serde_json::from_slice::<Record>(&line).ok();
    Ok(record.filter(|record| record.kind == "session_meta").map(|record| record.payload))
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
        for path in with_beginnings(agent, session)? {
            files.push(travelling(top, path, &session.id, id)?);
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    let (agent, directory) = ("codex", agent.clone());
    Ok(Export { agent, id: id.to_owned(), directory, files, stays, needs })
}

/// The files of a thread, and of those in which it begins.
fn with_beginnings(
    agent: &AbsolutePath,
    session: &Found,
) -> Result<BTreeSet<TreePath>, AgentError> {
    let mut by_thread: BTreeMap<String, Vec<TreePath>> = BTreeMap::new();
    for rollout in rollouts(agent.as_os_path()) {
        by_thread.entry(rollout.id).or_default().push(rollout.path);
    }
    let (mut files, mut wanted) = (BTreeSet::new(), vec![session.id.clone()]);
    while let Some(thread) = wanted.pop() {
        for path in by_thread.remove(&thread).unwrap_or_default() {
            let base = first_record(agent, &path)?.and_then(|first| first.history_base);
            wanted.extend(base.map(|base| base.thread_id));
            files.insert(path);
        }
    }
    Ok(files)
}

/// A file of a thread that is called `to` there: what names it is in the file, too.
fn travelling(top: &Path, path: TreePath, from: &str, to: &str) -> Result<ExportFile, AgentError> {
    if from == to {
        return Ok(ExportFile { content: ExportContent::Transcript(path.clone()), path });
    }
    let file = top.join(path.as_os_path());
    let mut content = std::fs::read(&file).map_err(AgentError::read(&file))?;
    content.truncate(content.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1));
    let content = ExportContent::Text {
        content: super::rewritten(&content, from, to),
        mode: 0o600,
        mtime: handoff_proto::manifest::Timestamp::default(),
    };
    Ok(ExportFile { path: super::renamed(&path, from, to), content })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const ID: &str = "01a2021d-47a1-7870-9b2a-bcb5742cd1e4";
    const OLD: &str = "01a2021d-5fde-7033-b1b2-747f1d9e3407";

    #[test]
    fn a_thread_travels_with_the_files_in_which_it_begins() {
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
        let of_subagent = "01a20237-e760-7641-80da-bd15a5c16a59";
        write("22", of_subagent, ",\"parent_thread_id\":\"x\"");
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
        let continued = format!("{ID}_{of_subagent}");
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
        assert_eq!(paths(fork), [expected[0].clone(), expected[1].replace(ID, fork)]);
    }
}

//! Where Claude Code keeps a session, and what of it travels. Checked against version 2.1.330.
//!
//! ```text
//! projects/<directory>/<id>.jsonl     the transcript; its name is the session's id
//! projects/<directory>/<id>/          sub-agents, and results of tools that are too long for it
//! tasks/<id>/                         the todo list
//! file-history/<id>/                  files as they were before edits
//! plans/<name>.md                     plans, which the transcript names
//! ```
//!
//! Whether a transcript is of a directory is what its records say: the name of its own directory is
//! shortened, and does not tell `a-b` from `a/b`.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader};
use std::path::Path;

use handoff_proto::path::{AbsolutePath, TreePath};
use serde::Deserialize;
use serde_json::Value;

use super::settings;
use crate::agents::export::{
    AgentError, Export, ExportContent, ExportFile, Found, Setup, session_files,
};
use crate::agents::live::tail;
use crate::agents::renames::{Renames, is_id};

/// Directories and files that hold what is set up for every session. The command that hands a
/// session off from within means nothing there.
const SETUP_DIRECTORIES: [&str; 5] = ["agents", "commands", "output-styles", "rules", "skills"];
const SETUP_FILES: [&str; 1] = ["CLAUDE.md"];
const OWN_COMMAND: &str = "commands/handoff.md";

/// How many records at its beginning tell of which directory a transcript is: the first ones are
/// about the queue of prompts.
const FIRST_RECORDS: usize = 50;

/// The model of records that Claude Code wrote by itself.
const NO_MODEL: &str = "<synthetic>";

/// The mode that asks before everything that changes something.
const ASKS: &str = "default";

/// As much of a record as tells of which directory it is.
#[derive(Deserialize)]
struct Record {
    cwd: Option<String>,
}

/// The newest session of a directory.
pub(in crate::agents) fn newest(
    agent: &AbsolutePath,
    directory: &AbsolutePath,
) -> Result<Option<Found>, AgentError> {
    let mut found = sessions(agent)?;
    found.sort_by_key(|found| std::cmp::Reverse(found.modified));
    for found in found {
        let path = agent.as_os_path().join(found.transcript.as_os_path());
        if directory_of(&path)?.as_deref() == Some(directory.as_bytes()) {
            return described(agent, found).map(Some);
        }
    }
    Ok(None)
}

/// The session of that id.
pub(in crate::agents) fn of_id(
    agent: &AbsolutePath,
    id: &str,
) -> Result<Option<Found>, AgentError> {
    let found = sessions(agent)?.into_iter().find(|found| found.id == id);
    found.map(|found| described(agent, found)).transpose()
}

/// Every session that there is; model and permissions are not looked for.
fn sessions(agent: &AbsolutePath) -> Result<Vec<Found>, AgentError> {
    let projects = agent.as_os_path().join("projects");
    let mut found = Vec::new();
    let walk = walkdir::WalkDir::new(&projects).min_depth(2).max_depth(2).into_iter();
    for entry in walk {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) if error.depth() == 0 => return Ok(found),
            // What cannot be read is no session of this user's.
            Err(_) => continue,
        };
        let path = entry.path();
        let is_transcript = path.extension().is_some_and(|extension| extension == "jsonl");
        let id = path.file_stem().and_then(|stem| stem.to_str());
        let Some(id) = id.filter(|id| is_transcript && is_id(id)) else { continue };
        let beneath = path.strip_prefix(agent.as_os_path()).unwrap_or(path);
        let transcript = TreePath::parse(beneath.as_os_str().as_encoded_bytes());
        let modified = entry.metadata().ok().and_then(|meta| meta.modified().ok());
        if let (Ok(transcript), Some(modified)) = (transcript, modified) {
            found.push(Found {
                id: id.to_owned(),
                transcript,
                modified,
                model: String::new(),
                permissions: String::new(),
                version: String::new(),
            });
        }
    }
    Ok(found)
}

/// The directory that a transcript is about, if it says so.
fn directory_of(path: &Path) -> Result<Option<Vec<u8>>, AgentError> {
    let failed = AgentError::read(path);
    let mut lines = match File::open(path) {
        Ok(file) => BufReader::new(file).split(b'\n'),
        // It was there a moment ago.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let found = lines.by_ref().take(FIRST_RECORDS).find_map(|line| match line {
        Ok(line) => {
            let record: Record = serde_json::from_slice(&line).ok()?;
            record.cwd.map(|cwd| Ok(cwd.into_bytes()))
        }
        Err(error) => Some(Err(error)),
    });
    found.transpose().map_err(failed)
}

/// Looks for the last word on model, permissions and version.
fn described(agent: &AbsolutePath, mut found: Found) -> Result<Found, AgentError> {
    let path = agent.as_os_path().join(found.transcript.as_os_path());
    let model =
        |record: &Value| text(&record["message"]["model"]).filter(|model| model != NO_MODEL);
    let permissions = |record: &Value| match record["attachment"]["type"].as_str() {
        // Which mode comes then is told by the next prompt, or when the interface is left.
        Some("plan_mode_exit") => Some(ASKS.to_owned()),
        _ => text(&record["permissionMode"]),
    };
    let last = tail::find(&path, |records| {
        let mut last = [None, None, None];
        // What a sub-agent does says nothing of the session.
        for record in records.filter(|record| record["isSidechain"] != true) {
            let words = [model(&record), permissions(&record), text(&record["version"])];
            for (last, word) in last.iter_mut().zip(words) {
                *last = last.take().or(word);
            }
            if last.iter().all(Option::is_some) {
                break;
            }
        }
        Some(last)
    });
    let last = last.map_err(AgentError::read(&path))?.unwrap_or_default();
    [found.model, found.permissions, found.version] = last.map(Option::unwrap_or_default);
    Ok(found)
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

/// What travels: a session as `id`, if one goes on, and what is set up for every one.
pub(in crate::agents) fn export(
    agent: &AbsolutePath,
    directory: &AbsolutePath,
    session: Option<&Found>,
    id: &str,
) -> Result<Export, AgentError> {
    let top = agent.as_os_path();
    let mut setup = Setup::new(top);
    setup.take_along(&SETUP_FILES, &SETUP_DIRECTORIES, &[OWN_COMMAND])?;
    settings::export(&mut setup, top, directory)?;
    let Setup { mut files, mut stays, needs, .. } = setup;
    if let Some(session) = session {
        let (from, project) = (&session.id, session.transcript.parent());
        let project = project.map(|project| project.to_string()).unwrap_or_default();
        let transcript = session.transcript.clone();
        // Its name is all that counts.
        let transcript = ExportContent::Transcript(transcript, Renames::default());
        let path = format!("{project}/{id}.jsonl");
        files.extend(path.parse().ok().map(|path| ExportFile { path, content: transcript }));
        for place in [project.as_str(), "tasks", "file-history"] {
            let (name, renamed) = (format!("{place}/{from}"), format!("{place}/{id}"));
            files.extend(session_files(top, &name, &renamed, &mut stays));
        }
        let memory = format!("{project}/memory");
        files.extend(session_files(top, &memory, &memory, &mut stays));
        for plan in plans(top, &session.transcript)? {
            let path = TreePath::parse(format!("plans/{plan}").as_bytes());
            files.extend(
                path.ok()
                    .map(|path| ExportFile { content: ExportContent::Session(path.clone()), path }),
            );
        }
    }
    // The lock of a todo list is nobody's there.
    files.retain(|file| file.path.file_name() != b".lock");
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files.dedup_by(|a, b| a.path == b.path);
    Ok(Export { agent: "claude", id: id.to_owned(), directory: agent.clone(), files, stays, needs })
}

/// Names of the plans that a transcript speaks of and that there are.
fn plans(top: &Path, transcript: &TreePath) -> Result<BTreeSet<String>, AgentError> {
    const BEFORE: &str = "/plans/";
    // Most users have none, and transcripts are long.
    if !top.join("plans").is_dir() {
        return Ok(BTreeSet::new());
    }
    let path = top.join(transcript.as_os_path());
    let file = File::open(&path).map_err(AgentError::read(&path))?;
    let mut plans = BTreeSet::new();
    for line in BufReader::new(file).split(b'\n') {
        let line = line.map_err(AgentError::read(&path))?;
        for after in String::from_utf8_lossy(&line).split(BEFORE).skip(1) {
            let is_part = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
            let name = after.split(|letter| !is_part(letter)).next().unwrap_or_default();
            if name.ends_with(".md") && top.join("plans").join(name).is_file() {
                plans.insert(name.to_owned());
            }
        }
    }
    Ok(plans)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const ID: &str = "6fe487e1-a3f6-4eb2-ad69-e6f9d1d97a38";
    const OTHER: &str = "c7ed1486-9320-4b9a-bc16-13826548c06a";

    struct Home {
        _directory: tempfile::TempDir,
        agent: AbsolutePath,
    }

    impl Home {
        fn new() -> Self {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().canonicalize().unwrap();
            let agent = AbsolutePath::parse(path.as_os_str().as_encoded_bytes()).unwrap();
            Self { _directory: directory, agent }
        }

        fn write(&self, name: &str, content: &str) {
            let path = self.agent.as_os_path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }

        fn session(&self, project: &str, id: &str, cwd: &str) {
            let lines = [
                r#"{"type":"queue-operation","operation":"enqueue"}"#.to_owned(),
                format!(r#"{{"type":"user","cwd":"{cwd}","permissionMode":"plan","version":"2.1.3"}}"#),
                r#"{"type":"assistant","message":{"model":"opus"},"planFilePath":"/h/.claude/plans/a-b.md"}"#.to_owned(),
                r#"{"type":"assistant","isSidechain":true,"message":{"model":"haiku"}}"#.to_owned(),
                r#"{"type":"assistant","message":{"model":"<synthetic>"}}"#.to_owned(),
            ];
            self.write(&format!("projects/{project}/{id}.jsonl"), &(lines.join("\n") + "\n"));
        }

        fn paths(&self, found: Option<&Found>, id: &str) -> Vec<String> {
            let export = export(&self.agent, &"/w".parse().unwrap(), found, id).unwrap();
            export.files.iter().map(|file| file.path.to_string()).collect()
        }
    }

    #[test]
    fn the_newest_session_is_found_by_what_it_says_of_its_directory() {
        let home = Home::new();
        assert_eq!(newest(&home.agent, &"/w".parse().unwrap()).unwrap(), None);
        home.session("-w", ID, "/w");
        home.session("-w", OTHER, "/w ");
        let old = home.agent.as_os_path().join(format!("projects/-w/{ID}.jsonl"));
        let file = File::options().write(true).open(old).unwrap();
        file.set_modified(std::time::UNIX_EPOCH).unwrap();
        let found = newest(&home.agent, &"/w".parse().unwrap()).unwrap().unwrap();
        assert_eq!(found.id, ID);
        assert_eq!((found.model.as_str(), found.permissions.as_str()), ("opus", "plan"));
        assert_eq!(found.version, "2.1.3");
        assert_eq!(of_id(&home.agent, OTHER).unwrap().unwrap().id, OTHER);
        assert_eq!(of_id(&home.agent, "../x").unwrap(), None);
    }

    #[test]
    fn a_plan_that_was_approved_is_not_planned_any_more() {
        let home = Home::new();
        home.session("-w", ID, "/w");
        let name = format!("projects/-w/{ID}.jsonl");
        let add = |record: &str| {
            let path = home.agent.as_os_path().join(&name);
            let text = fs::read_to_string(path).unwrap();
            home.write(&name, &format!("{text}{record}\n"));
            of_id(&home.agent, ID).unwrap().unwrap().permissions
        };
        assert_eq!(add(r#"{"type":"attachment","attachment":{"type":"plan_mode"}}"#), "plan");
        assert_eq!(
            add(r#"{"type":"attachment","attachment":{"type":"plan_mode_exit"}}"#),
            "default"
        );
        assert_eq!(add(r#"{"type":"user","permissionMode":"acceptEdits"}"#), "acceptEdits");
        assert_eq!(add(r#"{"type":"permission-mode","permissionMode":"plan"}"#), "plan");
    }

    #[test]
    fn everything_of_the_session_travels_and_nothing_of_another() {
        let home = Home::new();
        home.session("-w", ID, "/w");
        home.session("-w", OTHER, "/w");
        for name in [
            format!("projects/-w/{ID}/subagents/agent-a.jsonl"),
            format!("projects/-w/{ID}/tool-results/x.txt"),
            format!("projects/-w/{OTHER}/tool-results/y.txt"),
            format!("tasks/{ID}/1.json"),
            format!("tasks/{ID}/.lock"),
            format!("file-history/{ID}/h@v1"),
            "plans/a-b.md".to_owned(),
            "plans/c.md".to_owned(),
            "CLAUDE.md".to_owned(),
            "commands/x.md".to_owned(),
            "commands/handoff.md".to_owned(),
            ".credentials.json".to_owned(),
            "history.jsonl".to_owned(),
        ] {
            home.write(&name, "x");
        }
        let found = of_id(&home.agent, ID).unwrap();
        let expected = [
            "CLAUDE.md".to_owned(),
            "commands/x.md".to_owned(),
            format!("file-history/{ID}/h@v1"),
            "plans/a-b.md".to_owned(),
            format!("projects/-w/{ID}/subagents/agent-a.jsonl"),
            format!("projects/-w/{ID}/tool-results/x.txt"),
            format!("projects/-w/{ID}.jsonl"),
            format!("tasks/{ID}/1.json"),
        ];
        let mut paths = home.paths(found.as_ref(), ID);
        paths.sort();
        let mut expected = expected.to_vec();
        expected.sort();
        assert_eq!(paths, expected);
        // As a fork it goes by another name throughout.
        let fork = home.paths(found.as_ref(), OTHER);
        assert!(fork.iter().all(|path| !path.contains(ID)), "{fork:?}");
        assert!(fork.contains(&format!("tasks/{OTHER}/1.json")));
        assert_eq!(home.paths(None, ID), ["CLAUDE.md", "commands/x.md"]);
    }
}

//! What real agents keep of their sessions on the laptop.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::event::{Timespec, poll};
use serde_json::Value;

use crate::world::World;

/// How long a test waits for something to be written.
const PATIENCE: Duration = Duration::from_secs(180);

/// How long it does not look.
const PAUSE: Timespec = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };

/// Files of sessions so deep beneath a directory, by their paths.
fn find(directory: &Path, depth: usize) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    paths.sort();
    if depth > 1 {
        return paths.iter().flat_map(|path| find(path, depth - 1)).collect();
    }
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "jsonl"));
    paths
}

/// Claude Code's transcripts, by session.
#[must_use]
pub fn transcripts(world: &World) -> Vec<(String, PathBuf)> {
    let name = |path: &Path| path.file_stem().expect("a name").to_string_lossy().into_owned();
    let found = find(&world.home().join(".claude/projects"), 2).into_iter();
    let mut found: Vec<_> = found.map(|path| (name(&path), path)).collect();
    found.sort();
    found
}

/// The only one of them.
///
/// # Panics
///
/// Where there is none, or another one.
#[must_use]
#[track_caller]
pub fn transcript(world: &World) -> (String, PathBuf) {
    let found = transcripts(world);
    assert_eq!(found.len(), 1, "{found:?}");
    found.into_iter().next().expect("one")
}

/// Codex's files of threads.
#[must_use]
pub fn rollouts(world: &World) -> Vec<PathBuf> {
    find(&world.home().join(".codex/sessions"), 4)
}

/// The only one of them, and its thread.
///
/// # Panics
///
/// Where there is none, or another one.
#[must_use]
#[track_caller]
pub fn rollout(world: &World) -> (String, PathBuf) {
    let found = rollouts(world);
    assert_eq!(found.len(), 1, "{found:?}");
    let path = found.into_iter().next().expect("one");
    (thread(&path), path)
}

/// The thread of a file.
#[must_use]
pub fn thread(rollout: &Path) -> String {
    let name = rollout.file_stem().expect("a name").to_string_lossy().into_owned();
    name[name.len() - 36..].to_owned()
}

/// Waits until a session of this agent's directory has a text: agents write down later what they show
/// already.
///
/// # Panics
///
/// Where it is not written.
#[track_caller]
pub fn wait_until_written(agent: &Path, text: &str) {
    let until = Instant::now() + PATIENCE;
    let has = |transcript: &PathBuf| {
        let written = fs::read(transcript).expect("read");
        String::from_utf8_lossy(&written).contains(text)
    };
    loop {
        let mut transcripts = find(&agent.join("projects"), 2);
        transcripts.extend(find(&agent.join("sessions"), 4));
        if transcripts.iter().any(has) {
            return;
        }
        assert!(Instant::now() < until, "no {text:?} in {transcripts:?}");
        poll(&mut [], Some(&PAUSE)).expect("pause");
    }
}

/// The settings that a thread has last.
#[must_use]
pub fn settings(rollout: &Path) -> Value {
    let text = fs::read_to_string(rollout).expect("read");
    let records = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("a record"));
    let mut settings: Vec<Value> = records
        .filter(|record| record["payload"]["type"] == "thread_settings_applied")
        .map(|record| record["payload"]["thread_settings"].clone())
        .collect();
    settings.pop().unwrap_or_default()
}

/// Records that say nothing to the model, of more than so many bytes together: what tools returned
/// makes sessions long. It cannot be compressed to next to nothing.
#[must_use]
pub fn noise(bytes: usize, record: impl Fn(&str) -> Value) -> String {
    const PIECE: usize = 100_000;
    let (mut text, mut number) = (String::with_capacity(bytes + PIECE), 1_u64);
    while text.len() < bytes {
        let mut noise = String::with_capacity(PIECE);
        while noise.len() < PIECE {
            number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            noise.push_str(&format!("{number:x}"));
        }
        text.push_str(&format!("{}\n", record(&noise)));
    }
    text
}

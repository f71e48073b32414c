//! The interfaces of real agents, as their user has them on the laptop.

use std::fs;

use serde_json::{Value, json};

use crate::agent::{Driven, LOCAL_KEY, holds, programs};
use crate::model::{Asked, Turn, heard};
use crate::screen::Screen;

/// Lines of a screen on which a whole conversation has room.
const ROWS: u16 = 200;

/// Claude Code, whose user knows it; these words are its command line.
#[must_use]
pub fn claude<'a>(driven: &'a Driven, name: &str, words: &[&str]) -> Screen<'a> {
    let file = driven.world.home().join(".claude.json");
    let known = fs::read(&file).ok().and_then(|known| serde_json::from_slice(&known).ok());
    let mut known: Value = known.unwrap_or_else(|| json!({}));
    known["hasCompletedOnboarding"] = true.into();
    known["customApiKeyResponses"] = json!({ "approved": [LOCAL_KEY], "rejected": [] });
    let project = driven.project.to_str().expect("text");
    known["projects"][project]["hasTrustDialogAccepted"] = true.into();
    driven.world.write(&file, known.to_string());
    start(driven, name, "claude", words, "❯")
}

/// Codex without a process in the background, whose user trusts the project; these words are its
/// command line.
#[must_use]
pub fn codex<'a>(driven: &'a Driven, name: &str, words: &[&str]) -> Screen<'a> {
    let directory = driven.world.directory(".codex");
    driven
        .world
        .write(&directory.join("auth.json"), json!({ "OPENAI_API_KEY": LOCAL_KEY }).to_string());
    let url = format!("openai_base_url=\"{}/v1\"", driven.model.url());
    let trusts = format!("projects={{{:?}={{trust_level=\"trusted\"}}}}", driven.project);
    let mut all = vec!["--no-daemon", "-m", "gpt-5.5", "--disable", "plugins"];
    for setting in [
        url.as_str(),
        &trusts,
        "analytics.enabled=false",
        "check_for_update_on_startup=false",
        "disable_paste_burst=true",
        "notice.model_migrations={\"gpt-5.5\"=\"gpt-6-sol\"}",
    ] {
        all.extend(["-c", setting]);
    }
    all.extend(words);
    start(driven, name, "codex", &all, "›")
}

/// A session's interface shows all of these, and the next turn carries them; returns that.
///
/// # Panics
///
/// Where it is not so.
#[must_use]
#[track_caller]
pub fn carries_all(driven: &Driven, screen: Screen<'_>, all: &[&str]) -> Asked {
    screen.shows(all);
    driven.model.set(vec![Turn::text("LOCAL-ANSWER-LAST")]);
    screen.enter("LOCAL-PROMPT-LAST", &["LOCAL-ANSWER-LAST"]);
    let asked = driven.model.turns().pop().expect("a turn");
    holds(&heard(&asked.body), all);
    screen.close();
    asked
}

fn start<'a>(
    driven: &'a Driven,
    name: &str,
    agent: &str,
    words: &[&str],
    prompt: &str,
) -> Screen<'a> {
    let program = programs().join(agent);
    let words: Vec<&str> =
        std::iter::once(program.to_str().expect("text")).chain(words.iter().copied()).collect();
    let mut variables = driven.local_environment();
    // Whatever is not the model is nowhere.
    variables.push(("HTTPS_PROXY", "http://127.0.0.1:9".to_owned()));
    variables.push(("NO_PROXY", "127.0.0.1".to_owned()));
    let variables: Vec<(&str, &str)> =
        variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let screen = Screen::start(&driven.world, name, &driven.project, &variables, &words);
    // What scrolls away is nowhere: interfaces draw over the whole screen.
    screen.resize(ROWS);
    screen.shows(&[prompt]);
    screen
}

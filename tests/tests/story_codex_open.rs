//! A thread that is open in the real Codex is handed off from inside of it, goes on in a sandbox, and
//! is the same thread when it comes back; with Codex' background process, as its users have it.

use std::fs;
use std::path::PathBuf;

use handoff_tests::agent::{Driven, SECRET, packaged_codex};
use handoff_tests::model::{Hold, Turn, heard};
use handoff_tests::screen::Screen;
use handoff_tests::sessions;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

/// The key that the interface sends to the model.
const KEY: &str = "sk-dummy-key-0001";

/// A user at Codex, whose daemon drives Codex, too.
struct User {
    driven: Driven,
}

impl User {
    fn new() -> Self {
        let driven = Driven::with_codex(Vec::new());
        let user = Self { driven };
        drop(user.driven.world.directory(".codex"));
        user.write("auth.json", &json!({ "OPENAI_API_KEY": KEY }).to_string());
        let config = format!(
            "openai_base_url = \"{}/v1\"\nmodel = \"gpt-5.5\"\napproval_policy = \"on-request\"\n\
             sandbox_mode = \"workspace-write\"\ndisable_paste_burst = true\n\
             check_for_update_on_startup = false\n\n[analytics]\nenabled = false\n\n\
             [features]\nplugins = false\n\n[notice.model_migrations]\n\"gpt-5.5\" = \"gpt-6-sol\"\n\n\
             [projects.{:?}]\ntrust_level = \"trusted\"\n",
            user.driven.model.url(),
            user.driven.project,
        );
        user.write("config.toml", &config);
        user
    }

    fn write(&self, name: &str, content: &str) {
        self.driven.world.write(&self.codex().join(name), content);
    }

    fn codex(&self) -> PathBuf {
        self.driven.world.home().join(".codex")
    }

    fn screen(&self, name: &str, words: &[&str]) -> Screen<'_> {
        let program = packaged_codex();
        let words = [&[program.to_str().expect("text")][..], words].concat();
        // Whatever is not the model is nowhere.
        let variables = [("HTTPS_PROXY", "http://127.0.0.1:9"), ("NO_PROXY", "127.0.0.1")];
        let driven = &self.driven;
        let screen = Screen::start(&driven.world, name, &driven.project, &variables, &words);
        screen.shows(&["›"]);
        screen
    }

    fn handoff(&self, words: &[&str]) -> String {
        self.driven.world.handoff(&self.driven.project, words).ok()
    }

    /// The runs of Codex.
    fn runs(&self) -> Vec<Value> {
        let runs: Value = serde_json::from_str(&self.handoff(&["ls", "--json"])).expect("JSON");
        let mut runs = runs.as_array().expect("runs").clone();
        runs.retain(|run| run["agent"] == "codex");
        runs
    }
}

impl Drop for User {
    fn drop(&mut self) {
        // What Codex leaves in the background would outlive the test.
        for name in ["daemon-updater.pid", "daemon.pid"] {
            let file = fs::read(self.codex().join("app-server-daemon").join(name));
            let written: Value =
                serde_json::from_slice(&file.unwrap_or_default()).unwrap_or_default();
            let pid = written["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok());
            if let Some(pid) = pid.and_then(Pid::from_raw) {
                let _gone_already = kill_process(pid, Signal::TERM);
            }
        }
    }
}

#[test]
fn an_open_thread_goes_on_in_one_run_and_comes_back_as_itself() {
    let user = User::new();
    user.handoff(&["install", "codex"]);
    let patch = "*** Begin Patch\n*** Add File: here\n+edited here\n*** End Patch\n";
    user.driven.model.set(vec![
        Turn::text("LOCAL-ANSWER-1"),
        Turn::tool("apply_patch", patch.into()),
        Turn::text("LOCAL-ANSWER-2"),
        Turn::text("LOCAL-ANSWER-3"),
    ]);
    let screen = user.screen("codex", &[]);
    for number in 1..=3 {
        screen.enter(&format!("LOCAL-PROMPT-{number}"), &[&format!("LOCAL-ANSWER-{number}")]);
        // Its answer is shown before its turn is over.
        screen.shows_times("Worked for", number);
    }
    sessions::wait_until_written(&user.codex(), r#""last_agent_message":"LOCAL-ANSWER-3""#);
    screen.enter("/status", &["Workspace (Ask for approval)"]);
    let here = user.driven.project.join("here");
    assert_eq!(fs::read_to_string(here).expect("read"), "edited here\n");

    let hold = Hold::default();
    user.driven.model.set(vec![
        Turn::exec("cat here > there; echo remote >> notes"),
        Turn::text("REMOTE-ANSWER-1").held(&hold),
    ]);
    screen.enter(
        "$handoff go on",
        &["Blocked by hook", "handed off: run", "it is safe to disconnect"],
    );
    let [run] = &user.runs()[..] else { panic!("{:#?}", user.runs()) };
    let name = run["name"].as_str().expect("a name").to_owned();
    screen.enter(
        "while it is elsewhere",
        &[&format!("not sent: this session goes on in run {name} on local since")],
    );
    hold.release();
    let finished = user.driven.finished(&name);
    assert_eq!(finished["outcome"], "succeeded", "{finished:#}");
    let id = finished["session_id"].as_str().expect("an id").to_owned();
    // The sandbox has the thread: what was said here was sent from there, with the daemon's key.
    let last = user.driven.model.turns().pop().expect("turns");
    assert_eq!(last.headers["authorization"], format!("Bearer {SECRET}"));
    for number in 1..=3 {
        for text in ["LOCAL-PROMPT", "LOCAL-ANSWER"] {
            assert!(heard(&last.body).contains(&format!("{text}-{number}")), "{:#}", last.body);
        }
    }

    // Left, it stays loaded in the background, and comes back as itself nevertheless.
    screen.enter("/quit", &[&format!("codex resume {id}")]);
    drop(screen);
    let lock = user.codex().join("thread-writer-locks").join(format!("{id}.lock"));
    assert!(lock.exists(), "Codex does not keep it loaded any more");
    let pulled = user.handoff(&["--json", "pull", &name]);
    let pulled: Value = serde_json::from_str(&pulled).expect("JSON");
    assert_eq!(pulled["conversation"]["mode"], "forwarded", "{pulled:#}");
    assert_eq!(pulled["conversation"]["session_id"], id.as_str());
    let there = fs::read_to_string(user.driven.project.join("there"));
    assert_eq!(there.expect("read"), "edited here\n");
    let again: Value =
        serde_json::from_str(&user.handoff(&["--json", "pull", &name])).expect("JSON");
    assert_eq!(again["conversation"]["mode"], "up_to_date", "{again:#}");

    user.driven.model.set(vec![Turn::text("LOCAL-ANSWER-4")]);
    let screen = user.screen("again", &["resume", &id]);
    let turns = ["LOCAL-PROMPT-1", "LOCAL-ANSWER-2", "LOCAL-PROMPT-3", "go on", "REMOTE-ANSWER-1"];
    screen.shows(&turns);
    screen.enter("/status", &["Workspace (Ask for approval)"]);
    screen.enter("LOCAL-PROMPT-4", &["LOCAL-ANSWER-4"]);
    let last = user.driven.model.turns().pop().expect("turns");
    assert_eq!(last.headers["authorization"], format!("Bearer {KEY}"));
    let heard = heard(&last.body);
    for text in turns.iter().chain(&["LOCAL-PROMPT-4", "`sandbox_mode` is `workspace-write`"]) {
        assert!(heard.contains(text), "no {text} in {heard}");
    }
    assert!(!heard.contains("while it is elsewhere"), "{heard}");
}

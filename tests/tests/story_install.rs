//! Inside the real Claude Code and the real Codex: what `handoff install` adds to them, what a
//! prompt is answered with, and that nothing of it is left behind.

use std::fs;
use std::path::PathBuf;

use handoff_tests::agent::{Driven, programs};
use handoff_tests::model::{Hold, Model, Turn};
use handoff_tests::screen::Screen;
use handoff_tests::sessions;
use handoff_tests::world::World;
use serde_json::{Value, json};

/// What the interfaces send to the model.
const KEY: &str = "sk-dummy-key-0001";

/// A user at an agent's interface, whose model is scripted.
struct User {
    world: World,
    model: Model,
    project: PathBuf,
    agent: &'static str,
}

impl User {
    /// One who has used Claude Code before.
    fn of_claude(script: Vec<Turn>) -> Self {
        let user = Self::new("claude", ".claude", script);
        user.has_used_claude();
        user
    }

    /// The same, where the daemon of this machine has a credential for the model, too.
    fn with_runs(script: Vec<Turn>) -> Self {
        let Driven { world, model, project } = Driven::with(script);
        drop(world.directory(".claude"));
        let user = Self { world, model, project, agent: "claude" };
        user.has_used_claude();
        user
    }

    fn has_used_claude(&self) {
        let known = json!({
            "hasCompletedOnboarding": true,
            "customApiKeyResponses": { "approved": [KEY], "rejected": [] },
            "projects": { self.project.to_str().expect("text"): { "hasTrustDialogAccepted": true } },
        });
        self.world.write(&self.world.home().join(".claude.json"), known.to_string());
        self.world
            .write(&self.settings("settings.json"), "{\n    \"includeCoAuthoredBy\": false\n}\n");
    }

    /// One who has used Codex before.
    fn of_codex() -> Self {
        let user = Self::new("codex", ".codex", Vec::new());
        let auth = json!({ "OPENAI_API_KEY": KEY });
        user.world.write(&user.settings("auth.json"), auth.to_string());
        let config = format!(
            "# mine\nopenai_base_url = \"{}/v1\"\nmodel = \"gpt-5.5\"\ndisable_paste_burst = true\n\
             check_for_update_on_startup = false\n\n[analytics]\nenabled = false\n\n\
             [features]\nplugins = false\n\n[notice.model_migrations]\n\"gpt-5.5\" = \"gpt-6-sol\"\n\n\
             [projects.{:?}]\ntrust_level = \"trusted\"\n",
            user.model.url(),
            user.project,
        );
        user.world.write(&user.settings("config.toml"), config);
        user
    }

    fn new(agent: &'static str, directory: &str, script: Vec<Turn>) -> Self {
        let (world, model) = (World::new(), Model::serve(script));
        let project = world.directory("app");
        world.git(&project, &["init", "-q"]);
        world.write(&project.join("notes"), "one\n");
        drop(world.directory(directory));
        Self { world, model, project, agent }
    }

    /// A file of the agent's.
    fn settings(&self, name: &str) -> PathBuf {
        self.world.home().join(format!(".{}", self.agent)).join(name)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.settings(name)).expect("read")
    }

    fn screen(&self, name: &str) -> Screen<'_> {
        self.screen_with(name, &[])
    }

    fn screen_with(&self, name: &str, more: &[&str]) -> Screen<'_> {
        let url = self.model.url();
        let program = programs().join(self.agent);
        let mut words = match self.agent {
            "claude" => vec![program.to_str().expect("text")],
            _ => vec![program.to_str().expect("text"), "--no-daemon"],
        };
        words.extend(more);
        let variables = [
            ("ANTHROPIC_BASE_URL", url.as_str()),
            ("ANTHROPIC_API_KEY", KEY),
            ("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1"),
            ("DISABLE_AUTOUPDATER", "1"),
            // Whatever is not the model is nowhere.
            ("HTTPS_PROXY", "http://127.0.0.1:9"),
            ("NO_PROXY", "127.0.0.1"),
        ];
        let screen = Screen::start(&self.world, name, &self.project, &variables, &words);
        screen.shows(&[if self.agent == "claude" { "❯" } else { "›" }]);
        screen
    }

    fn handoff(&self, words: &[&str]) -> String {
        self.world.handoff(&self.project, words).ok()
    }

    /// The id of the only session that there is.
    fn session(&self) -> String {
        let (session, _) = match self.agent {
            "claude" => sessions::transcript(&self.world),
            _ => sessions::rollout(&self.world),
        };
        session
    }

    /// Has a run hold the session, as the handoff of that session leaves it.
    fn lease(&self, run: &Value) {
        let directory = self.world.home().join(".local/state/handoff/leases");
        fs::create_dir_all(&directory).expect("directory");
        let lease = json!({ "number": 1, "holder": {
            "run": run["id"], "name": run["name"], "remote": run["remote"],
            "prompt": "", "since_unix_nanos": 1_793_000_000_000_000_000_i64,
        } });
        let file = format!("{}-{}.json", self.agent, self.session());
        self.world.write(&directory.join(file), lease.to_string());
    }
}

#[test]
fn claude_code_knows_handoff_and_answers_for_a_session_that_a_run_holds() {
    let hold = Hold::default();
    let user = User::of_claude(vec![
        Turn::text("the first reply"),
        Turn::text("the late reply").held(&hold),
        Turn::text("the last reply"),
    ]);
    let before = user.read("settings.json");
    let told = user.handoff(&["install", "claude"]);
    assert!(told.contains("settings.json") && told.contains("commands/handoff.md"), "{told}");
    let run = user.handoff(&["-f", "-n", "deps", "--", "true"]);
    assert_eq!(run, "");
    let run = user.world.finished(&user.project, "deps");

    let screen = user.screen("claude");
    screen.enter("an ordinary prompt", &["the first reply"]);
    screen.enter("/handoff ", &["not handed off: say what is to be done"]);

    // In the middle of a turn.
    screen.enter_until("another ordinary prompt", "second turn", |_| user.model.turns().len() == 2);
    screen.enter("& do it there", &["Claude Code is at work"]);
    screen.key("C-u");
    hold.release();
    screen.shows(&["the late reply"]);

    user.lease(&run);
    let session = user.session();
    let fork = format!("claude --resume {session} --fork-session");
    screen.enter(
        "while it is elsewhere",
        &["not sent: this session goes on in run deps", "handoff pull deps", &fork],
    );
    screen.key("C-u");
    user.handoff(&["rm", "deps"]);
    screen.enter("it is here again", &["the last reply"]);
    let asked = user.model.turns();
    assert_eq!(asked.len(), 3, "nothing else reached the model");
    assert!(!asked[2].body.to_string().contains("while it is elsewhere"));
    screen.close();

    user.handoff(&["uninstall", "claude"]);
    assert_eq!(user.read("settings.json"), before);
    assert!(!user.settings("commands").exists());
}

#[test]
fn an_open_session_of_claude_code_goes_on_in_one_run() {
    let user = User::with_runs(Vec::new());
    let here = user.project.join("here");
    let edit = json!({ "file_path": here, "content": "edited here\n" });
    user.model.set(vec![
        Turn::text("the first reply"),
        Turn::tool("Write", edit),
        Turn::text("the second reply"),
        Turn::text("the reply here"),
        Turn::bash("cat here > there"),
        Turn::text("the reply there"),
    ]);
    let settings = json!({ "permissions": { "defaultMode": "acceptEdits" } });
    user.world.write(&user.settings("settings.json"), settings.to_string());
    user.handoff(&["install", "claude"]);
    let screen = user.screen("claude");
    for (prompt, reply) in [
        ("the first prompt", "the first reply"),
        ("edit it here", "the second reply"),
        ("an ordinary prompt", "the reply here"),
    ] {
        screen.enter(prompt, &[reply]);
    }
    assert_eq!(fs::read_to_string(here).expect("read"), "edited here\n");
    screen.enter(
        "/handoff do it there",
        &["handed off: run", "it is safe to disconnect", "handoff pull"],
    );
    let runs = || {
        let runs = user.world.handoff(&user.project, ["ls", "--json"]).json();
        let mut runs = runs.as_array().expect("runs").clone();
        runs.retain(|run| run["agent"] == "claude");
        runs
    };
    let [run] = &runs()[..] else { panic!("{:#?}", runs()) };
    assert_eq!(run["session_id"], user.session().as_str());
    let name = run["name"].as_str().expect("a name");
    let finished = user.world.finished(&user.project, name);
    assert_eq!(finished["outcome"], "succeeded", "{finished:#}");
    let asked = user.model.turns().pop().expect("a turn").body.to_string();
    for text in ["the first prompt", "edit it here", "an ordinary prompt", "do it there"] {
        assert!(asked.contains(text), "no {text} in {asked}");
    }

    // A second time it is the same run, and anything else is told where that is.
    screen.enter(
        "& do it there",
        &["handed off already", &format!("run {name} on local, which has finished")],
    );
    screen.key("C-u");
    screen.enter("and something else", &[&format!("not sent: this session goes on in run {name}")]);
    assert_eq!(runs().len(), 1);
    assert_eq!(user.model.turns().len(), 6, "nothing else reached the model");

    // While it is open the run's conversation does not take its place; closed, it goes on.
    let pulled = user.world.handoff(&user.project, ["--json", "pull", name]).json();
    assert_eq!(pulled["conversation"]["mode"], "forked_while_open", "{pulled:#}");
    let fork = pulled["conversation"]["session_id"].as_str().expect("an id");
    assert_ne!(fork, run["session_id"]);
    screen.close();
    let pulled = user.world.handoff(&user.project, ["--json", "pull", name]).json();
    assert_eq!(pulled["conversation"]["mode"], "forwarded", "{pulled:#}");
    let there = fs::read_to_string(user.project.join("there"));
    assert_eq!(there.expect("read"), "edited here\n");
    let session = run["session_id"].as_str().expect("an id");
    let screen = user.screen_with("again", &["--resume", session]);
    screen.shows(&["the first prompt", "the second reply", "an ordinary prompt", "the reply here"]);
    screen.shows(&["do it there", "the reply there"]);
    user.model.then([Turn::text("the reply at last")]);
    screen.enter("and here again", &["the reply at last"]);
    let last = user.model.turns().pop().expect("a turn").body.to_string();
    assert!(last.contains("an ordinary prompt") && last.contains("the reply there"), "{last}");
}

#[test]
fn codex_trusts_the_hook_and_answers_for_a_session_that_a_run_holds() {
    let user = User::of_codex();
    let before = user.read("config.toml");
    user.handoff(&["install", "codex"]);
    let run = user.handoff(&["-f", "-n", "deps", "--", "true"]);
    assert_eq!(run, "");
    let run = user.world.finished(&user.project, "deps");

    let screen = user.screen("codex");
    // Nothing is asked about hooks that need a review.
    screen.enter("$handoff ", &["Blocked by hook", "not handed off: say what is to be done"]);
    assert!(!screen.text().contains("need review"), "{}", screen.text());
    user.lease(&run);
    let fork = format!("codex fork {}", user.session());
    screen.enter(
        "while it is elsewhere",
        &["not sent: this session goes on in run deps", "handoff pull deps", &fork],
    );
    user.handoff(&["rm", "deps"]);
    screen.enter_until("it is here again", "turn", |_| !user.model.turns().is_empty());
    let asked: String = user.model.asked().iter().map(|asked| asked.body.to_string()).collect();
    assert!(asked.contains("it is here again"), "{asked}");
    assert!(!asked.contains("while it is elsewhere"), "{asked}");
    screen.close();

    user.handoff(&["uninstall", "codex"]);
    // Codex may have noted something of its own meanwhile.
    let after = user.read("config.toml");
    assert!(after.starts_with(&before) && !after.contains("hooks"), "{after}");
    assert!(!user.settings("hooks.json").exists() && !user.settings("skills/handoff").exists());
}

#[test]
fn codex_trusts_hooks_behind_ours_as_before_when_ours_goes() {
    let user = User::of_codex();
    user.handoff(&["install", "codex"]);
    let (ran, known) = (user.world.home().join("ran"), user.world.home().join("known"));
    let command = format!("touch {}", ran.display());
    let hook = json!({ "type": "command", "command": command, "timeout": 10 });
    let mut hooks: Value = serde_json::from_str(&user.read("hooks.json")).expect("JSON");
    let groups = hooks["hooks"]["UserPromptSubmit"].as_array_mut().expect("groups");
    groups.push(json!({ "hooks": [hook] }));
    user.world.write(&user.settings("hooks.json"), hooks.to_string());
    // Its user has trusted it, as Codex writes that down.
    let hook = json!({ "async": false, "type": "command", "command": command, "timeout": 10 });
    let text = json!({ "event_name": "user_prompt_submit", "hooks": [hook] }).to_string();
    user.world.write(&known, text);
    let hash = user.world.ok(&user.project, "sha256sum", [&known]);
    let key = format!("{}:user_prompt_submit:1:0", user.settings("hooks.json").display());
    let trust = format!("\n[hooks.state.{key:?}]\ntrusted_hash = \"sha256:{}\"\n", &hash[..64]);
    let config = user.read("config.toml") + &trust;
    user.world.write(&user.settings("config.toml"), config);

    user.handoff(&["uninstall", "codex"]);
    let screen = user.screen("codex");
    // Titles are asked for before hooks have run; they are no turns.
    screen.enter_until("an ordinary prompt", "turn", |_| !user.model.turns().is_empty());
    assert!(ran.exists(), "{}", screen.text());
}

#[test]
fn what_is_in_the_way_of_installing_is_told() {
    let user = User::new("claude", "app", Vec::new());
    let handoff = |words: &[&str]| user.world.handoff(&user.project, words);
    handoff(&["install", "claude"]).fails(8, &["no directory", ".claude", "CLAUDE_CONFIG_DIR"]);
    drop(user.world.directory(".claude"));
    user.world.write(&user.settings("settings.json"), "{ // mine\n}");
    handoff(&["install", "claude"]).fails(5, &["settings.json cannot take the hook", "line 1"]);
    assert_eq!(user.read("settings.json"), "{ // mine\n}");
    user.world.write(&user.settings("settings.json"), "{}");
    drop(handoff(&["install", "claude"]).ok());
    let again = handoff(&["install", "claude"]);
    assert!(again.stderr.contains("installed already"), "{again}");
    let gone = handoff(&["uninstall", "claude", "--json"]).json();
    assert_eq!(gone["done"].as_array().map(Vec::len), Some(2), "{gone}");
    drop(handoff(&["install", "claude"]).ok());
    let installed = user.read("settings.json");
    user.world.write(&user.settings("settings.json"), "{ // mine\n}");
    handoff(&["uninstall", "claude"]).fails(5, &["settings.json", "uninstall again"]);
    user.world.write(&user.settings("settings.json"), installed);
    drop(handoff(&["uninstall", "claude"]).ok());
    assert_eq!(user.read("settings.json"), "{}");
}

//! A user whose daemon drives real agents, which talk to a scripted model.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{
    model::{Model, Turn, heard},
    process, sessions,
    world::{World, said},
};

/// The credential of every test; nothing else of this machine has these bytes.
pub const SECRET: &str = "sk-ant-c4n4ry-7d793037a0760186";

/// The key that the laptop's own agent uses.
pub const LOCAL_KEY: &str = "sk-ant-of-the-laptop";

/// Tells the state of a repository: what is committed, staged, changed and new.
pub const GIT_STATE: &str = "git rev-parse HEAD; git symbolic-ref HEAD; git ls-files --stage; \
                             git status --porcelain; git diff; git diff --cached; git stash list";

/// How long a test waits for a run to get somewhere.
const PATIENCE: Duration = Duration::from_secs(180);

/// See the module.
#[derive(Debug)]
pub struct Driven {
    /// The user.
    pub world: World,
    /// The model API.
    pub model: Model,
    /// What is handed off.
    pub project: PathBuf,
}

/// The directory with the programs of real agents.
///
/// # Panics
///
/// Where they are not installed.
#[must_use]
pub fn programs() -> PathBuf {
    let programs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/agents/bin");
    let programs = programs.canonicalize().unwrap_or_default();
    for name in ["claude", "codex"] {
        let is_there = programs.join(name).exists();
        assert!(is_there, "tests/install-agents installs what this test drives: no {name}");
    }
    programs
}

/// Codex as it is packaged, with what its background process needs beside it.
///
/// # Panics
///
/// Where it is not installed.
#[must_use]
pub fn packaged_codex() -> PathBuf {
    let packages = programs().join("../node_modules/@openai");
    let find = |directory: PathBuf, begins: &str| {
        let entries = std::fs::read_dir(&directory).expect("a directory").flatten();
        let mut entries = entries.map(|entry| entry.path());
        let is_it = |path: &PathBuf| {
            path.file_name()
                .is_some_and(|name| name.as_encoded_bytes().starts_with(begins.as_bytes()))
        };
        entries.find(is_it).unwrap_or_else(|| panic!("nothing in {}", directory.display()))
    };
    let vendor = find(packages, "codex-").join("vendor");
    find(vendor, "").join("bin/codex").canonicalize().expect("Codex")
}

impl Driven {
    /// A daemon that has a credential for the model API.
    #[must_use]
    pub fn with(script: Vec<Turn>) -> Self {
        let driven = Self::without_credential(script);
        driven.keep_credential();
        driven
    }

    /// The same with a credential for OpenAI's model API, which Codex uses.
    #[must_use]
    pub fn with_codex(script: Vec<Turn>) -> Self {
        let driven = Self::without_credential(script);
        driven.keep_credential_for("openai");
        driven
    }

    /// The same without the credential.
    #[must_use]
    pub fn without_credential(script: Vec<Turn>) -> Self {
        Self::with_settings(script, "")
    }

    /// The same with more settings of the daemon's.
    #[must_use]
    pub fn with_settings(script: Vec<Turn>, settings: &str) -> Self {
        let (world, model) = (World::new(), Model::serve(script));
        let config = format!(
            "[tools]\npaths = [{:?}]\n[providers.anthropic]\nbase_url = \"{url}\"\n[providers.openai]\nbase_url = \"{url}\"\ntoken_url = \"{url}/oauth/token\"\n{settings}",
            programs(),
            url = model.url()
        );
        world.configure(&config);
        let project = world.directory("app");
        world.git(&project, &["init", "-q"]);
        world.write(&project.join("notes"), "one\n");
        world.git(&project, &["add", "."]);
        world.git(&project, &["commit", "-qm", "first"]);
        // Starts the daemon.
        world.handoff(&project, ["-f", "-n", "first", "--", "true"]).ok();
        Self { world, model, project }
    }

    /// Gives the daemon a credential for the model API.
    pub fn keep_credential(&self) {
        self.keep_credential_for("anthropic");
    }

    /// Gives the daemon a credential for this provider's model API.
    pub fn keep_credential_for(&self, provider: &str) {
        self.keep(provider, SECRET);
    }

    /// Gives the daemon this credential for this provider's model API.
    pub fn keep(&self, provider: &str, secret: &str) {
        let (home, state) = (self.world.home(), self.world.local_daemon());
        let daemon = [("HOME", home.as_path()), ("HANDOFFD_STATE", state.as_path())];
        self.world.keep_credential(provider, secret, &daemon);
    }

    /// Claude Code as its user starts it on the laptop, with a key of the laptop's own.
    #[must_use]
    pub fn local_claude(&self) -> Command {
        let mut claude = Command::new(programs().join("claude"));
        claude.env_clear().current_dir(&self.project);
        for (name, value) in self.local_environment() {
            claude.env(name, value);
        }
        claude
    }

    /// What Claude Code has in its environment on the laptop.
    #[must_use]
    pub fn local_environment(&self) -> Vec<(&'static str, String)> {
        let text = |path: PathBuf| path.into_os_string().into_string().expect("text");
        let path = format!("{}:{}:/usr/bin:/bin", text(self.world.bin()), text(programs()));
        vec![
            ("HOME", text(self.world.home())),
            ("TMPDIR", text(self.world.path().join("tmp"))),
            ("PATH", path),
            ("ANTHROPIC_API_KEY", LOCAL_KEY.to_owned()),
            ("ANTHROPIC_BASE_URL", self.model.url()),
            ("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1".to_owned()),
            ("CLAUDE_CODE_ENABLE_TODO_TOOLS", "1".to_owned()),
            ("DISABLE_AUTOUPDATER", "1".to_owned()),
        ]
    }

    /// One turn of Claude Code on the laptop, which may edit; returns what it says.
    pub fn local_turn(&self, words: &[&str]) -> String {
        let mut claude = self.local_claude();
        claude.args(["-p", "--permission-mode", "acceptEdits"]).args(words);
        said(&mut claude).ok()
    }

    /// One turn of Codex on the laptop, which may look but not touch; returns what it says.
    pub fn local_codex_turn(&self, words: &[&str]) -> String {
        self.local_codex("read-only", words)
    }

    /// One turn of Codex on the laptop in this sandbox of its own; returns what it says.
    pub fn local_codex(&self, sandbox: &str, words: &[&str]) -> String {
        let mut codex = Command::new(programs().join("codex"));
        codex.env_clear().current_dir(&self.project);
        for (name, value) in self.local_environment() {
            codex.env(name, value);
        }
        codex.env("CODEX_API_KEY", LOCAL_KEY);
        codex.args(["exec", "-s", sandbox, "--disable", "plugins"]);
        if !words.contains(&"-m") {
            codex.args(["-m", "gpt-5.5"]);
        }
        codex.args(["-c", "analytics.enabled=false", "-c", "tools.update_plan.enabled=true", "-c"]);
        codex.arg(format!("openai_base_url=\"{}/v1\"", self.model.url()));
        codex.args(words).stdin(Stdio::null());
        said(&mut codex).ok()
    }

    /// Hands claude off under a name, with these words behind it; returns the run's id.
    pub fn claude(&self, name: &str, words: &[&str]) -> String {
        let words = [&["-n", name, "claude"][..], words].concat();
        self.world.hand_off(&self.project, words)
    }

    /// Hands codex off under a name, with these words behind it; returns the run's id.
    pub fn codex(&self, name: &str, words: &[&str]) -> String {
        let words = [&["-n", name, "codex"][..], words].concat();
        self.world.hand_off(&self.project, words)
    }

    /// The files of this world that hold a text: the state, logs and runs of the daemon included.
    #[must_use]
    pub fn holding(&self, text: &str) -> Vec<String> {
        let mut grep = Command::new("grep");
        grep.args(["-rlF", text]).arg(self.world.path());
        let found = String::from_utf8(said(&mut grep).stdout).expect("paths");
        found.lines().map(str::to_owned).collect()
    }

    /// The run object.
    #[must_use]
    pub fn show(&self, run: &str) -> Value {
        self.world.show(&self.project, run)
    }

    /// Kills the daemon, and waits until it is gone.
    pub fn kill_daemon(&self) {
        self.world.kill_daemon();
    }

    /// What [`GIT_STATE`] tells here, as a request to the model has it.
    #[must_use]
    pub fn git_state(&self) -> String {
        let state = self.world.ok(&self.project, "sh", ["-c", GIT_STATE]);
        let text = Value::from(state.trim_end()).to_string();
        text.trim_matches('"').to_owned()
    }

    /// What the model was told in the last turn.
    #[must_use]
    #[track_caller]
    pub fn told_last(&self) -> String {
        heard(&self.model.turns().pop().expect("a turn").body)
    }

    /// Kills the sandbox in which a run's agent works first, and its supervisor with it, once the
    /// agent has written this down.
    ///
    /// # Panics
    ///
    /// Where it does not.
    #[track_caller]
    pub fn cut(&self, id: &str, written: &str) {
        let run = self.world.local_daemon().join("runs").join(id);
        sessions::wait_until_written(&run.join("writable/agent"), written);
        process::kill(process::supervisor(&run.join("jobs/1-command")));
    }

    /// Waits until a run has finished; returns the run object.
    #[must_use]
    pub fn finished(&self, run: &str) -> Value {
        self.world.finished(&self.project, run)
    }

    /// Waits until a run waits for its owner, with something else than this id; returns for what.
    #[track_caller]
    #[must_use]
    pub fn needs(&self, run: &str, not: &Value) -> Value {
        let until = Instant::now() + PATIENCE;
        loop {
            let shown = self.show(run);
            if shown["state"] == "needs_input" && shown["needs"]["id"] != *not {
                return shown["needs"].clone();
            }
            assert!(Instant::now() < until && shown["state"] != "finished", "{shown:#}");
            drop(self.world.handoff(&self.project, ["watch", run]));
        }
    }

    /// The events of a run so far, one object each.
    #[must_use]
    pub fn events(&self, run: &str) -> Vec<Value> {
        let said = self.world.handoff(&self.project, ["watch", run, "--json"]);
        let text = String::from_utf8_lossy(&said.stdout).into_owned();
        text.lines().map(|line| serde_json::from_str(line).expect("an event")).collect()
    }
}

/// The events of that type.
#[must_use]
pub fn of_type<'a>(events: &'a [Value], kind: &str) -> Vec<&'a Value> {
    events.iter().filter(|event| event["type"] == kind).collect()
}

/// Makes sure that a request holds all of these.
///
/// # Panics
///
/// Where it does not.
#[track_caller]
pub fn holds(told: &str, texts: &[&str]) {
    for text in texts {
        assert!(told.contains(text), "no {text} in {told}");
    }
}

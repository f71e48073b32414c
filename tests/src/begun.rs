//! A session of a real agent that began on the laptop: it is handed off, comes back, and goes on.
//! What both agents do alike is told once.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::{
    agent::{Driven, holds, of_type},
    interface,
    model::Turn,
    screen::Screen,
    sessions,
    world::Said,
};

/// Which agent.
#[derive(Clone, Copy, Debug)]
pub enum Agent {
    /// Claude Code.
    Claude,
    /// Codex.
    Codex,
}

impl Agent {
    /// What a user types to hand it off.
    const fn name(self) -> &'static str {
        match self {
            Self::Claude => "claude",
            Self::Codex => "codex",
        }
    }

    /// The model has it ask its user for one of two colours.
    fn question(self) -> Turn {
        let choice = |label: &str| json!({ "label": label, "description": "x" });
        let mut question = json!({
            "header": "Colour", "question": "Which colour?",
            "options": [choice("Red"), choice("Blue")],
        });
        let tool = match self {
            Self::Claude => {
                question["multiSelect"] = false.into();
                "AskUserQuestion"
            }
            Self::Codex => {
                question["id"] = "colour".into();
                "request_user_input"
            }
        };
        Turn::tool(tool, json!({ "questions": [question] }))
    }

    /// The model has it run a command.
    fn runs(self, command: &str) -> Turn {
        match self {
            Self::Claude => Turn::bash(command),
            Self::Codex => Turn::exec(command),
        }
    }

    /// How the model is told of the answer Blue.
    const fn answered(self) -> &'static str {
        match self {
            Self::Claude => r#"\"Which colour?\"=\"Blue\""#,
            Self::Codex => r#"{\"answers\":{\"colour\":{\"answers\":[\"Blue\"]}}}"#,
        }
    }

    /// What it wants to do, as a run says it that asks for permission.
    fn wants(self, command: &str) -> String {
        let tool = match self {
            Self::Claude => "Bash",
            Self::Codex => "exec_command",
        };
        format!("{tool}: {command}")
    }

    /// What the model is told of a call that was interrupted.
    #[must_use]
    pub const fn interrupted(self) -> &'static str {
        match self {
            Self::Claude => "[Tool call interrupted: the session ended before",
            Self::Codex => r#""output":"aborted""#,
        }
    }

    /// How its transcript begins a call.
    const fn call(self) -> &'static str {
        match self {
            Self::Claude => "\"tool_use\"",
            Self::Codex => "\"function_call\"",
        }
    }

    /// Has its interface ask before it does anything, and offer questions to the model.
    const fn asking_here(self) -> &'static [&'static str] {
        match self {
            Self::Claude => &["--permission-mode", "default", "--resume"],
            Self::Codex => {
                &["--enable", "default_mode_request_user_input", "-a", "on-request", "resume"]
            }
        }
    }

    /// Has a run of it ask before it does anything.
    const fn asking(self) -> &'static [&'static str] {
        match self {
            Self::Claude => &["--permission-mode", "default"],
            Self::Codex => &["-a", "untrusted"],
        }
    }

    /// Has a run of it ask for nothing.
    const fn unasked(self) -> &'static [&'static str] {
        match self {
            Self::Claude => &["--dangerously-skip-permissions"],
            Self::Codex => &["-a", "never"],
        }
    }

    /// Where it keeps its sessions, of a home.
    fn directory(self, home: &Path) -> PathBuf {
        home.join(match self {
            Self::Claude => ".claude",
            Self::Codex => ".codex",
        })
    }

    /// Where it asks whether there is a model of this name, as a shell writes it.
    fn url_of_model(self, name: &str) -> String {
        match self {
            Self::Claude => format!("$ANTHROPIC_BASE_URL/v1/models/{name}"),
            Self::Codex => format!("$OPENAI_BASE_URL/models/{name}"),
        }
    }
}

/// See the module.
#[derive(Debug)]
pub struct Begun {
    /// The user.
    pub driven: Driven,
    /// The session.
    pub id: String,
    agent: Agent,
}

impl Begun {
    /// One with a first turn: LOCAL-PROMPT-1, LOCAL-ANSWER-1.
    #[must_use]
    pub fn with(agent: Agent) -> Self {
        let script = vec![Turn::text("LOCAL-ANSWER-1")];
        let (driven, id) = match agent {
            Agent::Claude => {
                let driven = Driven::with(script);
                driven.local_turn(&["LOCAL-PROMPT-1"]);
                let (id, _) = sessions::transcript(&driven.world);
                (driven, id)
            }
            Agent::Codex => {
                let driven = Driven::with_codex(script);
                driven.local_codex_turn(&["LOCAL-PROMPT-1"]);
                let (id, _) = sessions::rollout(&driven.world);
                (driven, id)
            }
        };
        Self { driven, id, agent }
    }

    /// It has another turn here, which reaches the model.
    ///
    /// # Panics
    ///
    /// Where it does not.
    #[track_caller]
    pub fn goes_on_here(&self, prompt: &str, answer: &str) {
        self.driven.model.set(vec![Turn::text(answer)]);
        match self.agent {
            Agent::Claude => self.driven.local_turn(&["--resume", &self.id, prompt]),
            Agent::Codex => self.driven.local_codex_turn(&["resume", &self.id, prompt]),
        };
        holds(&self.driven.told_last(), &[prompt]);
    }

    fn handed_off(&self, words: &[&str]) -> String {
        let words = [&["-n", "on", self.agent.name()], words, &["REMOTE-PROMPT"]].concat();
        self.driven.world.hand_off(&self.driven.project, words)
    }

    /// Its interface asks what `asks` has it ask, shown as `shown`, and is left by `leave` before there
    /// is an answer. Then it is handed off as the run `on`, where `again` has it ask again. Returns what
    /// the run needs.
    #[track_caller]
    fn asked_again(
        &self,
        (asks, shown): (Turn, &str),
        leave: impl FnOnce(Screen<'_>),
        again: Turn,
    ) -> Value {
        let Self { driven, id, agent } = self;
        driven.model.set(vec![asks]);
        let words = [agent.asking_here(), &[id]].concat();
        let screen = match agent {
            Agent::Claude => interface::claude(driven, "asks", &words),
            Agent::Codex => interface::codex(driven, "asks", &words),
        };
        screen.shows(&["LOCAL-ANSWER-1"]);
        screen.enter("LOCAL-PROMPT-2", &[shown]);
        sessions::wait_until_written(&agent.directory(&driven.world.home()), agent.call());
        let early = ["-n", "early", agent.name(), "x"];
        self.handoff(&early).fails(5, &["is at work here", "interrupt it"]);
        leave(screen);
        driven.model.set(vec![again, Turn::text("REMOTE-ANSWER")]);
        self.handed_off(agent.asking());
        let need = driven.needs("on", &Value::Null);
        let told = driven.told_last();
        holds(&told, &["LOCAL-PROMPT-1", "LOCAL-PROMPT-2", "REMOTE-PROMPT", agent.interrupted()]);
        need
    }

    /// A question that is open here when its interface is killed is asked there, and answered.
    ///
    /// # Panics
    ///
    /// Where it is not so.
    #[track_caller]
    pub fn is_asked_there(&self) {
        let question = self.agent.question();
        let asks = (question.clone(), "Which colour?");
        let need = self.asked_again(asks, |screen| screen.kill(), question);
        assert_eq!(need["text"], "Which colour?");
        assert_eq!(need["choices"], json!(["Red", "Blue"]));
        self.handoff(&["answer", "on", "--option", "2"]).ok();
        self.comes_back(&["LOCAL-PROMPT-2", self.agent.answered(), "REMOTE-ANSWER"]);
    }

    /// A permission to `touch made` that is open here, asked for by `asks` and shown as `shown`, when
    /// its interface is closed is asked for there, and given.
    ///
    /// # Panics
    ///
    /// Where it is not so.
    #[track_caller]
    pub fn may_do_it_there(&self, asks: Turn, shown: &str) {
        let command = "touch made";
        let again = self.agent.runs(command);
        let need = self.asked_again((asks, shown), |screen| screen.close(), again);
        assert_eq!(need["text"], self.agent.wants(command));
        let made = self.driven.project.join("made");
        assert!(!made.exists());
        self.handoff(&["approve", "on"]).ok();
        self.comes_back(&["LOCAL-PROMPT-2", "REMOTE-ANSWER"]);
        assert!(made.exists());
    }

    /// Its run `on`, with the daemon, is killed while it runs a command; it comes back with every turn.
    /// Returns what the model was told when it went on there.
    ///
    /// # Panics
    ///
    /// Where it is not so.
    #[must_use]
    #[track_caller]
    pub fn is_cut_and_comes_back(&self) -> String {
        let driven = &self.driven;
        self.goes_on_here("LOCAL-PROMPT-2", "LOCAL-ANSWER-2");
        let url = self.agent.url_of_model("begun");
        let command = format!("echo begun >> log; curl -s {url}; perl -e 'sleep 600'");
        driven.model.set(vec![self.agent.runs(&command), Turn::text("REMOTE-ANSWER")]);
        let id = self.handed_off(self.agent.unasked());
        driven.model.wait_for_path("/v1/models/begun");
        driven.kill_daemon();
        driven.cut(&id, "echo begun");
        drop(driven.finished("on"));
        let told = driven.told_last();
        holds(&told, &["LOCAL-PROMPT-1", "LOCAL-ANSWER-2", "REMOTE-PROMPT", "echo begun"]);
        assert_eq!(of_type(&driven.events("on"), "resumed").len(), 1);
        self.comes_back(&["LOCAL-ANSWER-2", "echo begun", "REMOTE-ANSWER"]);
        let log = std::fs::read_to_string(driven.project.join("log")).expect("read");
        assert_eq!(log, "begun\n");
        told
    }

    /// What its run `on` asks, a question and a permission, is answered though the client was closed,
    /// and the daemon is killed before and after each answer.
    ///
    /// # Panics
    ///
    /// Where it is not so, or the agent heard an answer twice.
    #[track_caller]
    pub fn is_answered_once(&self) {
        let driven = &self.driven;
        let command = "echo made >> made";
        let asks = self.agent.runs(command);
        driven.model.set(vec![self.agent.question(), asks, Turn::text("REMOTE-ANSWER")]);
        let words =
            [&["-f", "-n", "on", self.agent.name()][..], self.agent.asking(), &["REMOTE-PROMPT"]];
        let mut client = driven.world.spawn(&driven.project, "handoff", words.concat());
        driven.model.wait_for_turn(2);
        let asked = driven.needs("on", &Value::Null);
        client.kill().expect("kill the client");
        assert!(!client.wait().expect("its end").success());
        driven.kill_daemon();
        assert_eq!(driven.needs("on", &Value::Null), asked);
        self.handoff(&["answer", "on", "--option", "2"]).ok();
        let permission = driven.needs("on", &asked["id"]);
        assert_eq!(permission["text"], self.agent.wants(command));
        driven.kill_daemon();
        assert_eq!(driven.needs("on", &asked["id"]), permission);
        self.handoff(&["approve", "on"]).ok();
        // Whatever it was told before, it is told once.
        driven.kill_daemon();
        drop(driven.finished("on"));
        let told = driven.told_last();
        assert_eq!(told.matches(self.agent.answered()).count(), 1, "{told}");
        assert_eq!(driven.model.turns().len(), 4, "nothing was said twice");
        assert_eq!(of_type(&driven.events("on"), "input_answered").len(), 2);
        self.comes_back(&[self.agent.answered(), "REMOTE-ANSWER"]);
        let made = std::fs::read_to_string(driven.project.join("made")).expect("read");
        assert_eq!(made, "made\n");
    }

    /// It travels there and back as the run `one`, and as `two` for a fraction of the bytes; then it
    /// goes on here.
    ///
    /// # Panics
    ///
    /// Where it is not so.
    #[track_caller]
    pub fn travels_twice(&self) {
        let mut sent = Vec::new();
        for turn in ["one", "two"] {
            self.driven.model.set(vec![Turn::text(&format!("REMOTE-ANSWER-{turn}"))]);
            let prompt = format!("REMOTE-PROMPT-{turn}");
            let said = self.handoff(&["-n", turn, self.agent.name(), &prompt]);
            let line = said.stderr.lines().find(|line| line.contains("; sent ")).expect("a line");
            sent.push(line.rsplit("; sent ").next().expect("how much").to_owned());
            drop(said.ok());
            let run = self.driven.finished(turn);
            assert_eq!(run["outcome"], "succeeded", "{run:#}");
            let pulled = self.handoff(&["--json", "pull", turn]).json();
            assert_eq!(pulled["conversation"]["mode"], "forwarded", "{pulled:#}");
            assert_eq!(pulled["conversation"]["session_id"], self.id.as_str());
        }
        assert!(sent[0].contains("MB") && sent[1].contains("kB"), "{sent:?}");
        let there = ["LOCAL-PROMPT-1", "LOCAL-ANSWER-1", "REMOTE-PROMPT-one", "REMOTE-ANSWER-one"];
        holds(&self.driven.told_last(), &there);
        self.goes_on_here("LOCAL-PROMPT-2", "LOCAL-ANSWER-2");
        let told = self.driven.told_last();
        holds(&told, &there);
        holds(&told, &["REMOTE-PROMPT-two", "REMOTE-ANSWER-two"]);
    }

    /// Brings the run's conversation back, and has it go on here, with these and the first turn.
    #[track_caller]
    fn comes_back(&self, texts: &[&str]) {
        let run = self.driven.finished("on");
        assert_eq!(run["outcome"], "succeeded", "{run:#}");
        assert_eq!(run["session_id"], self.id.as_str());
        let pulled = self.handoff(&["--json", "pull", "on"]).json();
        assert_eq!(pulled["conversation"]["mode"], "forwarded", "{pulled:#}");
        self.goes_on_here("LOCAL-PROMPT-3", "LOCAL-ANSWER-3");
        let told = self.driven.told_last();
        holds(&told, texts);
        holds(&told, &["LOCAL-PROMPT-1", "LOCAL-ANSWER-1", "REMOTE-PROMPT"]);
    }

    /// Runs handoff in the project.
    pub fn handoff(&self, words: &[&str]) -> Said {
        self.driven.world.handoff(&self.driven.project, words)
    }
}

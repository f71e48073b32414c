//! How Codex is started.

use serde_json::{Value, json};

use crate::agents::Beginning;

/// Requests and answers through its streams; nothing that reaches for other hosts than the model's,
/// goes on by itself after a turn, or tries a model API that is away for ever; its plan told, and
/// questions to the user asked in every mode.
const SERVER: [&str; 15] = [
    "app-server",
    "-c",
    "analytics.enabled=false",
    "-c",
    "tools.update_plan.enabled=true",
    "-c",
    "suppress_unstable_features_warning=true",
    "--enable",
    "default_mode_request_user_input",
    "--disable",
    "plugins",
    "--disable",
    "goals",
    "--disable",
    "unbounded_connection_retries",
];

/// What is told of every word and byte on its way; the whole comes at its end.
const NOT_TOLD: [&str; 8] = [
    "account/rateLimits/updated",
    "item/agentMessage/delta",
    "item/commandExecution/outputDelta",
    "item/plan/delta",
    "item/reasoning/summaryTextDelta",
    "item/reasoning/textDelta",
    "thread/readState/changed",
    "turn/diff/updated",
];

/// The only sandbox of its own that works in a run's: none. Every other one needs namespaces, which
/// a run cannot make, and fails each command.
const SANDBOX: &str = "danger-full-access";

/// When it asks, unless its user says: for what rules of the user's want asked, and for tools that
/// change something outside. For whatever the sandbox keeps in anyway, nobody has to be there.
const APPROVALS: &str = "on-request";

/// Turns of a thread among which the one that was interrupted is: what its user said meanwhile may
/// have begun others.
const TURNS_LOOKED_AT: u32 = 4;

/// The program's arguments.
pub(crate) fn arguments() -> Vec<String> {
    SERVER.map(str::to_owned).to_vec()
}

/// Arguments that lead it to its model API: it reads no variable for that.
pub(crate) fn model_arguments(base_url: &str) -> Vec<String> {
    vec!["-c".to_owned(), format!("openai_base_url={base_url:?}")]
}

/// Variables that it needs: its directory.
pub(crate) fn variables(directory: &str) -> Vec<(String, String)> {
    vec![("CODEX_HOME".to_owned(), directory.to_owned())]
}

/// Who drives it, and what it need not tell.
pub(super) fn initialize() -> Value {
    json!({
        "clientInfo": {
            "name": env!("CARGO_PKG_NAME"),
            "title": null,
            "version": env!("CARGO_PKG_VERSION"),
        },
        "capabilities": {
            "experimentalApi": true,
            "requestAttestation": false,
            "optOutNotificationMethods": NOT_TOLD,
        },
    })
}

/// The thread that a conversation goes on in, or begins.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Opening {
    /// The thread that there is.
    pub(super) thread: Option<String>,
    /// Whether another one does as well: nothing was said in that one yet.
    may_begin_anew: bool,
    model: Option<String>,
    /// Whether the thread was opened in this run before.
    is_known: bool,
    /// Whether a turn was interrupted, so that the last ones are looked at.
    was_interrupted: bool,
    approvals: String,
}

impl Opening {
    pub(super) fn new(begin: &Beginning<'_>) -> Self {
        let (terms, account) = (begin.terms, begin.account);
        let thread = Some(account.session_id.clone()).filter(|id| !id.is_empty());
        let ready = account.ready.as_ref();
        // Its own word counts: what was chosen in the course of the run stays.
        let approvals = ready.map_or(&terms.permissions, |ready| &ready.permissions);
        let model = Some(terms.model.clone()).filter(|model| !model.is_empty());
        Self {
            thread,
            may_begin_anew: terms.is_new && !account.has_begun,
            model,
            is_known: ready.is_some(),
            was_interrupted: begin.interrupted,
            approvals: Some(approvals.clone())
                .filter(|approvals| !approvals.is_empty())
                .unwrap_or_else(|| APPROVALS.to_owned()),
        }
    }

    /// Whether another thread does as well, after this error. One that is about another thread was
    /// heard before, and answered so: the one that is known now is that other one.
    pub(super) fn may_begin_anew(&self, error: &str) -> bool {
        let is_about = |thread: &String| error.contains(thread.as_str());
        self.may_begin_anew || !self.thread.as_ref().is_some_and(is_about)
    }

    /// The method and its parameters that go on in the thread. It keeps its model unless another
    /// one is asked for: that has the old one sum everything up first.
    pub(super) fn resume(&self, thread: &str) -> (&'static str, Value) {
        let turns = json!({ "limit": TURNS_LOOKED_AT, "itemsView": "full" });
        let params = json!({
            "threadId": thread,
            "model": self.model.as_ref().filter(|_| !self.is_known),
            "approvalPolicy": self.approvals,
            "sandbox": SANDBOX,
            "excludeTurns": true,
            "initialTurnsPage": Some(turns).filter(|_| self.was_interrupted),
        });
        ("thread/resume", params)
    }

    /// The method and its parameters that begin a thread. It names no directory, which is the
    /// process's own then: with one, Codex would write down that the user trusts it, and start what
    /// the repository's own settings say.
    pub(super) fn start(&self) -> (&'static str, Value) {
        let params = json!({
            "model": self.model,
            "approvalPolicy": self.approvals,
            "sandbox": SANDBOX,
        });
        ("thread/start", params)
    }
}

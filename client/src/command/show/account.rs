//! A readable account of a run: what it is, where it stands, what to do next. Pure.

use std::time::Duration;

use handoff_proto::wire;

use crate::outbox;
use crate::wording::{self, between, command_line, moment, one_line, span, standing};

/// Longest text that is shown, in characters.
const TEXT_MAX: usize = 4096;

/// Width of the labels.
const LABEL_WIDTH: usize = 11;

/// The account, one line a fact.
pub(super) fn of(run: &wire::RunView, remote: &str, now_unix_nanos: i64) -> String {
    let contract = run.contract.clone().unwrap_or_default();
    let mut account = Account(String::new());
    account.line("name", &run.name);
    account.line("id", &run.id);
    account.line("state", &state(run));
    account.line("exit", &exit(run));
    account.line("command", &command_line(&contract.command));
    account.line("directory", &String::from_utf8_lossy(&contract.directory));
    account.line("remote", remote);
    account.line("created", &moment(run.created_at_unix_nanos));
    if run.outcome.is_empty() {
        let doing = if run.state == outbox::STATE { "sending for" } else { "running for" };
        account.line(doing, &span(between(run.created_at_unix_nanos, now_unix_nanos)));
    } else {
        account.line("finished", &moment(run.finished_at_unix_nanos));
        account.line("took", &span(between(run.created_at_unix_nanos, run.finished_at_unix_nanos)));
    }
    account.line("worked", &worked(run, &contract, now_unix_nanos));
    for layer in run.isolation.iter().flat_map(|isolation| &isolation.layers) {
        account.line("isolation", &self::layer(layer));
    }
    for denied in &run.denied {
        account.line("denied", &wording::denied(denied));
    }
    for used in &run.used {
        account.line("used", &wording::used(used));
    }
    account.line("result", &result(run));
    for note in &run.result_notes {
        account.line("not in it", note);
    }
    account.line("branch", &run.branch);
    if let Some(need) = &run.needs {
        account.line(&need.kind, &need.text);
        for (number, choice) in (1..).zip(&need.choices) {
            account.line("choice", &choice_line(number, choice));
        }
    }
    for next in next(run) {
        account.line("next", &next);
    }
    account.0
}

struct Account(String);

impl Account {
    /// Adds a fact, if there is one.
    fn line(&mut self, label: &str, text: &str) {
        if !text.is_empty() {
            let (label, text) = (one_line(label, LABEL_WIDTH), one_line(text, TEXT_MAX));
            self.0.push_str(&format!("{label:LABEL_WIDTH$}  {text}\n"));
        }
    }
}

fn state(run: &wire::RunView) -> String {
    match run.outcome_detail.as_str() {
        "" => standing(run).to_owned(),
        detail => format!("{}: {detail}", standing(run)),
    }
}

fn exit(run: &wire::RunView) -> String {
    match (run.exit_code, run.signal) {
        (Some(code), _) => format!("code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => String::new(),
    }
}

/// How long it could work so far; what it waited for its user does not count.
fn worked(run: &wire::RunView, contract: &wire::Contract, now_unix_nanos: i64) -> String {
    let now = match run.working_since_unix_nanos {
        0 => Duration::ZERO,
        since => between(since, now_unix_nanos),
    };
    let worked = Duration::from_nanos(run.worked_nanos.max(0).unsigned_abs()) + now;
    match contract.time_limit_seconds {
        _ if worked.is_zero() => String::new(),
        0 => span(worked),
        limit => format!("{} of {} at most", span(worked), span(Duration::from_secs(limit))),
    }
}

fn layer(layer: &wire::IsolationLayer) -> String {
    let wire::IsolationLayer { name, state, detail } = layer;
    if detail.is_empty() {
        format!("{name}: {state}")
    } else {
        format!("{name}: {state} ({detail})")
    }
}

fn result(run: &wire::RunView) -> String {
    if !run.result_failure.is_empty() {
        return format!("none: {}", run.result_failure);
    }
    if run.result.is_empty() {
        return String::new();
    }
    format!(
        "{} added, {} modified, {} removed",
        run.files_added, run.files_modified, run.files_removed
    )
}

fn choice_line(number: u32, choice: &wire::Choice) -> String {
    match choice.description.as_str() {
        "" => format!("{number}: {}", choice.label),
        description => format!("{number}: {} ({description})", choice.label),
    }
}

fn next(run: &wire::RunView) -> Vec<String> {
    let kind = run.needs.as_ref().map(|need| need.kind.as_str());
    let has_choices = run.needs.as_ref().is_some_and(|need| !need.choices.is_empty());
    let commands: &[&str] = match (run.state.as_str(), run.result.is_empty()) {
        ("needs_input", _) if kind == Some(wire::PERMISSION) => {
            &["approve", "deny", "logs", "stop"]
        }
        ("needs_input", _) if kind == Some(wire::QUESTION) => &["answer", "logs", "stop"],
        ("finished", false) => &["pull", "diff", "logs"],
        ("finished", true) => &["logs"],
        ("needs_input" | "paused", _) => &["logs", "stop"],
        (outbox::STATE, _) => &["resume-upload", "rm"],
        _ => &["watch", "logs -f", "stop"],
    };
    let more = |command: &str| match (command, has_choices) {
        ("answer", true) => " --option N",
        ("answer", false) => " TEXT",
        _ => "",
    };
    let line = |command: &&str| format!("handoff {command} {}{}", run.name, more(command));
    commands.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run() -> wire::RunView {
        wire::RunView {
            id: "abcdefghij".to_owned(),
            name: "make-abcd".to_owned(),
            state: "finished".to_owned(),
            outcome: "failed".to_owned(),
            outcome_detail: "exit code 2".to_owned(),
            exit_code: Some(2),
            contract: Some(wire::Contract {
                command: vec![b"make".to_vec()],
                root: b"/home/a".to_vec(),
                directory: b"/home/a/src".to_vec(),
                ..wire::Contract::default()
            }),
            result: vec![1],
            isolation: Some(wire::Isolation {
                layers: vec![wire::IsolationLayer {
                    name: "seccomp".to_owned(),
                    state: "in-force".to_owned(),
                    detail: String::new(),
                }],
            }),
            created_at_unix_nanos: 0,
            finished_at_unix_nanos: 200_000_000_000,
            branch: "main".to_owned(),
            files_modified: 3,
            worked_nanos: 190_000_000_000,
            result_notes: vec!["socket s".to_owned()],
            ..wire::RunView::default()
        }
    }

    #[test]
    fn a_finished_run_tells_what_it_brought() {
        assert_eq!(
            of(&run(), "box", 0),
            "\
name         make-abcd
id           abcdefghij
state        failed: exit code 2
exit         code 2
command      make
directory    /home/a/src
remote       box
created      1970-01-01T00:00:00Z
finished     1970-01-01T00:03:20Z
took         3m 20s
worked       3m 10s
isolation    seccomp: in-force
result       0 added, 3 modified, 0 removed
not in it    socket s
branch       main
next         handoff pull make-abcd
next         handoff diff make-abcd
next         handoff logs make-abcd
"
        );
    }

    #[test]
    fn a_waiting_run_tells_what_for() {
        let run = wire::RunView {
            state: "needs_input".to_owned(),
            outcome: String::new(),
            outcome_detail: String::new(),
            exit_code: None,
            result: Vec::new(),
            working_since_unix_nanos: 50_000_000_000,
            contract: Some(wire::Contract { time_limit_seconds: 7200, ..Default::default() }),
            needs: Some(wire::InputNeeded {
                id: "q".to_owned(),
                kind: "question".to_owned(),
                text: "which\none?".to_owned(),
                ..Default::default()
            }),
            ..run()
        };
        let account = of(&run, "box", 60_000_000_000);
        for line in [
            "state        needs_input\n",
            "running for  1m\n",
            "worked       3m 20s of 2h at most\n",
            "question     which one?\n",
            "next         handoff answer make-abcd TEXT\n",
            "next         handoff stop make-abcd\n",
        ] {
            assert!(account.contains(line), "{account}");
        }
        assert!(!account.contains("exit "), "{account}");
    }
}

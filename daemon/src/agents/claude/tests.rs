//! Lines as Claude Code 2.1.330 writes them, and what is made of them.

use handoff_proto::run::AgentAccount;
use proptest::{collection::vec, prelude::*, sample::Index};

use super::*;

fn terms() -> wire::AgentTerms {
    wire::AgentTerms { prompt: "fix it".into(), is_new: true, ..Default::default() }
}

fn account() -> AgentAccount {
    let session_id = "5e55".to_owned();
    AgentAccount { prompt: "fix it".into(), session_id, ..AgentAccount::default() }
}

fn beginning<'a>(terms: &'a wire::AgentTerms, account: &'a AgentAccount) -> Beginning<'a> {
    Beginning { name: "run 1", terms, account, interrupted: false }
}

fn claude() -> Claude {
    Claude::new(&beginning(&terms(), &account()))
}

/// The one thing that is sent.
fn sent(acts: &[Act]) -> (String, Value) {
    let lines = acts.iter().filter_map(|act| match act {
        Act::Send { id, line } => Some((id.clone(), serde_json::from_str(line).expect("JSON"))),
        Act::Tell(_) | Act::Ask(_) | Act::Void(_) | Act::End => None,
    });
    let lines: Vec<_> = lines.collect();
    assert_eq!(lines.len(), 1, "{acts:?}");
    lines.into_iter().next().expect("one")
}

/// The one thing that is asked.
fn asked(acts: &[Act]) -> wire::InputNeeded {
    match acts {
        [Act::Ask(need)] => need.clone(),
        other => panic!("{other:?}"),
    }
}

fn hear(claude: &mut Claude, line: &Value) -> Vec<Act> {
    claude.hear(line.to_string().as_bytes())
}

fn wish(id: &str, tool: &str, input: Value) -> Value {
    json!({
        "type": "control_request",
        "request_id": id,
        "request": {
            "subtype": "can_use_tool",
            "tool_name": tool,
            "display_name": tool,
            "input": input,
            "permission_suggestions": [],
            "tool_use_id": "toolu_1",
        },
    })
}

fn idle() -> Value {
    json!({ "type": "system", "subtype": "session_state_changed", "state": "idle" })
}

fn result() -> Value {
    json!({
        "type": "result", "subtype": "success", "is_error": false, "result": "done",
        "total_cost_usd": 0.00225, "terminal_reason": "completed",
        "usage": { "input_tokens": 500, "cache_read_input_tokens": 7, "output_tokens": 50 },
    })
}

fn replay(uuid: &Value) -> Value {
    let message = json!({ "role": "user", "content": "fix it" });
    json!({ "type": "user", "message": message, "uuid": uuid, "isReplay": true })
}

#[test]
fn a_turn_is_over_when_it_is_idle_after_a_result_and_all_was_taken_up() {
    let mut claude = claude();
    let (id, first) = sent(&claude.begin());
    assert_eq!((id.as_str(), &first["message"]["content"]), ("prompt", &json!("fix it")));
    assert_eq!(hear(&mut claude, &idle()), []);
    assert_eq!(hear(&mut claude, &replay(&first["uuid"])), []);
    let said = wire::Said { id: "7".into(), text: "and this".into(), by: "ada".into() };
    let (id, second) = sent(&claude.say(&said));
    assert_eq!(id, "say:7");
    assert_ne!(first["uuid"], second["uuid"]);
    let told = hear(&mut claude, &result());
    let usage = wire::AgentUsage { input_tokens: 507, output_tokens: 50, cost_microdollars: 2250 };
    let ended = wire::TurnEnded { failure: String::new(), text: "done".into() };
    assert_eq!(told, [Act::Tell(What::Usage(usage)), Act::Tell(What::TurnEnded(ended))]);
    assert_eq!(hear(&mut claude, &idle()), [], "something was said meanwhile");
    hear(&mut claude, &replay(&second["uuid"]));
    hear(&mut claude, &result());
    assert_eq!(hear(&mut claude, &idle()), [Act::End]);
}

#[test]
fn the_same_conversation_has_the_same_names_and_another_one_has_not() {
    let of = |name| {
        let (terms, account) = (terms(), account());
        let begin = Beginning { name, ..beginning(&terms, &account) };
        sent(&Claude::new(&begin).begin()).1["uuid"].clone()
    };
    assert_eq!(of("run 1"), of("run 1"));
    assert_ne!(of("run 1"), of("run 2"));
}

#[test]
fn a_permission_is_asked_for_and_the_answer_passed_on() {
    let mut claude = claude();
    let input = json!({ "command": "touch x", "description": "d" });
    let need = asked(&hear(&mut claude, &wish("r1", "Bash", input.clone())));
    assert_eq!((need.kind.as_str(), need.text.as_str()), ("permission", "Bash: touch x"));
    let yes = answer::What::Approved(wire::Approved {});
    let (id, line) = sent(&claude.answer(&need.id, &yes));
    assert_eq!((id.as_str(), &line["response"]["request_id"]), ("answer:r1", &json!("r1")));
    let response = json!({ "behavior": "allow", "updatedInput": input });
    assert_eq!(line["response"]["response"], response);
    assert_eq!(claude.answer(&need.id, &yes), [], "once");
    let need = asked(&hear(&mut claude, &wish("r2", "Bash", json!({ "command": "rm x" }))));
    let (_, line) = sent(&claude.answer(&need.id, &answer::What::Denied(String::new())));
    assert_eq!(line["response"]["response"]["behavior"], "deny");
    assert!(line["response"]["response"]["message"].as_str().is_some_and(|text| !text.is_empty()));
}

#[test]
fn several_questions_are_asked_one_after_the_other_and_answered_together() {
    let mut claude = claude();
    let input = json!({ "questions": [
        { "question": "Which?", "multiSelect": false, "options": [{ "label": "A", "description": "a" }] },
        { "question": "Sizes?", "multiSelect": true, "options": [] },
    ] });
    let first = asked(&hear(&mut claude, &wish("r", "AskUserQuestion", input)));
    assert_eq!((first.kind.as_str(), first.text.as_str()), ("question", "Which?"));
    assert_eq!((first.choices[0].label.as_str(), first.several), ("A", false));
    let second = asked(&claude.answer(&first.id, &answer::What::Text("A".into())));
    assert_eq!((second.text.as_str(), second.several), ("Sizes?", true));
    assert_eq!(claude.answer(&first.id, &answer::What::Text("B".into())), []);
    let (_, line) = sent(&claude.answer(&second.id, &answer::What::Text("S, L".into())));
    let answers = &line["response"]["response"]["updatedInput"]["answers"];
    assert_eq!(*answers, json!({ "Which?": "A", "Sizes?": "S, L" }));
}

#[test]
fn what_it_gives_up_asking_is_void_and_what_is_not_known_is_refused() {
    let mut claude = claude();
    let need = asked(&hear(&mut claude, &wish("r", "Bash", json!({ "command": "x" }))));
    let cancel = json!({ "type": "control_cancel_request", "request_id": "r" });
    assert_eq!(hear(&mut claude, &cancel), [Act::Void(need.id.clone())]);
    let need = asked(&hear(&mut claude, &wish("r2", "Bash", json!({ "command": "x" }))));
    assert!(hear(&mut claude, &result()).contains(&Act::Void(need.id)));
    let request = json!({ "subtype": "hook_callback", "callback_id": "x" });
    let line = json!({ "type": "control_request", "request_id": "r3", "request": request });
    let (_, refused) = sent(&hear(&mut claude, &line));
    assert_eq!(refused["response"]["subtype"], "error");
}

#[test]
fn failures_say_which_they_are() {
    for (fields, told) in [
        (
            json!({ "api_error_status": 401, "result": "Invalid API key" }),
            "refuses the daemon's credential: Invalid",
        ),
        (json!({ "api_error_status": 404, "result": "x" }), "the model is not available"),
        (json!({ "api_error_status": 429 }), "rate limit"),
        (json!({ "api_error_status": 529 }), "overloaded"),
        (
            json!({ "terminal_reason": "api_error", "result": "Not logged in" }),
            "cannot be used: Not logged in",
        ),
        (
            json!({ "subtype": "error_during_execution", "errors": ["No conversation found"] }),
            "No conversation found",
        ),
    ] {
        let mut line = json!({ "type": "result", "subtype": "success", "is_error": true });
        for (name, value) in fields.as_object().expect("fields") {
            line[name] = value.clone();
        }
        let acts = hear(&mut claude(), &line);
        let failure = acts.iter().find_map(|act| match act {
            Act::Tell(What::TurnEnded(turn)) => Some(turn.failure.clone()),
            _ => None,
        });
        assert!(failure.as_ref().is_some_and(|failure| failure.contains(told)), "{failure:?}");
    }
}

#[test]
fn a_mode_that_changes_in_the_middle_of_a_turn_is_told_once() {
    let mut claude = claude();
    let status = |mode: Value| json!({ "type": "system", "subtype": "status", "status": null, "permissionMode": mode });
    // What it goes on in is said before it is ready, and then with that.
    assert_eq!(hear(&mut claude, &status("plan".into())), []);
    let init = json!({
        "type": "system", "subtype": "init", "session_id": "5e55", "model": "opus",
        "permissionMode": "plan", "claude_code_version": "2.1.330",
    });
    let mode = |acts: &[Act]| match acts {
        [Act::Tell(What::Ready(ready))] => {
            assert_eq!((ready.model.as_str(), ready.session_id.as_str()), ("opus", "5e55"));
            ready.permissions.clone()
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(mode(&hear(&mut claude, &init)), "plan");
    assert_eq!(hear(&mut claude, &status(Value::Null)), []);
    assert_eq!(hear(&mut claude, &status("plan".into())), []);
    assert_eq!(mode(&hear(&mut claude, &status("default".into()))), "default");
    assert_eq!(hear(&mut claude, &status("default".into())), []);
}

#[test]
fn it_is_started_anew_or_goes_on_as_it_was() {
    let value = |arguments: &[String], flag: &str| {
        let place = arguments.iter().position(|word| word == flag)?;
        arguments.get(place + 1).cloned()
    };
    let (terms, mut account) = (terms(), account());
    let fresh = arguments(&beginning(&terms, &account));
    assert_eq!(value(&fresh, "--session-id").as_deref(), Some("5e55"));
    assert_eq!((value(&fresh, "--resume"), value(&fresh, "--model")), (None, None));
    account.has_begun = true;
    account.ready = Some(wire::AgentReady {
        model: "opus".into(),
        permissions: "plan".into(),
        ..Default::default()
    });
    let resumed = arguments(&beginning(&terms, &account));
    assert_eq!(value(&resumed, "--resume").as_deref(), Some("5e55"));
    assert_eq!(value(&resumed, "--permission-mode").as_deref(), Some("plan"));
}

#[test]
fn who_was_interrupted_is_told_so_unless_it_had_not_begun() {
    let (terms, mut account) = (terms(), account());
    let first = |account: &AgentAccount| {
        let begin = Beginning { interrupted: true, ..beginning(&terms, account) };
        sent(&Claude::new(&begin).begin()).1["message"]["content"].clone()
    };
    assert_eq!(first(&account), json!("fix it"));
    account.has_begun = true;
    assert_eq!(first(&account), json!(GO_ON));
}

proptest! {
    #[test]
    fn mutated_lines_are_understood_or_skipped(
        edits in vec((any::<Index>(), any::<u8>()), 1..6),
        pick in 0..4_usize,
    ) {
        let lines = [
            wish("r", "AskUserQuestion", json!({ "questions": [{ "question": "q", "options": [] }] })),
            result(),
            replay(&json!("x")),
            json!({ "type": "assistant", "message": { "content": [
                { "type": "tool_use", "id": "t", "name": "TodoWrite", "input": { "todos": [] } },
            ] } }),
        ];
        let mut bytes = lines[pick].to_string().into_bytes();
        for (at, byte) in edits {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let mut claude = claude();
        for act in claude.hear(&bytes) {
            if let Act::Ask(need) = act {
                drop(claude.answer(&need.id, &answer::What::Text("x".into())));
            }
        }
    }
}

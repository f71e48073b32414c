//! Lines as Codex 0.169.0 writes them, and what is made of them.

use handoff_proto::run::AgentAccount;
use proptest::{collection::vec, prelude::*, sample::Index};

use super::*;

mod planning;

/// A turn with a list of things to do, a command that was allowed and failed, a patch that was not allowed, and two
/// questions; its user had it ask for everything.
const RECORDED: &str = include_str!("recorded.jsonl");

/// Its thread.
const THREAD: &str = "01a2022b-408e-7f73-83ee-e44cb1c86902";

/// Its turn.
const TURN: &str = "01a2022b-411d-71b2-9c9b-270d191dac73";

fn terms() -> wire::AgentTerms {
    wire::AgentTerms { prompt: "fix it".into(), is_new: true, ..Default::default() }
}

fn account() -> AgentAccount {
    AgentAccount { prompt: "fix it".into(), ..AgentAccount::default() }
}

fn codex_of(terms: &wire::AgentTerms, account: &AgentAccount, interrupted: bool) -> Codex {
    Codex::new(&Beginning { name: "run 1", terms, account, interrupted })
}

fn codex() -> Codex {
    codex_of(&terms(), &account(), false)
}

/// One that has its thread, and has said what it was told.
fn opened() -> Codex {
    let mut codex = codex();
    drop(codex.begin());
    RECORDED.lines().take(3).for_each(|line| drop(codex.hear(line.as_bytes())));
    assert_eq!(codex.thread.as_deref(), Some(THREAD));
    codex
}

fn hear(codex: &mut Codex, line: &Value) -> Vec<Act> {
    codex.hear(line.to_string().as_bytes())
}

/// What is sent, by name.
fn sent(acts: &[Act]) -> Vec<(String, Value)> {
    let lines = acts.iter().filter_map(|act| match act {
        Act::Send { id, line } => Some((id.clone(), serde_json::from_str(line).expect("JSON"))),
        Act::Tell(_) | Act::Ask(_) | Act::Void(_) | Act::End => None,
    });
    lines.collect()
}

fn asked(acts: &[Act]) -> wire::InputNeeded {
    match acts {
        [Act::Ask(need)] => need.clone(),
        other => panic!("{other:?}"),
    }
}

fn failure(acts: &[Act]) -> Option<String> {
    acts.iter().find_map(|act| match act {
        Act::Tell(What::TurnEnded(turn)) => Some(turn.failure.clone()),
        _ => None,
    })
}

fn news(method: &str, params: Value) -> Value {
    let mut params = params;
    params["threadId"] = THREAD.into();
    json!({ "method": method, "params": params })
}

fn taken_up(message: &str) -> Value {
    let item = json!({ "type": "userMessage", "id": "u", "clientId": format!("run 1 {message}") });
    news("item/completed", json!({ "item": item, "turnId": TURN }))
}

fn turn_of(id: &str, turn: &str) -> Value {
    json!({ "id": id, "result": { "turn": { "id": turn, "status": "inProgress" } } })
}

fn completed(turn: &str) -> Value {
    news("turn/completed", json!({ "turn": { "id": turn, "status": "completed", "error": null } }))
}

fn said(id: &str, text: &str) -> wire::Said {
    wire::Said { id: id.into(), text: text.into(), by: "ada".into() }
}

#[test]
fn a_recorded_turn_is_told_and_answered() {
    let mut codex = codex();
    let mut acts = codex.begin();
    for line in RECORDED.lines() {
        let heard = codex.hear(line.as_bytes());
        acts.extend(heard.clone());
        // Whatever it asks is answered before it goes on.
        let mut needs: Vec<_> = heard.into_iter().collect();
        while let Some(Act::Ask(need)) = needs.pop() {
            let answer = match (need.kind.as_str(), need.text.starts_with("exec_command")) {
                ("permission", true) => answer::What::Approved(wire::Approved {}),
                ("permission", false) => answer::What::Denied(String::new()),
                _ => answer::What::Text(need.choices[0].label.clone()),
            };
            let answered = codex.answer(&need.id, &answer);
            assert_eq!(codex.answer(&need.id, &answer), [], "once");
            acts.extend(answered.clone());
            needs.extend(answered);
        }
    }
    let names: Vec<String> = sent(&acts).into_iter().map(|(name, _)| name).collect();
    let expected =
        ["initialize", "initialized", "thread", "prompt", "answer:0", "answer:1", "answer:2"];
    assert_eq!(names, expected);
    let results: Vec<Value> =
        sent(&acts).into_iter().skip(4).map(|(_, line)| line["result"].clone()).collect();
    let answers = json!({ "colour": { "answers": ["Red"] }, "size": { "answers": ["S"] } });
    assert_eq!(
        results,
        [
            json!({ "decision": "accept" }),
            json!({ "decision": "decline" }),
            json!({ "answers": answers })
        ]
    );
    let asks: Vec<String> = acts
        .iter()
        .filter_map(|act| match act {
            Act::Ask(need) => Some(need.text.clone()),
            _ => None,
        })
        .collect();
    assert_eq!(
        asks,
        [
            "exec_command: echo hello; exit 3",
            "apply_patch:\nadd /home/ada/app/new.txt\none\ntwo",
            "Which colour?",
            "Which size?"
        ]
    );
    let told: Vec<&What> = acts
        .iter()
        .filter_map(|act| match act {
            Act::Tell(what) => Some(what),
            _ => None,
        })
        .collect();
    let [
        What::Ready(ready),
        What::Text(first),
        What::Plan(plan),
        What::ToolStarted(run),
        What::ToolEnded(ran),
        What::ToolStarted(edit),
        What::ToolEnded(edited),
        What::Text(last),
        What::Usage(usage),
        What::TurnEnded(ended),
    ] = &told[..]
    else {
        panic!("{told:#?}")
    };
    let model = (ready.model.as_str(), ready.permissions.as_str());
    assert_eq!((ready.version.as_str(), model), ("0.169.0", ("gpt-5.5", "untrusted")));
    assert_eq!(ready.session_id, THREAD);
    assert_eq!((first.as_str(), last.as_str()), ("I begin.", "It is *done*."));
    assert_eq!(plan.items[1], wire::PlanItem { text: "Write".into(), state: "in_progress".into() });
    assert_eq!((run.kind(), run.target.as_str()), (wire::ToolKind::Run, "echo hello; exit 3"));
    assert_eq!((ran.failed, ran.detail.as_str()), (true, "exit code 3: hello"));
    assert_eq!(ran.id, run.id);
    assert_eq!((edit.kind(), edited.failed), (wire::ToolKind::Edit, true));
    assert_eq!(edited.detail, "declined");
    assert!(edited.milliseconds > 0, "it waited for its user");
    assert_eq!((usage.input_tokens, usage.output_tokens), (1634, 96));
    assert_eq!((ended.failure.as_str(), ended.text.as_str()), ("", "It is *done*."));
    assert_eq!(acts.last(), Some(&Act::End));
}

#[test]
fn a_conversation_that_is_held_again_has_the_same_names() {
    let ready = wire::AgentReady { session_id: THREAD.into(), ..Default::default() };
    let later = AgentAccount {
        session_id: THREAD.into(),
        ready: Some(ready),
        has_begun: true,
        ..account()
    };
    let names = |account: &AgentAccount| {
        let mut codex = codex_of(&terms(), account, false);
        let mut acts = codex.begin();
        RECORDED.lines().for_each(|line| acts.extend(codex.hear(line.as_bytes())));
        let names = acts.into_iter().filter_map(|act| match act {
            Act::Send { id, .. } => Some(id),
            Act::Ask(need) => Some(need.id),
            Act::Tell(_) | Act::Void(_) | Act::End => None,
        });
        names.collect::<Vec<_>>()
    };
    assert_eq!(names(&account()), names(&later));
}

#[test]
fn each_message_is_said_once_and_the_end_waits_for_all_of_them() {
    let mut codex = opened();
    let acts = codex.say(&said("7", "and this"));
    let lines = sent(&acts);
    assert_eq!((lines.len(), lines[0].0.as_str()), (1, "say:7"));
    assert_eq!(lines[0].1["method"], "turn/start");
    assert_eq!(lines[0].1["params"]["threadId"], THREAD);
    hear(&mut codex, &turn_of("prompt", TURN));
    hear(&mut codex, &turn_of("say:7", "next"));
    hear(&mut codex, &taken_up("prompt"));
    assert!(
        !hear(&mut codex, &completed(TURN)).contains(&Act::End),
        "something was said meanwhile"
    );
    hear(&mut codex, &taken_up("say:7"));
    assert!(hear(&mut codex, &completed("next")).contains(&Act::End));
}

#[test]
fn what_is_said_before_there_is_a_thread_waits_for_it() {
    let mut codex = codex();
    drop(codex.begin());
    assert_eq!(codex.say(&said("7", "and this")), []);
    let mut acts = Vec::new();
    RECORDED.lines().take(3).for_each(|line| acts.extend(codex.hear(line.as_bytes())));
    let names: Vec<String> = sent(&acts).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["initialized", "thread", "prompt", "say:7"]);
}

#[test]
fn what_a_turn_leaves_over_begins_the_next_one_a_few_times() {
    let mut codex = opened();
    hear(&mut codex, &turn_of("prompt", "a"));
    for (turn, next) in [("a", "prompt/2"), ("b", "prompt/3")] {
        let acts = hear(&mut codex, &completed(turn));
        assert!(sent(&acts).iter().any(|(name, line)| name == next && line["id"] == next));
        let later = if turn == "a" { "b" } else { "c" };
        assert_eq!(hear(&mut codex, &turn_of(next, later)), []);
    }
    let acts = hear(&mut codex, &completed("c"));
    let told = acts.iter().rev().find_map(|act| failure(std::slice::from_ref(act)));
    assert!(told.is_some_and(|told| told.contains("does not take up what it is told: fix it")));
    assert!(acts.contains(&Act::End));
}

#[test]
fn what_comes_too_late_for_a_turn_or_is_put_off_by_it_is_said_again() {
    let mut codex = opened();
    hear(&mut codex, &news("turn/started", json!({ "turn": { "id": "a" } })));
    hear(&mut codex, &taken_up("prompt"));
    drop(codex.say(&said("1", "late")));
    drop(codex.say(&said("2", "refused")));
    let error = json!({ "id": "say:2", "error": { "code": -32600, "message": "not steerable" } });
    assert_eq!(hear(&mut codex, &error), []);
    let names = |acts: &[Act]| sent(acts).into_iter().map(|(name, _)| name).collect::<Vec<_>>();
    assert_eq!(names(&hear(&mut codex, &completed("a"))), ["say:2/2"]);
    assert_eq!(names(&hear(&mut codex, &turn_of("say:1", "a"))), ["say:1/2"]);
}

#[test]
fn a_no_is_told_with_its_reason() {
    let mut codex = opened();
    let params = json!({ "threadId": THREAD, "turnId": TURN, "itemId": "c",
        "command": "/bin/bash -lc 'rm x'", "reason": "May I?" });
    let method = "item/commandExecution/requestApproval";
    let need = asked(&hear(&mut codex, &json!({ "id": 4, "method": method, "params": params })));
    assert_eq!(need.text, "exec_command: rm x (May I?)");
    let lines = sent(&codex.answer(&need.id, &answer::What::Denied("not that one".into())));
    assert_eq!((lines[0].0.as_str(), lines.len()), ("why:4", 2));
    assert_eq!(lines[0].1["params"]["input"][0]["text"], "not that one");
    assert_eq!(lines[1].1, json!({ "id": 4, "result": { "decision": "decline" } }));
}

#[test]
fn what_it_gives_up_asking_is_void_and_what_is_not_known_is_refused() {
    let mut codex = opened();
    let wish = |id: u64, turn: &str| {
        let questions = json!([{ "id": "q", "question": "Which?", "options": null }]);
        let params = json!({ "threadId": THREAD, "turnId": turn, "questions": questions });
        json!({ "id": id, "method": "item/tool/requestUserInput", "params": params })
    };
    let need = asked(&hear(&mut codex, &wish(0, "a")));
    let resolved = news("serverRequest/resolved", json!({ "requestId": 0 }));
    assert_eq!(hear(&mut codex, &resolved), [Act::Void(need.id.clone())]);
    assert_eq!(codex.answer(&need.id, &answer::What::Text("x".into())), []);
    let need = asked(&hear(&mut codex, &wish(1, "a")));
    let of_subagent = asked(&hear(&mut codex, &wish(2, "b")));
    let acts = hear(&mut codex, &completed("a"));
    assert!(acts.contains(&Act::Void(need.id)) && !acts.contains(&Act::Void(of_subagent.id)));
    for method in ["item/tool/call", "mcpServer/elicitation/request", "new/thing"] {
        let line = json!({ "id": 9, "method": method, "params": { "threadId": THREAD } });
        let lines = sent(&hear(&mut codex, &line));
        assert_eq!(lines[0].1["error"]["code"], METHOD_NOT_FOUND, "{method}");
    }
}

#[test]
fn a_tool_of_a_server_is_asked_for() {
    let mut codex = opened();
    let meta = json!({ "codex_approval_kind": "mcp_tool_call", "tool_name": "write",
        "tool_params": { "x": "1" } });
    let params = json!({ "threadId": THREAD, "turnId": TURN, "serverName": "t", "mode": "form",
        "_meta": meta, "message": "Allow?", "requestedSchema": {} });
    let line = json!({ "id": 1, "method": "mcpServer/elicitation/request", "params": params });
    let need = asked(&hear(&mut codex, &line));
    assert_eq!((need.kind.as_str(), need.text.as_str()), ("permission", r#"t.write: {"x":"1"}"#));
    let yes = answer::What::Approved(wire::Approved {});
    let result = &sent(&codex.answer(&need.id, &yes))[0].1["result"];
    assert_eq!(*result, json!({ "action": "accept", "content": {}, "_meta": null }));
}

#[test]
fn sub_agents_use_tools_and_nothing_else_of_theirs_is_told() {
    let mut codex = opened();
    let of_child = |method: &str, item: Value| json!({ "method": method, "params": { "threadId": "child", "turnId": "t", "item": item } });
    let text = json!({ "type": "agentMessage", "id": "m", "text": "mine" });
    assert_eq!(hear(&mut codex, &of_child("item/completed", text)), []);
    let turn = json!({ "threadId": "child", "turn": { "id": "t", "status": "completed" } });
    assert_eq!(hear(&mut codex, &json!({ "method": "turn/completed", "params": turn })), []);
    let command = json!({ "type": "commandExecution", "id": "c", "command": "/bin/bash -lc ls",
        "commandActions": [{ "type": "listFiles", "command": "ls", "path": null }] });
    match &hear(&mut codex, &of_child("item/started", command))[..] {
        [Act::Tell(What::ToolStarted(tool))] => {
            assert!(tool.by_subagent && tool.kind() == wire::ToolKind::Search, "{tool:?}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_it_does_not_answer_as_expected_is_a_failure_that_says_so() {
    let error = |id: &str| json!({ "id": id, "error": { "code": -32600, "message": "no such" } });
    let empty = |id: &str| json!({ "id": id, "result": {} });
    let user_agent = json!({ "id": "initialize", "result": { "userAgent": "x/1" } });
    for (before, line, told) in [
        (None, error("initialize"), "does not want to be driven: no such"),
        (Some(&user_agent), error("thread"), "opens no session: no such"),
        (Some(&user_agent), empty("thread"), "does not say which"),
    ] {
        let mut codex = codex();
        drop(codex.begin());
        before.iter().for_each(|before| drop(hear(&mut codex, before)));
        let acts = hear(&mut codex, &line);
        assert!(failure(&acts).is_some_and(|failure| failure.contains(told)), "{acts:?}");
        assert_eq!(acts.last(), Some(&Act::End));
        assert_eq!(hear(&mut codex, &line), [], "it is over");
    }
    for (line, told) in [
        (error("prompt"), "does not take what it is told: no such"),
        (empty("prompt"), "begins no turn"),
    ] {
        let acts = hear(&mut opened(), &line);
        assert!(failure(&acts).is_some_and(|failure| failure.contains(told)), "{acts:?}");
    }
}

#[test]
fn failures_say_which_they_are() {
    let status = |kind: &str, status: Value| json!({ kind: { "httpStatusCode": status } });
    for (info, told) in [
        (status("httpConnectionFailed", 401.into()), "refuses the daemon's credential: as told"),
        (json!("modelNotFound"), "the model is not available"),
        (status("responseTooManyFailedAttempts", 429.into()), "rate limit is reached"),
        (json!("usageLimitExceeded"), "usage limit"),
        (json!("serverOverloaded"), "overloaded"),
        (json!("internalServerError"), "answers 500"),
        (status("httpConnectionFailed", Value::Null), "cannot be reached"),
        (json!("contextWindowExceeded"), "too long for the model"),
        (json!("somethingNew"), "gave up (somethingNew)"),
        (Value::Null, "the agent gave up: as told"),
    ] {
        let error = json!({ "message": "as told", "codexErrorInfo": info });
        let turn = json!({ "turn": { "id": "a", "status": "failed", "error": error } });
        let told_of = failure(&hear(&mut opened(), &news("turn/completed", turn)));
        assert!(told_of.as_ref().is_some_and(|failure| failure.contains(told)), "{told_of:?}");
    }
    let turn = json!({ "turn": { "id": "a", "status": "interrupted" } });
    let told = failure(&hear(&mut opened(), &news("turn/completed", turn)));
    assert!(told.is_some_and(|told| told.contains("interrupted")));
    let error = json!({ "message": "Reconnecting... 1/5", "additionalDetails": "status 401" });
    let params = json!({ "error": error, "willRetry": true });
    let told = hear(&mut opened(), &news("error", params));
    assert_eq!(told, [Act::Tell(What::Retrying("status 401 (Reconnecting... 1/5)".into()))]);
}

#[test]
fn it_goes_on_in_its_thread_or_begins_one_where_nothing_was_said_in_it() {
    let open = |account: &AgentAccount| {
        let mut codex = codex_of(&terms(), account, true);
        drop(codex.begin());
        let acts = hear(&mut codex, &json!({ "id": "initialize", "result": {} }));
        let request = sent(&acts)[1].1.clone();
        (codex, request)
    };
    let no_record =
        json!({ "id": "thread", "error": { "message": "no rollout found for thread id 5e55" } });
    let first = |codex: &mut Codex, id: &str, last: &str| {
        let content = json!([{ "type": "text", "text": last, "text_elements": [] }]);
        let items = json!([{ "type": "userMessage", "clientId": null, "content": content }]);
        let page = json!({ "data": [{ "id": "a", "status": "interrupted", "items": items }] });
        let result = json!({ "thread": { "id": "t" }, "initialTurnsPage": page });
        let acts = hear(codex, &json!({ "id": id, "result": result }));
        sent(&acts)[0].1["params"]["input"][0]["text"].clone()
    };
    let (mut codex, request) = open(&account());
    assert_eq!(request["method"], "thread/start");
    assert_eq!(first(&mut codex, "thread", ""), "fix it");

    let ready = wire::AgentReady { permissions: "untrusted".into(), ..Default::default() };
    let session_id = "5e55".to_owned();
    let mut known = AgentAccount { session_id, ready: Some(ready), ..account() };
    let (mut codex, request) = open(&known);
    assert_eq!(request["method"], "thread/resume");
    let params = (&request["params"]["threadId"], &request["params"]["approvalPolicy"]);
    assert_eq!(params, (&json!("5e55"), &json!("untrusted")));
    let anew = sent(&hear(&mut codex, &no_record));
    assert_eq!(anew[0].1["method"], "thread/start");
    assert!(anew[0].1["params"].get("cwd").is_none(), "with one, it would be trusted");
    assert_eq!(first(&mut codex, "thread/2", ""), "fix it");

    known.has_begun = true;
    let (mut codex, _) = open(&known);
    assert_eq!(first(&mut codex, "thread", "fix it"), GO_ON);
    let (mut codex, _) = open(&known);
    assert_eq!(first(&mut codex, "thread", "what it was told before"), "fix it");
    let (mut codex, _) = open(&known);
    let lost = failure(&hear(&mut codex, &no_record));
    assert!(lost.is_some_and(|lost| lost.contains("opens no session: no rollout")));
    // When that is heard again, the thread that was begun then is known.
    known.session_id = "another".into();
    let (mut codex, _) = open(&known);
    assert_eq!(sent(&hear(&mut codex, &no_record))[0].0, "thread/2");
}

#[test]
fn its_arguments_lead_to_its_model() {
    let arguments = model_arguments("http://127.1.0.1:3129/openai/v1");
    assert_eq!(arguments, ["-c", r#"openai_base_url="http://127.1.0.1:3129/openai/v1""#]);
}

proptest! {
    #[test]
    fn mutated_lines_are_understood_or_skipped(
        edits in vec((any::<Index>(), any::<Index>(), any::<u8>()), 1..20),
    ) {
        let mut lines: Vec<Vec<u8>> =
            RECORDED.lines().map(|line| line.as_bytes().to_vec()).collect();
        for (line, at, byte) in edits {
            let line = line.index(lines.len());
            let at = at.index(lines[line].len());
            lines[line][at] = byte;
        }
        let mut codex = codex();
        drop(codex.begin());
        for line in lines {
            for act in codex.hear(&line) {
                if let Act::Ask(need) = act {
                    drop(codex.answer(&need.id, &answer::What::Text("x".into())));
                }
            }
        }
    }
}

use super::*;

/// One that has its thread, which plans, and has heard what it was told.
fn planning() -> Codex {
    let mut codex = codex();
    drop(codex.begin());
    for line in RECORDED.lines().take(3) {
        let mut line: Value = serde_json::from_str(line).unwrap();
        if line["id"] == OPEN {
            line["result"]["collaborationMode"] = json!({
                "mode": "plan",
                "settings": {
                    "model": "gpt-5.5", "reasoning_effort": "high", "developer_instructions": "plan",
                },
            });
        }
        hear(&mut codex, &line);
    }
    assert!(codex.thread.is_some());
    hear(&mut codex, &taken_up("prompt"));
    codex
}

fn proposed(turn: &str) -> Value {
    let item = json!({ "type": "plan", "id": format!("{turn}-plan"), "text": "# Plan\n1. x\n" });
    news("item/completed", json!({ "item": item, "turnId": turn }))
}

/// The question at the end of a turn that proposed a plan.
fn about_plan(codex: &mut Codex, turn: &str) -> wire::InputNeeded {
    let told = hear(codex, &proposed(turn));
    assert_eq!(told, [Act::Tell(What::Text("# Plan\n1. x".into()))]);
    asked(&hear(codex, &completed(turn)))
}

#[test]
fn a_plan_is_asked_about_and_carried_out_in_the_other_mode() {
    let mut codex = planning();
    let need = about_plan(&mut codex, TURN);
    assert_eq!(
        (need.kind.as_str(), need.text.as_str()),
        ("permission", "carry out this plan?\n# Plan\n1. x")
    );
    assert_eq!(codex.answer("another", &answer::What::Approved(wire::Approved {})), []);
    let acts = codex.answer(&need.id, &answer::What::Approved(wire::Approved {}));
    let [(name, line)] = &sent(&acts)[..] else { panic!("{acts:?}") };
    assert_eq!(line["params"]["input"][0]["text"], "Implement the plan.");
    let mode = &line["params"]["collaborationMode"];
    assert_eq!(mode["mode"], "default");
    assert_eq!(
        mode["settings"],
        json!({ "model": "gpt-5.5", "reasoning_effort": "high", "developer_instructions": null })
    );
    assert_eq!(codex.answer(&need.id, &answer::What::Approved(wire::Approved {})), [], "once");
    hear(
        &mut codex,
        &news(
            "thread/settings/updated",
            json!({ "threadSettings": { "collaborationMode": mode } }),
        ),
    );
    hear(&mut codex, &taken_up(name));
    // It plans no more: a plan is something that it says.
    drop(hear(&mut codex, &proposed("next")));
    assert!(hear(&mut codex, &completed("next")).contains(&Act::End));
}

#[test]
fn a_plan_that_is_not_wanted_is_made_again_and_what_is_said_is_another_answer() {
    for (why, told) in [("tests first ", "tests first"), ("", plan::NO)] {
        let mut codex = planning();
        let need = about_plan(&mut codex, TURN);
        let acts = codex.answer(&need.id, &answer::What::Denied(why.into()));
        let [(name, line)] = &sent(&acts)[..] else { panic!("{acts:?}") };
        assert_eq!(line["params"]["input"][0]["text"], told);
        assert_eq!(line["params"]["collaborationMode"], Value::Null);
        hear(&mut codex, &taken_up(name));
        let again = about_plan(&mut codex, "next");
        assert_ne!(again.id, need.id);
        let acts = codex.say(&said("7", "never mind"));
        assert_eq!(acts[0], Act::Void(again.id.clone()));
        assert_eq!(sent(&acts)[0].0, "say:7");
        assert_eq!(codex.answer(&again.id, &answer::What::Approved(wire::Approved {})), []);
        // One that proposes nothing ends as any other turn.
        hear(&mut codex, &taken_up("say:7"));
        assert!(hear(&mut codex, &completed("last")).contains(&Act::End));
    }
}

#[test]
fn a_plan_is_not_asked_about_where_something_was_said_meanwhile_or_the_turn_failed() {
    let mut codex = planning();
    drop(codex.say(&said("7", "wait")));
    hear(&mut codex, &proposed(TURN));
    let acts = hear(&mut codex, &completed(TURN));
    assert!(
        failure(&acts).is_some() && !acts.iter().any(|act| matches!(act, Act::Ask(_) | Act::End))
    );
    let mut codex = planning();
    hear(&mut codex, &proposed(TURN));
    let turn = json!({ "id": TURN, "status": "failed", "error": { "message": "no" } });
    let acts = hear(&mut codex, &news("turn/completed", json!({ "turn": turn })));
    assert!(failure(&acts).is_some_and(|why| !why.is_empty()) && acts.contains(&Act::End));
}

//! Threads of Codex and of the sub-agents that they spawned.

use super::*;

const SUB: &str = "01a202ce-d4ca-70f1-bcd2-5126226588ce";
const SUB_SUB: &str = "01a202cf-d4ca-70f1-bcd2-5126226588ce";
const OTHER: &str = "01a202d0-d4ca-70f1-bcd2-5126226588ce";

fn rollout(id: &str) -> String {
    format!("sessions/2026/11/22/rollout-2026-11-22T07-16-43-{id}.jsonl")
}

fn meta(id: &str, parent: &str) -> String {
    format!(
        "{{\"ordinal\":0,\"type\":\"session_meta\",\"payload\":{{\"id\":\"{id}\",\"session_id\":\"{ID}\",\"parent_thread_id\":\"{parent}\"}}}}\n"
    )
}

fn root() -> String {
    format!(
        "{{\"ordinal\":0,\"type\":\"session_meta\",\"payload\":{{\"id\":\"{ID}\",\"session_id\":\"{ID}\"}}}}\n"
    )
}

fn settings(ordinal: u32, policy: &str) -> String {
    format!(
        "{{\"ordinal\":{ordinal},\"type\":\"event_msg\",\"payload\":{{\"type\":\"thread_settings_applied\",\"thread_settings\":{{\"approval_policy\":\"{policy}\"}}}}}}\n"
    )
}

fn turn(ordinal: u32, says: &str) -> String {
    let context = format!(
        "{{\"ordinal\":{ordinal},\"type\":\"turn_context\",\"payload\":{{\"model\":\"m\"}}}}\n"
    );
    context
        + &format!(
            "{{\"ordinal\":{ordinal},\"type\":\"response_item\",\"payload\":{{\"says\":\"{says}\"}}}}\n"
        )
}

/// What was sent, and what came back: a thread that goes on with a sub-agent, and a new one that this
/// spawned.
fn sent_and_returned(laptop: &mut Laptop) -> ([String; 2], Session, Session) {
    let sent = [root() + &settings(1, "untrusted"), meta(SUB, ID) + &settings(1, "untrusted")];
    let base = laptop.of("codex", &[(&rollout(ID), &sent[0]), (&rollout(SUB), &sent[1])]);
    let more = turn(2, SUB) + &settings(3, "never");
    let returned = [&sent[0], &sent[1], &meta(SUB_SUB, SUB)].map(|sent| format!("{sent}{more}"));
    let [one, two, three] = &returned;
    let files = [(rollout(ID), one), (rollout(SUB), two), (rollout(SUB_SUB), three)];
    let files: Vec<(&str, &str)> =
        files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    (sent, base, laptop.of("codex", &files))
}

fn last_policy(text: &str) -> String {
    let record: serde_json::Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    record["payload"]["thread_settings"]["approval_policy"].as_str().unwrap().to_owned()
}

#[test]
fn sub_agents_go_forward_with_their_thread() {
    let mut laptop = Laptop::new();
    let (sent, base, session) = sent_and_returned(&mut laptop);
    laptop.put(&rollout(ID), &sent[0]);
    laptop.put(&rollout(SUB), &sent[1]);
    let imported = laptop.pull(&base, &session, false);
    assert_eq!((imported.mode, imported.left_out), (ImportMode::Forwarded, vec![]));
    assert_eq!(imported.spawned, [SUB, SUB_SUB]);
    for (id, policy) in [(ID, "untrusted"), (SUB, "untrusted"), (SUB_SUB, "on-request")] {
        let here = laptop.has(&rollout(id)).unwrap();
        assert!(here.contains("\"says\""), "{here}");
        assert_eq!(last_policy(&here), policy, "{id}");
    }
    // Whether Codex was ever told of them, nobody knows.
    let again = laptop.pull(&base, &session, false);
    assert_eq!((again.mode, again.spawned), (ImportMode::UpToDate, imported.spawned));
    // One that is not here any more belongs to what is here.
    fs::remove_file(laptop.directory.path().join(rollout(SUB_SUB))).unwrap();
    assert_eq!(laptop.pull(&base, &session, false).mode, ImportMode::UpToDate);
    assert!(laptop.has(&rollout(SUB_SUB)).is_some());
}

#[test]
fn where_one_of_them_went_on_here_or_is_open_all_are_a_fork() {
    for (held, moved, mode) in [
        (None, Some(SUB), ImportMode::Forked),
        (None, Some(ID), ImportMode::Forked),
        (Some(SUB), None, ImportMode::ForkedWhileOpen),
        (Some(ID), None, ImportMode::ForkedWhileOpen),
    ] {
        let mut laptop = Laptop::new();
        let (sent, base, session) = sent_and_returned(&mut laptop);
        let mut here = Vec::new();
        for (id, sent) in [(ID, &sent[0]), (SUB, &sent[1])] {
            let own = if moved == Some(id) { turn(2, "here") } else { String::new() };
            here.push((rollout(id), format!("{sent}{own}")));
        }
        here.iter().for_each(|(path, text)| laptop.put(path, text));
        let imported = laptop.import(Some(&base), &session, |id| held == Some(id)).unwrap();
        assert_eq!(imported.mode, mode);
        for (path, text) in &here {
            assert_eq!(laptop.has(path).as_ref(), Some(text), "{path}");
        }
        assert_eq!(laptop.has(&rollout(SUB_SUB)), None);
        // Its files name each other by their new names only.
        let day = laptop.directory.path().join("sessions/2026/11/22");
        let files = fs::read_dir(day).unwrap().map(|entry| entry.unwrap().path());
        let texts: Vec<String> = files.map(|path| fs::read_to_string(path).unwrap()).collect();
        let forked: Vec<&String> =
            texts.iter().filter(|text| text.contains(&imported.session_id)).collect();
        assert_eq!((texts.len(), forked.len()), (5, 3));
        for text in forked {
            assert!(![ID, SUB, SUB_SUB].iter().any(|id| text.contains(id)), "{text}");
            assert_ne!(last_policy(text), "never");
        }
        let again = laptop.import(Some(&base), &session, |id| held == Some(id)).unwrap();
        assert_eq!((again.mode, again.session_id), (ImportMode::UpToDate, imported.session_id));
        assert_eq!((again.spawned.len(), again.spawned), (2, imported.spawned));
    }
}

#[test]
fn what_is_no_sub_agent_of_the_thread_stays_there() {
    let more = turn(1, "x");
    let mine = meta(OTHER, "01a20200-d4ca-70f1-bcd2-5126226588ce") + &turn(1, "mine");
    let at_another_time = rollout(OTHER).replace("T07", "T08");
    for (path, text) in [
        // It has the name of a thread that is here, in its place or in another one.
        (rollout(OTHER), meta(OTHER, ID)),
        (at_another_time.clone(), meta(OTHER, ID)),
        (at_another_time.clone(), mine.clone()),
        // Agents take it for the same name.
        (rollout(&OTHER.to_uppercase()), meta(&OTHER.to_uppercase(), ID)),
        // What it says of itself is something else, or its parent no part of it.
        (rollout(SUB), meta(SUB_SUB, ID)),
        (rollout(SUB), meta(SUB, OTHER)),
        (rollout(SUB), meta(SUB, SUB)),
        (
            rollout(SUB),
            meta(SUB, ID).replace(&format!("\"session_id\":\"{ID}"), "\"session_id\":\"x"),
        ),
        (rollout(SUB), root()),
        (rollout(SUB), "{}\n".to_owned()),
        // Nothing tells how it could be opened safely.
        (
            rollout(SUB),
            meta(SUB, ID).replace("\"ordinal\":0", &format!("\"ordinal\":{}", u64::MAX)),
        ),
    ] {
        let mut laptop = Laptop::new();
        let base = laptop.of("codex", &[(&rollout(ID), &root())]);
        let all = format!("{}{more}", root());
        let theirs = format!("{text}{more}");
        let session = laptop.of("codex", &[(&rollout(ID), &all), (&path, &theirs)]);
        laptop.put(&rollout(ID), &root());
        laptop.put(&rollout(OTHER), &mine);
        let imported = laptop.pull(&base, &session, false);
        assert_eq!(imported.mode, ImportMode::Forwarded, "{text}");
        assert!(imported.left_out.len() == 1 && imported.left_out[0].starts_with(&path), "{text}");
        assert_eq!(laptop.has(&rollout(OTHER)).as_ref(), Some(&mine), "{text}");
        assert!(path == rollout(OTHER) || laptop.has(&path).is_none(), "{text}");
    }
}

#[test]
fn a_thread_that_was_sent_to_be_read_stays_as_it_is() {
    let old = meta(OTHER, "01a20200-d4ca-70f1-bcd2-5126226588ce").replace(ID, OTHER);
    let beginning = rollout(ID).replace("T07", "T06");
    for theirs in [old.clone(), format!("{old}{}", turn(1, "x")), meta(OTHER, ID)] {
        let mut laptop = Laptop::new();
        let (path, first) = (rollout(OTHER), root() + &turn(1, "first"));
        let sent = [(rollout(ID), root()), (path.clone(), old.clone()), (beginning.clone(), first)];
        let sent: Vec<(&str, &str)> =
            sent.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
        let base = laptop.of("codex", &sent);
        sent.iter().for_each(|(path, text)| laptop.put(path, text));
        let all = format!("{}{}", root(), turn(1, "x"));
        let session =
            laptop.of("codex", &[(sent[0].0, &all), (&path, &theirs), (sent[2].0, sent[2].1)]);
        let imported = laptop.pull(&base, &session, false);
        assert_eq!(imported.mode, ImportMode::Forwarded);
        assert_eq!(imported.left_out.is_empty(), theirs == old);
        assert_eq!(laptop.has(&path).as_ref(), Some(&old));
        assert_eq!(laptop.has(&beginning).as_deref(), Some(sent[2].1));
        // A fork begins in a copy of the file in which the thread does.
        laptop.put(&rollout(ID), &format!("{}{}", root(), turn(1, "here")));
        let fork = laptop.pull(&base, &session, false);
        assert_eq!(fork.mode, ImportMode::Forked);
        let copy = laptop.has(&beginning.replace(ID, &fork.session_id)).unwrap();
        assert_eq!(copy, sent[2].1.replace(ID, &fork.session_id));
    }
}

#[test]
fn a_new_thread_does_not_come_before_one_of_the_same_name() {
    let mut laptop = Laptop::new();
    let base = laptop.of("codex", &[("AGENTS.md", "x")]);
    let all = format!("{}{}", root(), turn(1, "x"));
    let session = laptop.of("codex", &[(&rollout(ID), &all)]);
    let mine = rollout(ID).replace("T07", "T06");
    laptop.put(&mine, &root());
    let imported = laptop.pull(&base, &session, false);
    assert_eq!(imported.mode, ImportMode::Forked);
    assert_eq!((laptop.has(&mine), laptop.has(&rollout(ID))), (Some(root()), None));
    assert!(laptop.has(&rollout(&imported.session_id)).is_some());
}

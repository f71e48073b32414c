use handoff_proto::{
    manifest::SnapshotId,
    run::{Record, RunId, RunName},
};

use super::*;

fn queued() -> Event {
    Event::Queued {
        id: RunId::parse("abcaaaaaaa").unwrap(),
        name: RunName::parse("one").unwrap(),
        user: "ada".into(),
        idempotency_key: vec![],
        snapshot: SnapshotId::from_bytes([0; 32]),
        contract: Box::default(),
    }
}

fn record(seq: u64, event: Event) -> Record {
    Record { seq, at_unix_nanos: 1, event }
}

/// A run that asks something.
fn asking(id: &str) -> Run {
    let mut run = Run::open(&record(1, queued())).unwrap();
    let need = wire::InputNeeded { id: id.into(), ..Default::default() };
    for event in [
        Event::Claimed { worker: "w".into(), epoch: 1, host_uid: None },
        Event::Started(wire::Isolation::default()),
        Event::InputNeeded(need),
    ] {
        run.apply(&record(run.last_seq + 1, event)).unwrap();
    }
    run
}

#[test]
fn no_question_outlives_what_was_said_instead_of_an_answer() {
    let said = wire::Said { id: "7".into(), text: "never mind".into(), by: "ada".into() };
    let acts = [Act::Void("q".into()), Act::Send { id: "say:7".into(), line: "x\n".into() }];
    let mut run = asking("q");
    // One append holds all of it, or none.
    for event in spoken(&run, said.clone(), &acts) {
        run.apply(&record(run.last_seq + 1, event)).unwrap();
    }
    assert_eq!(run.agent.said, std::slice::from_ref(&said));
    assert_eq!((run.state, run.agent.answers["q"].as_ref()), (State::Running, None));
    // Another one is open still.
    assert_eq!(spoken(&asking("p"), said.clone(), &acts), [Event::Said(said)]);
}

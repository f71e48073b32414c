//! Random event sequences against the fold.

use proptest::{collection::vec, option, prelude::*, sample::Index};

use super::*;
use crate::{
    manifest::{ResultId, SnapshotId},
    wire::{self, heard::What},
};

fn queued() -> Record {
    let id = RunId::from_random([7; RUN_ID_LEN]);
    let contract = wire::Contract {
        command: vec![b"make".to_vec()],
        root: b"/home/a/src".to_vec(),
        directory: b"/home/a/src".to_vec(),
        ..wire::Contract::default()
    };
    Record {
        seq: 1,
        at_unix_nanos: 5,
        event: Event::Queued {
            name: RunName::for_command(&contract.command, &id),
            id,
            user: "ada".to_owned(),
            idempotency_key: vec![1; 32],
            snapshot: SnapshotId::from_bytes([3; 32]),
            contract: Box::new(contract),
        },
    }
}

fn need() -> wire::InputNeeded {
    let choice = |label: &str| wire::Choice { label: label.into(), description: String::new() };
    wire::InputNeeded {
        id: "q1".into(),
        kind: "question".into(),
        text: "which?".into(),
        choices: vec![choice("this"), choice("that")],
        several: false,
    }
}

fn answered(id: &str) -> Event {
    let answer = Some(wire::answer::What::Text("this".into()));
    Event::InputAnswered { id: id.into(), answer, by: "ada".into() }
}

fn heard(position: u64, what: What) -> Event {
    Event::Heard(Heard { position, what })
}

fn ready() -> What {
    What::Ready(wire::AgentReady {
        version: "1".into(),
        session_id: "s".into(),
        ..Default::default()
    })
}

fn another_turn() -> Event {
    Event::TurnQueued(wire::TurnQueued { text: "go on".into(), by: "ada".into(), id: "2".into() })
}

fn harvest() -> HarvestRecord {
    HarvestRecord {
        result: Some(ResultId::from_bytes([9; 32])),
        branch: "refs/heads/main".into(),
        files_added: 1,
        files_modified: 2,
        files_removed: 3,
        failure: String::new(),
        notes: vec!["left out `fifo`: not a file".into()],
    }
}

fn events() -> Vec<Event> {
    vec![
        queued().event,
        Event::Claimed { worker: "w".into(), epoch: 1, host_uid: None },
        Event::Claimed { worker: "w".into(), epoch: 2, host_uid: None },
        Event::Started(wire::Isolation::default()),
        Event::InputNeeded(need()),
        answered("q1"),
        answered("other"),
        heard(3, ready()),
        heard(9, What::Text("hello".into())),
        heard(5, What::TurnEnded(wire::TurnEnded::default())),
        Event::Said(wire::Said { id: "1".into(), text: "and tests".into(), by: "ada".into() }),
        another_turn(),
        Event::Resumed("machine went down".into()),
        Event::Attached(wire::Attached { by: "ada".into(), id: "3".into(), writes: true }),
        Event::Detached(wire::Detached { by: "ada".into(), id: "3".into() }),
        Event::SeatsFull(100),
        Event::Paused("ada".into()),
        Event::Continued("ada".into()),
        Event::StopRequested("ada".into()),
        Event::OutputLimited(10),
        Event::Denied(wire::Denied { host: "evil.test".into(), port: 443, ..Default::default() }),
        Event::Used(wire::Used { provider: "anthropic".into(), requests: 1, ..Default::default() }),
        Event::Exited(Exit::Code(0)),
        Event::Exited(Exit::Lost("machine went down".into())),
        Event::Exited(Exit::Refused { step: "seccomp".into(), detail: "no".into() }),
        Event::ResultRecorded(harvest()),
        Event::Finished { outcome: Outcome::Succeeded, detail: String::new() },
        Event::Finished { outcome: Outcome::Cancelled, detail: "stopped".into() },
    ]
}

fn fold(events: &[Event]) -> Result<Run, IllegalEvent> {
    let mut run = Run::open(&queued())?;
    for (event, seq) in events.iter().zip(2..) {
        run.apply(&Record { seq, at_unix_nanos: 6, event: event.clone() })?;
    }
    Ok(run)
}

#[test]
fn the_happy_path_ends_in_finished() {
    let run = fold(&[
        Event::Claimed { worker: "w".into(), epoch: 1, host_uid: None },
        Event::Started(wire::Isolation::default()),
        Event::Exited(Exit::Code(0)),
        Event::ResultRecorded(harvest()),
        Event::Finished { outcome: Outcome::Succeeded, detail: String::new() },
    ])
    .unwrap();
    assert_eq!(run.state.name(), "finished");
    assert_eq!(run.last_seq, 6);
    let view = wire::RunView::from(&run);
    assert_eq!((view.exit_code, view.outcome.as_str()), (Some(0), "succeeded"));
}

#[test]
fn an_illegal_event_names_state_and_event() {
    let error = fold(&[Event::Started(wire::Isolation::default())]).unwrap_err();
    assert_eq!(error.to_string(), "event started (record 2) is illegal in state queued");
}

#[test]
fn a_claim_is_taken_over_only_with_a_newer_epoch() {
    let claim = |epoch| Event::Claimed { worker: "w".into(), epoch, host_uid: None };
    assert!(fold(&[claim(1), claim(2)]).is_ok());
    assert_eq!(fold(&[claim(2), claim(2)]).unwrap_err(), IllegalEvent::Epoch { got: 2, last: 2 });
}

#[test]
fn a_log_must_start_with_queued_as_record_one() {
    let record = Record { seq: 1, at_unix_nanos: 0, event: Event::Paused("ada".into()) };
    assert_eq!(Run::open(&record).unwrap_err(), IllegalEvent::First { event: "paused" });
    assert!(Run::open(&Record { seq: 2, ..queued() }).is_err());
}

#[test]
fn an_event_of_a_newer_version_is_counted_and_ignored() {
    let newer = wire::RunRecord { seq: 2, at_unix_nanos: 9, event: None };
    let record = Record::try_from(newer).unwrap();
    let mut run = Run::open(&queued()).unwrap();
    run.apply(&record).unwrap();
    assert_eq!((run.state.name(), run.last_seq), ("queued", 2));
}

fn running(events: &[Event]) -> Run {
    let start = [
        Event::Claimed { worker: "w".into(), epoch: 1, host_uid: None },
        Event::Started(wire::Isolation::default()),
    ];
    fold(&[&start[..], events].concat()).unwrap()
}

#[test]
fn a_question_is_answered_once() {
    let run = running(&[Event::InputNeeded(need()), answered("q1")]);
    assert_eq!(run.state.name(), "running");
    let this = Some(wire::answer::What::Text("this".into()));
    assert_eq!(run.agent.answers, [("q1".to_owned(), this)].into());
    let again = Record { seq: run.last_seq + 1, at_unix_nanos: 7, event: answered("q1") };
    run.clone().apply(&again).unwrap_err();
    let mut waiting = running(&[Event::InputNeeded(need())]);
    waiting.apply(&Record { seq: 5, at_unix_nanos: 7, event: answered("other") }).unwrap_err();
}

#[test]
fn an_agent_that_was_interrupted_goes_on_in_another_job() {
    let said = wire::Said { id: "1".into(), text: "and tests".into(), by: "ada".into() };
    let run = running(&[
        heard(3, ready()),
        heard(9, What::Text("hello".into())),
        Event::Said(said.clone()),
        Event::InputNeeded(need()),
    ]);
    assert_eq!((run.job, run.agent.heard, run.agent.said.as_slice()), (1, 9, &[said][..]));
    let mut resumed = run;
    let why = Event::Resumed("machine went down".into());
    resumed.apply(&Record { seq: resumed.last_seq + 1, at_unix_nanos: 7, event: why }).unwrap();
    assert_eq!(resumed.state.name(), "preparing");
    let agent = &resumed.agent;
    assert_eq!((resumed.job, agent.heard, agent.resumes, agent.said.len()), (2, 0, 1, 0));
    assert!(agent.has_begun);
    assert_eq!((agent.session_id.as_str(), agent.text.as_str()), ("s", "hello"));
}

#[test]
fn a_finished_run_goes_on_with_another_turn() {
    let run = running(&[
        heard(3, ready()),
        Event::StopRequested("ada".into()),
        Event::Exited(Exit::Signal(15)),
        Event::ResultRecorded(harvest()),
        Event::Finished { outcome: Outcome::Cancelled, detail: String::new() },
        another_turn(),
    ]);
    assert_eq!((run.state.name(), run.job, run.stop_requested), ("queued", 2, false));
    assert_eq!((run.exit.as_ref(), run.harvest.as_ref()), (None, None));
    assert_eq!(run.agent.prompt, "go on");
    let view = wire::RunView::from(&run);
    assert!(view.outcome.is_empty() && view.result.is_empty(), "{view:?}");
}

/// The stored form with bytes replaced, or cut off where there is none to replace it with.
fn damaged(record: &Record, edits: &[(Index, Option<u8>)]) -> Vec<u8> {
    let mut bytes = record.encode();
    for (at, byte) in edits {
        if bytes.is_empty() {
            break;
        }
        let at = at.index(bytes.len());
        match byte {
            Some(byte) => bytes[at] = *byte,
            None => bytes.truncate(at),
        }
    }
    bytes
}

fn edits() -> impl Strategy<Value = Vec<(Index, Option<u8>)>> {
    vec((any::<Index>(), option::weighted(0.9, any::<u8>())), 0..4)
}

/// Applies what can be read of a stored record as the next one.
fn apply_damaged(run: &mut Run, bytes: &[u8]) -> Result<(), TestCaseError> {
    let Ok(record) = Record::decode(bytes) else { return Ok(()) };
    prop_assert_eq!(&Record::decode(&record.encode()).unwrap(), &record);
    let before = run.clone();
    if run.apply(&Record { seq: run.last_seq + 1, ..record }).is_err() {
        prop_assert_eq!(&*run, &before);
    }
    let view = wire::RunView::from(&*run);
    prop_assert!(view.denied.len() <= DENIED_MAX);
    prop_assert!(view.used.len() <= USED_MAX);
    Ok(())
}

proptest! {
    #[test]
    fn a_damaged_log_folds_as_far_as_it_can_be_read(
        damage in vec((0..events().len(), edits()), 0..40),
    ) {
        let all = events();
        let mut run = Run::open(&queued()).unwrap();
        for (pick, edits) in damage {
            let record = Record { seq: 2, at_unix_nanos: 7, event: all[pick].clone() };
            apply_damaged(&mut run, &damaged(&record, &edits))?;
        }
    }

    #[test]
    fn no_sequence_makes_a_run_grow_past_its_bounds(
        news in vec((any::<u16>(), any::<bool>(), edits()), 300),
    ) {
        let mut run = fold(&[
            Event::Claimed { worker: "w".into(), epoch: 1, host_uid: None },
            Event::Started(wire::Isolation::default()),
        ])
        .unwrap();
        for (number, denied, edits) in news {
            let name = format!("{number}.test");
            let event = if denied {
                Event::Denied(wire::Denied { host: name, port: 443, ..Default::default() })
            } else {
                Event::Used(wire::Used { provider: name, requests: 1, ..Default::default() })
            };
            let record = Record { seq: 2, at_unix_nanos: 7, event };
            apply_damaged(&mut run, &damaged(&record, &edits))?;
        }
        prop_assert!(!run.denied.is_empty() && !run.used.is_empty());
    }

    #[test]
    fn any_sequence_folds_or_is_refused_without_a_change(
        picks in vec(0..events().len(), 0..40),
    ) {
        let all = events();
        let mut run = Run::open(&queued()).unwrap();
        for pick in picks {
            let before = run.clone();
            let record =
                Record { seq: run.last_seq + 1, at_unix_nanos: 7, event: all[pick].clone() };
            match run.apply(&record) {
                Ok(()) => {
                    prop_assert_eq!(run.last_seq, before.last_seq + 1);
                    let goes_on = matches!(record.event, Event::TurnQueued(_));
                    prop_assert!(!before.is_finished() || goes_on, "nothing else after the end");
                    prop_assert!(run.job >= before.job, "no job is run twice");
                }
                Err(error) => {
                    prop_assert_eq!(&run, &before);
                    if let IllegalEvent::State { event, state, .. } = error {
                        prop_assert_eq!(event, record.event.name());
                        prop_assert_eq!(state, before.state.name());
                    }
                }
            }
        }
    }

    #[test]
    fn gaps_and_repeats_are_refused(seq in 0u64..20) {
        let mut run = Run::open(&queued()).unwrap();
        let record = Record { seq, at_unix_nanos: 7, event: Event::StopRequested("ada".into()) };
        prop_assert_eq!(run.apply(&record).is_ok(), seq == 2);
    }

    #[test]
    fn records_survive_their_stored_form(pick in 0..events().len(), seq in 1u64..1000) {
        let record = Record { seq, at_unix_nanos: -3, event: events()[pick].clone() };
        prop_assert_eq!(Record::decode(&record.encode()).unwrap(), record);
    }

    #[test]
    fn decoding_any_bytes_never_panics(bytes in vec(any::<u8>(), 0..400)) {
        drop(Record::decode(&bytes));
    }
}

#[test]
fn only_the_time_in_which_it_could_work_is_counted() {
    let mut run = Run::open(&queued()).unwrap();
    let mut apply = |at_unix_nanos, event| {
        let seq = run.last_seq + 1;
        run.apply(&Record { seq, at_unix_nanos, event }).unwrap();
        let view = wire::RunView::from(&run);
        (view.worked_nanos, view.working_since_unix_nanos)
    };
    let started = || Event::Started(wire::Isolation::default());
    let claimed = |epoch| Event::Claimed { worker: "w".into(), epoch, host_uid: None };
    assert_eq!(apply(10, claimed(1)), (0, 0));
    assert_eq!(apply(100, started()), (0, 100));
    assert_eq!(apply(130, Event::OutputLimited(1)), (0, 100));
    assert_eq!(apply(140, Event::InputNeeded(need())), (40, 0));
    assert_eq!(apply(150, Event::OutputLimited(1)), (40, 0));
    assert_eq!(apply(5000, answered("q1")), (40, 5000));
    assert_eq!(apply(5010, Event::Resumed("machine went down".into())), (50, 0));
    assert_eq!(apply(6000, started()), (50, 6000));
    // The clock of the machine was put back.
    assert_eq!(apply(5999, Event::Paused("ada".into())), (50, 0));
    assert_eq!(apply(7000, Event::Continued("ada".into())), (50, 7000));
    assert_eq!(apply(7001, Event::Exited(Exit::Code(0))), (51, 0));
    apply(7002, Event::ResultRecorded(harvest()));
    let finished = Event::Finished { outcome: Outcome::Succeeded, detail: String::new() };
    assert_eq!(apply(7003, finished), (51, 0));
    assert_eq!(apply(7004, another_turn()), (0, 0));
}

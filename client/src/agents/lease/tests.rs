//! A session is held by one, and whoever wants it is told by whom.

use handoff_proto::manifest::SnapshotId;
use proptest::collection::vec;
use proptest::prelude::{Strategy, any, prop_assert, prop_assert_eq, prop_oneof};

use super::*;
use crate::outbox::{Entry, Outbox, Standing};
use crate::transfer::Offer;

const SESSION: &str = "6c933c51-1e5b-4dd1-8332-37fcecbef9ef";

fn run(number: u8) -> RunId {
    RunId::from_random([number; 10])
}

fn holder(number: u8, remote: &str) -> LeaseHolder {
    LeaseHolder {
        run: run(number).to_string(),
        name: format!("run-{number}"),
        remote: remote.to_owned(),
        prompt: prompt_hash("go on"),
        since_unix_nanos: 7,
    }
}

fn leases(home: &Path) -> Leases {
    Leases::new(&Places::beneath(home))
}

#[test]
fn a_session_is_held_until_its_own_run_releases_it_and_the_number_only_grows() {
    let home = tempfile::tempdir().unwrap();
    let leases = leases(home.path());
    assert_eq!(leases.held("claude", SESSION).unwrap(), None);
    assert!(!leases.release("claude", SESSION, &run(1)).unwrap());
    assert_eq!(leases.hold("claude", SESSION, &holder(1, "box")).unwrap(), 1);
    assert_eq!(leases.hold("claude", SESSION, &holder(1, "box")).unwrap(), 1);
    let lease = leases.held("claude", SESSION).unwrap().unwrap();
    assert_eq!(lease, Lease { number: 1, holder: holder(1, "box") });
    assert_eq!(leases.held("codex", SESSION).unwrap(), None);
    assert!(!leases.release("claude", SESSION, &run(2)).unwrap());
    assert!(leases.release("claude", SESSION, &run(1)).unwrap());
    assert_eq!(leases.held("claude", SESSION).unwrap(), None);
    assert_eq!(leases.hold("claude", SESSION, &holder(2, "box")).unwrap(), 2);
}

#[test]
fn a_removed_run_and_a_removed_remote_hold_nothing() {
    let home = tempfile::tempdir().unwrap();
    let leases = leases(home.path());
    assert_eq!(leases.release_run(&run(1)).unwrap(), 0);
    for (number, session, remote) in [(1, "one", "box"), (2, "two", "box"), (3, "three", "x")] {
        leases.hold("codex", session, &holder(number, remote)).unwrap();
    }
    assert_eq!(leases.release_run(&run(1)).unwrap(), 1);
    assert_eq!(leases.held("codex", "one").unwrap(), None);
    assert_eq!(leases.release_remote("box").unwrap(), 1);
    assert_eq!(leases.release_called("run-3", Some("box")).unwrap(), 0);
    assert_eq!(leases.release_called("run-3", None).unwrap(), 1);
    assert_eq!(leases.held("codex", "three").unwrap(), None);
}

#[test]
fn what_is_no_id_reaches_no_file_and_a_damaged_file_holds_nothing() {
    let home = tempfile::tempdir().unwrap();
    let leases = leases(home.path());
    for session in ["", "..", "a/b", "a b", &"x".repeat(SESSION_LEN_MAX + 1)] {
        assert!(leases.held("claude", session).is_err(), "{session}");
    }
    leases.hold("claude", SESSION, &holder(1, "box")).unwrap();
    std::fs::write(leases.file("claude", SESSION).unwrap(), "{").unwrap();
    assert_eq!(leases.held("claude", SESSION).unwrap(), None);
}

#[test]
fn a_session_is_one_handoffs_alone() {
    let home = tempfile::tempdir().unwrap();
    let leases = leases(home.path());
    let claim = |session| leases.claim("claude", session, Duration::ZERO).unwrap();
    assert!(!leases.is_claimed("claude", SESSION));
    let first = claim(SESSION).expect("it is free");
    assert!(!first.had_to_wait && leases.is_claimed("claude", SESSION));
    assert!(claim(SESSION).is_none() && claim("another").is_some());
    std::thread::scope(|scope| {
        let wait = || leases.claim("claude", SESSION, Duration::from_secs(60)).unwrap();
        let second = scope.spawn(wait);
        // Whichever of the two comes first.
        drop(first);
        assert!(second.join().unwrap().is_some());
    });
    assert!(!leases.is_claimed("claude", SESSION));
}

/// An entry of the outbox as a handoff of the session leaves it.
fn entry(key: u8, terms: wire::AgentTerms) -> Entry {
    let contract = wire::Contract {
        agent: "claude".to_owned(),
        session_id: SESSION.to_owned(),
        agent_terms: Some(terms),
        ..wire::Contract::default()
    };
    let offer = Offer::again([key; 32], format!("run-{key}"), contract);
    Entry {
        id: Entry::id_of(&offer),
        offer,
        remote: "box".to_owned(),
        daemon: "abc".to_owned(),
        root: "/w".parse().unwrap(),
        include: Vec::new(),
        exclude: Vec::new(),
        snapshot: SnapshotId::of(b""),
        at_unix_nanos: 7,
        standing: Standing::Sending,
    }
}

fn told() -> wire::AgentTerms {
    wire::AgentTerms { prompt: "go on".to_owned(), ..wire::AgentTerms::default() }
}

#[test]
fn a_handoff_that_waits_to_be_sent_holds_its_session_until_its_run_does() {
    let home = tempfile::tempdir().unwrap();
    let places = Places::beneath(home.path());
    let outbox = Outbox::new(&places);
    let holder = |agent| super::holder(&places, agent, SESSION).unwrap();
    assert_eq!(holder("claude"), None);
    let held = outbox.keep(entry(1, told()), b"").unwrap();
    let Some(Holder::Unsent { of, standing }) = holder("claude") else { panic!("it is free") };
    assert_eq!((of.name.as_str(), of.prompt.as_str()), ("run-1", &*prompt_hash("go on")));
    assert_eq!(standing, Standing::Sending);
    assert_eq!(holder("codex"), None);
    // Its receipt has come, whoever sent it.
    let view =
        wire::RunView { id: run(1).to_string(), name: "run-1".to_owned(), ..Default::default() };
    hold_for(&places, &held.entry().offer.contract, &view, "box").unwrap();
    held.discard().unwrap();
    assert!(matches!(holder("claude"), Some(Holder::Run(lease)) if lease.holder.name == "run-1"));
    Leases::new(&places).release_run(&run(1)).unwrap();
    // The next one is given up.
    let held = outbox.keep(entry(2, told()), b"").unwrap();
    assert!(holder("claude").is_some());
    held.discard().unwrap();
    assert_eq!(holder("claude"), None);
}

#[test]
fn a_copy_and_a_session_that_begins_there_are_nobodys_here() {
    let home = tempfile::tempdir().unwrap();
    let places = Places::beneath(home.path());
    let copy = wire::AgentTerms { forked_from: "x".to_owned(), ..told() };
    for terms in [copy, wire::AgentTerms { is_new: true, ..told() }] {
        drop(Outbox::new(&places).keep(entry(3, terms), b"").unwrap());
    }
    assert_eq!(super::holder(&places, "claude", SESSION).unwrap(), None);
}

#[test]
fn a_run_that_holds_a_session_is_known_whatever_is_wrong_with_the_outbox() {
    let home = tempfile::tempdir().unwrap();
    let places = Places::beneath(home.path());
    drop(Outbox::new(&places).keep(entry(4, told()), b"").unwrap());
    let directory = places.outbox().join(entry(4, told()).id.as_str());
    std::fs::write(directory.join("entry.json"), "{").unwrap();
    let error = super::holder(&places, "claude", SESSION).unwrap_err();
    assert!(error.hint().unwrap().contains("remove"), "{error}");
    Leases::new(&places).hold("claude", SESSION, &holder(1, "box")).unwrap();
    assert!(super::holder(&places, "claude", SESSION).unwrap().is_some());
}

/// What may happen to a session.
#[derive(Clone, Copy, Debug)]
enum Act {
    Hold(u8),
    Release(u8),
    ReleaseRun(u8),
    ReleaseRemote,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        any::<u8>().prop_map(|run| Act::Hold(run % 4)),
        any::<u8>().prop_map(|run| Act::Release(run % 4)),
        any::<u8>().prop_map(|run| Act::ReleaseRun(run % 4)),
        any::<bool>().prop_map(|_| Act::ReleaseRemote),
    ]
}

proptest::proptest! {
    #[test]
    fn whatever_happens_one_run_holds_a_session_and_the_number_only_grows(acts in vec(act(), 0..12)) {
        let home = tempfile::tempdir().unwrap();
        let leases = leases(home.path());
        let (mut holds, mut number) = (None, 0);
        for act in acts {
            match act {
                Act::Hold(wants) => {
                    let got = leases.hold("claude", SESSION, &holder(wants, "box"));
                    match holds {
                        None => {
                            number += 1;
                            holds = Some(wants);
                            prop_assert_eq!(got.unwrap(), number);
                        }
                        Some(holds) if holds == wants => prop_assert_eq!(got.unwrap(), number),
                        Some(_) => {
                            let is_held = matches!(got, Err(LeaseError::Held { .. }));
                            prop_assert!(is_held);
                        }
                    }
                }
                Act::Release(gives) => {
                    let released = leases.release("claude", SESSION, &run(gives)).unwrap();
                    prop_assert_eq!(released, holds == Some(gives));
                    holds = holds.filter(|holds| *holds != gives);
                }
                Act::ReleaseRun(gives) => {
                    leases.release_run(&run(gives)).unwrap();
                    holds = holds.filter(|holds| *holds != gives);
                }
                Act::ReleaseRemote => {
                    leases.release_remote("box").unwrap();
                    holds = None;
                }
            }
            let held = leases.held("claude", SESSION).unwrap();
            prop_assert_eq!(held.map(|held| (held.holder.name, held.number)),
                holds.map(|holds| (format!("run-{holds}"), number)));
        }
    }
}

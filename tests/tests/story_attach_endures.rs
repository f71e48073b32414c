//! A terminal on a run, where something gets in the way: ends, limits, signals, long pastes.

use std::fs::File;
use std::path::{Path, PathBuf};

use handoff_tests::{terminal::Seat, world::World};
use rustix::process::{Pid, Signal, kill_process};

/// Keys that detach.
const DETACH: &str = "\x1cd";

/// A user whose own daemon has these settings.
fn world_with(settings: &str) -> World {
    let world = World::new();
    world.configure(settings);
    world
}

fn hand_off(world: &World, name: &str, words: &[&str]) -> PathBuf {
    let tree = world.directory(name);
    let id = world.hand_off(&tree, [&["--tty", "-n", name][..], words].concat());
    assert!(!id.is_empty());
    tree
}

fn attach(world: &World, tree: &Path, name: &str) -> Seat {
    Seat::handoff(world, tree, &["attach", name])
}

fn send(seat: &Seat, signal: Signal) {
    let process = i32::try_from(seat.process()).ok().and_then(Pid::from_raw);
    kill_process(process.expect("pid"), signal).expect("signal");
}

#[test]
fn who_was_away_when_the_run_ended_is_shown_its_end() {
    let world = World::new();
    let script = "trap 'echo last words; exit 7' TERM; echo up; while :; do sleep 0.1; done";
    let tree = hand_off(&world, "ended", &["sh", "-c", script]);
    let mut seat = attach(&world, &tree, "ended");
    seat.until("up");
    // It notices nothing before all is over.
    send(&seat, Signal::STOP);
    world.kill_daemon();
    world.handoff(&tree, ["stop", "ended"]).ok();
    assert_eq!(world.finished(&tree, "ended")["outcome"], "cancelled");
    send(&seat, Signal::CONT);
    seat.until("trying again");
    seat.until("last words");
    seat.until("command of ended has ended");
    seat.until("run ended: cancelled");
    assert!(seat.is_cooked());
    assert_eq!(seat.ends(), 3);
}

#[test]
fn what_is_typed_while_the_connection_is_away_reaches_no_run() {
    let world = World::new();
    let tree = hand_off(&world, "away", &["bash", "--norc", "-i"]);
    let mut seat = attach(&world, &tree, "away");
    seat.until("attached to away");
    seat.types("echo be''fore\r");
    seat.until("before");
    // Whoever has this starts the daemon again.
    let start = File::create(world.local_daemon().join("start.lock")).expect("create");
    start.lock().expect("lock");
    world.kill_daemon();
    seat.until("trying again");
    assert!(seat.is_cooked());
    seat.types("echo mean''while\recho half a line");
    // It is shown once the terminal has it.
    seat.until("half a line");
    drop(start);
    seat.until("what was typed meanwhile is lost");
    seat.until("attached to away");
    seat.types("echo aft''erwards\r");
    seat.until("afterwards");
    seat.types("exit\r");
    seat.until("run away: succeeded");
    assert_eq!(seat.ends(), 0);
    let logs = world.handoff(&tree, ["logs", "away"]).ok();
    assert!(logs.contains("afterwards") && !logs.contains("while"), "{logs:?}");
}

#[test]
fn who_waits_for_a_run_to_begin_is_ended_by_every_signal() {
    let world = world_with("[runs]\nconcurrent = 1\n");
    let tree = hand_off(&world, "first", &["sleep", "1000"]);
    world.hand_off(&tree, ["--tty", "-n", "second", "bash", "--norc", "-i"]);
    for signal in [Signal::HUP, Signal::TERM, Signal::INT, Signal::QUIT] {
        let mut seat = attach(&world, &tree, "second");
        seat.until("second is queued");
        send(&seat, signal);
        seat.until("detached from second");
        assert!(seat.is_cooked());
        assert_eq!(seat.ends(), 130, "{signal:?}");
    }
    let mut seat = attach(&world, &tree, "second");
    seat.until("second is queued");
    world.handoff(&tree, ["stop", "first"]).ok();
    seat.until("attached to second");
    seat.types("exit\r");
    seat.until("run second: succeeded");
    assert_eq!(seat.ends(), 0);
}

#[test]
fn who_finds_their_keyboard_taken_looks_on_and_types_nothing_late() {
    let world = World::new();
    let script = "stty raw -echo; echo up; sleep 1000";
    let tree = hand_off(&world, "shared", &["sh", "-c", script]);
    let mut former = attach(&world, &tree, "shared");
    former.until("up");
    former.types(&"old ".repeat(200_000));
    send(&former, Signal::STOP);
    world.kill_daemon();
    let mut other = attach(&world, &tree, "shared");
    other.until("attached to shared");
    send(&former, Signal::CONT);
    former.until("trying again");
    former.until("looking at shared");
    former.until("bytes were not sent");
    former.until("somebody else has taken the keyboard");
    former.until("--take-over shared");
    send(&other, Signal::TERM);
    other.until("detached from shared");
    assert_eq!(other.ends(), 130);
    // Nor does a connection that is made once more take it back.
    world.kill_daemon();
    former.until("trying again");
    former.until("looking at shared");
    world.handoff(&tree, ["stop", "shared"]).ok();
    former.until("run shared: cancelled");
    assert_eq!(former.ends(), 3);
    assert_eq!(former.shown().matches("were not sent").count(), 1);
}

#[test]
fn a_full_log_leaves_nobody_in_the_dark() {
    let world = world_with("[runs]\noutput = \"64KiB\"\n");
    let tree = hand_off(&world, "full", &["bash", "--norc", "-i"]);
    let mut seat = attach(&world, &tree, "full");
    seat.until("attached to full");
    seat.types("echo ke''pt; seq 1 30000; echo cou''nted\r");
    seat.until("kept");
    seat.until("counted");
    seat.types("echo st''ill there\r");
    seat.until("still there");
    seat.types(DETACH);
    seat.until("past its limit, and not in its log");
    seat.until("detached from full");
    assert_eq!(seat.ends(), 0);
    let mut seat = attach(&world, &tree, "full");
    seat.until("shown, not kept");
    seat.types("echo he''re, too; exit\r");
    seat.until("here, too");
    seat.until("run full: succeeded");
    assert_eq!(seat.ends(), 0);
    let logs = world.handoff(&tree, ["logs", "full"]).ok();
    assert!(logs.contains("kept\r\n") && !logs.contains("still there"), "{} bytes", logs.len());
}

#[test]
fn a_long_paste_arrives_whole_and_in_order() {
    let world = World::new();
    let paste: String = (0..300_000).map(|number| format!("{number:06} ")).collect();
    let script = format!(
        "stty raw -echo; echo up; head -c {} > pasted; stty sane; echo read; read end",
        paste.len()
    );
    let tree = hand_off(&world, "pasted", &["sh", "-c", &script]);
    let mut seat = attach(&world, &tree, "pasted");
    seat.until("up");
    seat.types(&paste);
    seat.until("read");
    // What is typed right before leaving is typed all the same.
    seat.types("the end\r\x1cd");
    seat.until("detached from pasted");
    assert_eq!(seat.ends(), 0);
    assert_eq!(world.finished(&tree, "pasted")["outcome"], "succeeded");
    world.handoff(&tree, ["pull", "pasted"]).ok();
    let pasted = std::fs::read_to_string(tree.join("pasted")).expect("read");
    assert!(pasted == paste, "{} bytes of {}", pasted.len(), paste.len());
}

#[test]
fn who_pastes_into_what_does_not_read_leaves_when_they_like() {
    let world = World::new();
    let tree = hand_off(&world, "deaf", &["sh", "-c", "stty raw -echo; echo up; sleep 1000"]);
    let mut seat = attach(&world, &tree, "deaf");
    seat.until("up");
    seat.types(&"lost ".repeat(200_000));
    // A size gets past what waits.
    seat.resize(31, 99);
    seat.types(DETACH);
    seat.until("were not sent");
    seat.until("detached from deaf");
    assert!(seat.is_cooked());
    assert_eq!(seat.ends(), 0);
    world.handoff(&tree, ["stop", "deaf"]).ok();
    assert_eq!(world.finished(&tree, "deaf")["outcome"], "cancelled");
}

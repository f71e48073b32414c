//! The run survives: a killed client, a closed terminal, a killed daemon.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _},
    process::Stdio,
};

use handoff_tests::world::{World, said};

/// Prints numbered lines for some seconds, and ends when it may.
const COUNTING: &str = "echo started >> starts; for i in $(seq 600); do echo line $i; sleep 0.01; done; \
     until [ -e ~/go ]; do sleep 0.05; done";

#[test]
fn output_has_no_gap_when_the_daemon_is_killed_and_restarted() {
    let world = World::new();
    let directory = world.directory("counting");
    let id = world.hand_off(&directory, ["--", "bash", "-c", COUNTING]);
    let mut following = world.spawn(&directory, "handoff", ["logs", "-f", &id]);
    let mut lines = BufReader::new(following.stdout.take().expect("stdout")).lines();
    for _ in 0..20 {
        lines.next().expect("a line").expect("text");
    }
    world.kill_daemon();
    // Any command finds the daemon gone and starts it again.
    let run = world.show(&directory, &id);
    assert_eq!(run["state"], "running", "{run:#}");
    let files = world.local_daemon().join("runs").join(&id);
    fs::write(files.join("writable/home/go"), "").expect("write");
    drop(lines);
    following.kill().expect("kill");
    following.wait().expect("wait");

    let run = world.finished(&directory, &id);
    assert_eq!(run["outcome"], "succeeded", "{run:#}");
    let logs = world.handoff(&directory, ["logs", &id]).ok();
    let expected: String = (1..=600).map(|i| format!("line {i}\n")).collect();
    assert!(logs == expected, "output has a gap or a repetition");
    world.handoff(&directory, ["pull", &id, "--yes"]).ok();
    let starts = fs::read_to_string(directory.join("starts")).expect("read");
    assert_eq!(starts, "started\n", "the command was started once");
}

#[test]
fn the_run_goes_on_when_the_client_is_killed_after_the_receipt() {
    let world = World::new();
    let directory = world.directory("app");
    let mut client = world
        .command(&directory, "handoff")
        .args(["-f", "-n", "goes-on", "--", "sh", "-c", "echo begun; sleep 1; echo done"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("spawn");
    let mut first = [0; 6];
    client.stdout.take().expect("stdout").read_exact(&mut first).expect("output");
    client.kill().expect("kill");
    client.wait().expect("wait");
    let run = world.finished(&directory, "goes-on");
    assert_eq!(run["outcome"], "succeeded");
    assert_eq!(world.handoff(&directory, ["logs", "goes-on"]).ok(), "begun\ndone\n");
}

#[test]
fn the_run_goes_on_when_the_terminal_is_closed() {
    let world = World::new();
    let directory = world.directory("app");
    // The session's terminal goes away with script(1)'s end, which hangs up everything in it.
    let line = "handoff -n survivor -- sh -c 'sleep 1; echo alive'";
    let mut script = world.command(&directory, "script");
    script.args(["-qec", line, "/dev/null"]);
    let output = said(&mut script);
    assert_eq!(output.code, 0, "{output}");
    let run = world.finished(&directory, "survivor");
    assert_eq!(run["outcome"], "succeeded");
    // Handed off from a terminal, it has one of its own.
    assert_eq!(world.handoff(&directory, ["logs", "survivor"]).ok(), "alive\r\n");
}

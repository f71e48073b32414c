//! Mistakes that people make: a clear error, what to do, the right exit code, nothing left behind.

use std::{fs, os::unix::fs::PermissionsExt as _, os::unix::net::UnixListener};

use handoff_tests::{remote::Remote, world::World};

#[test]
fn an_unreadable_file_is_refused_by_name() {
    let world = World::ordinary();
    let directory = world.directory("app");
    world.write(&directory.join("secret"), "x");
    fs::set_permissions(directory.join("secret"), fs::Permissions::from_mode(0o000)).expect("mode");
    world.handoff(&directory, ["--", "true"]).fails(7, &["secret", "hint:"]);
    assert_no_runs(&world);
}

#[test]
fn a_socket_in_the_tree_is_refused_by_name() {
    let world = World::new();
    let directory = world.directory("app");
    let _socket = UnixListener::bind(directory.join("agent.sock")).expect("socket");
    world.handoff(&directory, ["--", "true"]).fails(7, &["agent.sock", "hint:"]);
    assert_no_runs(&world);
}

#[test]
fn a_newline_in_a_path_is_carried_and_shown_escaped() {
    let world = World::new();
    let directory = world.directory("app");
    world.write(&directory.join("a\nb"), "newline\n");
    let run = world.handoff(
        &directory,
        ["-f", "--", "sh", "-c", "for f in a*b; do cat \"$f\"; echo more >> \"$f\"; done"],
    );
    assert_eq!(run.code, 0, "{run}");
    assert_eq!(run.stdout, b"newline\n");
    let pull = world.handoff(&directory, ["pull"]);
    assert!(pull.stderr.contains("a\\nb"), "{pull}");
    pull.ok();
    assert_eq!(fs::read(directory.join("a\nb")).expect("read"), b"newline\nmore\n");
}

#[test]
fn a_taken_name_is_a_conflict() {
    let world = World::new();
    let directory = world.directory("app");
    world.hand_off(&directory, ["-n", "mine", "--", "true"]);
    world.handoff(&directory, ["-n", "mine", "--", "true"]).fails(5, &["mine", "hint:"]);
    world.handoff(&directory, ["-n", "Not Allowed", "--", "true"]).fails(2, &["Not Allowed"]);
}

#[test]
fn a_missing_command_is_refused_before_anything_is_sent() {
    let world = World::new();
    let directory = world.directory("app");
    world.handoff(&directory, ["no-such-program"]).fails(7, &["no-such-program", "hint:"]);
    assert_no_runs(&world);
}

#[test]
fn unknown_flags_and_keys_are_usage_errors() {
    let world = World::new();
    let directory = world.directory("app");
    world.handoff(&directory, ["--naem", "x", "--", "true"]).fails(2, &["--naem", "--name"]);
    world.handoff(&directory, ["--verify", "make", "--", "true"]).fails(2, &["not built yet"]);
    world.handoff(&directory, ["pull", "--nope"]).fails(2, &["--nope"]);
    world.write(&directory.join(".handoff.toml"), "[run]\ntime_limt = \"1h\"\n");
    world
        .handoff(&directory, ["--", "true"])
        .fails(2, &["time_limt", ".handoff.toml", "time_limit"]);
    world.write(&directory.join(".handoff.toml"), "[verify]\ncommands = [\"true\"]\n");
    world.handoff(&directory, ["--", "true"]).fails(2, &["verify", "not built yet"]);
}

#[test]
fn errors_are_json_when_json_is_wanted() {
    let world = World::new();
    let directory = world.directory("app");
    world.hand_off(&directory, ["--", "true"]);
    let said = world.handoff(&directory, ["show", "nothing", "--json"]);
    assert_eq!((said.code, said.stdout.len()), (8, 0), "{said}");
    let error: serde_json::Value = serde_json::from_str(&said.stderr).expect("JSON");
    assert!(error["error"].as_str().is_some_and(|text| text.contains("nothing")), "{error:#}");
    assert!(error.get("code").is_some() && error.get("hint").is_some(), "{error:#}");
}

#[test]
fn a_full_disk_on_the_daemon_is_told_before_anything_is_sent() {
    let world = World::new();
    let mut remote = Remote::on_small_disk(96 << 20, "[store]\nreserve = \"64MiB\"\n");
    let invitation = remote.invite("ada", &[]);
    world.handoff(&world.home(), ["remote", "add", "box", &invitation]).ok();
    let directory = world.directory("app");
    // No two chunks of it are the same, and none gets smaller.
    let mut noise = vec![0; 80 << 20];
    blake3::Hasher::new().finalize_xof().fill(&mut noise);
    world.write(&directory.join("large"), &noise);
    let before = stored(&remote);
    world.handoff(&directory, ["-r", "box", "--", "true"]).fails(1, &["full", "hint:"]);
    assert_eq!(remote.runs(), 0);
    assert_eq!(stored(&remote), before, "nothing was sent");
    // It goes on with what fits.
    world.write(&directory.join("large"), &noise[..1 << 20]);
    let run = world.handoff(&directory, ["-f", "-r", "box", "--", "wc", "-c", "large"]);
    assert_eq!(run.code, 0, "{run}");
    assert!(stored(&remote) > before + (1 << 20), "that was sent");
    remote.stop();
}

/// How many bytes of content have reached a daemon's disk.
fn stored(remote: &Remote) -> u64 {
    let segments = fs::read_dir(remote.state().join("segments")).expect("segments");
    segments.map(|entry| entry.and_then(|entry| entry.metadata()).expect("segment").len()).sum()
}

#[test]
fn roots_that_belong_to_the_system_are_refused_by_name() {
    let world = World::new();
    world.handoff(&world.home(), ["-C", "/usr/share", "--", "true"]).fails(7, &["/usr"]);
    world.handoff(&world.home(), ["-C", "/nonexistent", "--", "true"]).fails(8, &["/nonexistent"]);
}

#[test]
fn a_remote_that_is_down_gets_no_run() {
    let (world, mut remote) = (World::new(), Remote::start());
    let invitation = remote.invite("ada", &[]);
    world.handoff(&world.home(), ["remote", "add", "box", &invitation]).ok();
    remote.stop();
    let directory = world.directory("app");
    world.write(&directory.join("a"), "a\n");
    world.handoff(&directory, ["-r", "box", "--", "true"]).fails(6, &["box"]);
    assert_eq!(remote.runs(), 0, "nothing is left behind");
}

fn assert_no_runs(world: &World) {
    let runs = world.handoff(&world.home(), ["ls", "--all", "--json"]).json();
    assert_eq!(runs.as_array().map(Vec::len), Some(0), "{runs:#}");
}

//! A daemon behind the user's own ssh: pair, hand off, pull, survive a cut, and clear errors.

use std::fs;

use handoff_tests::{
    ssh::{Host, Installed},
    world::World,
};

/// A world whose ssh knows this host.
fn world(host: &Host) -> World {
    let mut world = World::new();
    world.set("HANDOFF_SSH", host.ssh());
    world
}

#[test]
fn a_machine_with_nothing_but_ssh_and_handoffd_is_a_remote() {
    let host = Host::start(Installed::Yes);
    let world = world(&host);
    let project = world.directory("app");
    world.write(&project.join("a.txt"), "a\n");
    let said = world.handoff(&project, ["remote", "add", "box", "ssh://box"]);
    assert!(said.stderr.contains("paired with box as tester"), "{said}");
    assert_eq!(said.code, 0, "{said}");
    assert!(host.state().join("admin.sock").exists(), "the daemon was started there");
    let listed = world.handoff(&project, ["remote", "ls", "--json"]).json();
    assert_eq!(listed[0]["addresses"][0], "ssh://box");

    let id = world.hand_off(&project, ["--", "sh", "-c", "echo b > b.txt"]);
    assert_eq!(world.finished(&project, &id)["outcome"], "succeeded");
    world.handoff(&project, ["pull", &id]).ok();
    assert_eq!(fs::read_to_string(project.join("b.txt")).expect("read"), "b\n");

    // The next connection starts the daemon again.
    host.stop_daemon(&world);
    assert_eq!(world.show(&project, &id)["outcome"], "succeeded");
    // Without its certificate ssh alone is not enough.
    world.ok(&world.home(), "sh", ["-c", "rm -r ~/.local/*/handoff/remotes/box"]);
    world.handoff(&project, ["show", &id]).fails(1, &["cannot use the keys to remote box"]);
    host.stop_daemon(&world);
}

#[test]
fn an_upload_that_is_cut_goes_on_over_a_new_connection() {
    let host = Host::start(Installed::Yes);
    let mut world = world(&host);
    let project = world.directory("app");
    world.handoff(&project, ["remote", "add", "box", "ssh://box"]).ok();
    let mut state = 1_u64;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33).to_le_bytes()[0]
    })
    .take(80_000_000)
    .collect();
    world.write(&project.join("noise"), &noise);
    world.set("HANDOFF_SSH", host.ssh_that_breaks_once_after(60_000_000));
    let said = world.handoff(&project, ["--", "cksum", "noise"]);
    assert!(said.stderr.contains("trying again"), "{said}");
    // What was durable before the cut is not sent again.
    let sent = said.stderr.split("sent ").nth(1).and_then(|rest| rest.split(' ').next());
    let sent: f64 = sent.expect("sent").parse().expect("a number of MB");
    assert!(sent < 70.0, "{said}");
    let id = said.ok().trim().to_owned();
    assert_eq!(world.finished(&project, &id)["outcome"], "succeeded");
    let logs = world.handoff(&project, ["logs", &id]).ok();
    assert_eq!(logs, world.ok(&project, "cksum", ["noise"]));
    host.stop_daemon(&world);
}

#[test]
fn what_ssh_says_becomes_a_clear_error() {
    let host = Host::start(Installed::No);
    let world = world(&host);
    let home = world.home();
    for (address, texts) in [
        ("ssh://box", ["handoffd", "install handoffd there"]),
        ("ssh://denied", ["Permission denied", "without asking anything"]),
        ("ssh://unknown", ["Host key verification failed", "known hosts"]),
        ("ssh://closed", ["Connection refused", "try again"]),
    ] {
        world.handoff(&home, ["remote", "add", "box", address]).fails(6, &texts);
    }
    world.handoff(&home, ["remote", "add", "box", "ssh://-oProxyCommand=x"]).fails(2, &["[USER@]"]);
    let listed = world.handoff(&home, ["remote", "ls", "--json"]).json();
    assert_eq!(listed.as_array().map(Vec::len), Some(0), "nothing was added");
}

//! Pairing: invitations are used once, expire, and belong to one daemon; users see nothing of each
//! other.

use std::{fs, path::Path};

use handoff_tests::{remote::Remote, world::World};

fn pair(world: &World, remote: &Remote, name: &str, user: &str) {
    let invitation = remote.invite(user, &[]);
    world.handoff(&world.home(), ["remote", "add", name, &invitation]).ok();
}

#[test]
fn a_paired_user_hands_off_to_a_remote_daemon() {
    let (world, remote) = (World::new(), Remote::start());
    pair(&world, &remote, "box", "ada");
    let directory = world.directory("app");
    world.write(&directory.join("a"), "a\n");
    let run = world.handoff(&directory, ["-f", "-r", "box", "--", "sh", "-c", "cat a; id -u"]);
    assert_eq!(run.code, 0, "{run}");
    assert!(String::from_utf8_lossy(&run.stdout).starts_with("a\n"));
    let key = world.home().join(".local/state/handoff/remotes/box");
    let mode = |path: &Path| {
        use std::os::unix::fs::PermissionsExt as _;
        fs::metadata(path).expect("metadata").permissions().mode() & 0o777
    };
    for entry in fs::read_dir(&key).expect("remote").flatten() {
        assert_eq!(mode(&entry.path()) & 0o077, 0, "{} is private", entry.path().display());
    }
}

#[test]
fn wrong_invitations_are_told_apart() {
    let (world, remote, other) = (World::new(), Remote::start(), Remote::start());
    let home = world.home();
    let used = remote.invite("ada", &[]);
    world.handoff(&home, ["remote", "add", "first", &used]).ok();
    world.handoff(&home, ["remote", "add", "again", &used]).fails(7, &["used"]);
    let expired = Remote::expired(&remote.invite("ada", &[]));
    world.handoff(&home, ["remote", "add", "late", &expired]).fails(7, &["expired"]);
    world.handoff(&home, ["remote", "add", "bad", "handoff1.nonsense"]).fails(2, &["invitation"]);
    world
        .handoff(&home, ["remote", "add", "first", &remote.invite("ada", &[])])
        .fails(5, &["first"]);
    // One daemon's secret with another one's address and CA: unknown there.
    let foreign = Remote::foreign(&remote.invite("ada", &[]), &other);
    world.handoff(&home, ["remote", "add", "foreign", &foreign]).fails(7, &["invitation"]);
    let names = world.handoff(&home, ["remote", "ls", "--json"]).json();
    assert_eq!(names.as_array().map(Vec::len), Some(1), "{names:#}");
}

#[test]
fn a_foreign_certificate_is_refused_and_nothing_starts() {
    let (world, remote, other) = (World::new(), Remote::start(), Remote::start());
    pair(&world, &remote, "box", "ada");
    pair(&world, &other, "other", "ada");
    // The key and certificate of another daemon's user, presented to this one.
    let remotes = world.home().join(".local/state/handoff/remotes");
    for entry in fs::read_dir(remotes.join("other")).expect("remote").flatten() {
        let name = entry.file_name();
        if !name.to_string_lossy().starts_with("ca") {
            fs::copy(entry.path(), remotes.join("box").join(&name)).expect("copy");
        }
    }
    let directory = world.directory("app");
    world.handoff(&directory, ["-r", "box", "--", "true"]).fails(7, &["certificate"]);
    assert_eq!(remote.runs(), 0);
}

#[test]
fn a_revoked_device_is_refused() {
    let (world, remote) = (World::new(), Remote::start());
    pair(&world, &remote, "box", "ada");
    remote.admin(&["user", "revoke", "ada"]).ok();
    let directory = world.directory("app");
    world.handoff(&directory, ["-r", "box", "--", "true"]).fails(7, &["revoked"]);
    assert_eq!(remote.runs(), 0);
}

#[test]
fn two_users_see_nothing_of_each_other() {
    let (ada, bob, remote) = (World::new(), World::new(), Remote::start());
    pair(&ada, &remote, "box", "ada");
    pair(&bob, &remote, "box", "bob");
    let directory = ada.directory("app");
    let id = ada.hand_off(&directory, ["-r", "box", "-n", "mine", "--", "echo", "secret"]);
    ada.finished(&directory, &id);
    let here = bob.directory("app");
    let runs = bob.handoff(&here, ["ls", "--all", "--json"]).json();
    assert_eq!(runs.as_array().map(Vec::len), Some(0), "{runs:#}");
    for args in [
        &["show", &id][..],
        &["logs", &id],
        &["watch", &id],
        &["stop", &id],
        &["rm", &id],
        &["pull", &id],
        &["diff", &id],
        &["show", "mine"],
    ] {
        let said = bob.handoff(&here, args.iter().chain(&["-r", "box"]));
        assert!(!String::from_utf8_lossy(&said.stdout).contains("secret"), "{said}");
        said.fails(8, &[]);
    }
    // The same name is free for another user.
    bob.hand_off(&here, ["-r", "box", "-n", "mine", "--", "true"]);
}

#[test]
fn an_unreachable_remote_is_named_with_what_to_do() {
    let (world, mut remote) = (World::new(), Remote::start());
    pair(&world, &remote, "box", "ada");
    remote.stop();
    let directory = world.directory("app");
    world.handoff(&directory, ["-r", "box", "--", "true"]).fails(6, &["box", "hint:"]);
}

//! Attempt: be heard by the launcher as somebody else than the daemon, or say more than a run's id.

use std::{
    fs,
    io::{Read as _, Write as _},
    os::unix::{fs::PermissionsExt as _, net::UnixStream},
};

use handoff_tests::{
    launched::Launched,
    service::{DAEMON, Service, as_user},
};

#[test]
fn only_the_daemons_user_is_answered() {
    let service = Service::start("");
    assert!(Launched::new(&service, 1, "echo honest").succeeds().contains("honest"));
    let run = Launched::new(&service, 2, "true");
    run.describe();
    let request = format!("{} command 1\n", run.id);
    let socket = service.path("run/launcher.sock");
    let error = as_user(54_400, || UnixStream::connect(&socket)).expect_err("closed to others");
    assert_eq!(error.kind(), std::io::ErrorKind::PermissionDenied);
    fs::set_permissions(&socket, fs::Permissions::from_mode(0o777)).expect("mode");
    for uid in [0, 54_400, 0x7800_0000] {
        let answer = service.ask(uid, request.as_bytes());
        assert!(answer.contains(&format!("uid {uid} is not the daemon's user")), "{answer}");
        let answer = service.ask(uid, b"probe\n");
        assert!(answer.contains("is not the daemon's user"), "{answer}");
    }
    assert!(!run.job("spawned").exists());
    assert_eq!(service.ask(DAEMON, request.as_bytes()), "\"ready\"");
    assert_eq!(run.ended()["code"], 0);
}

#[test]
fn nothing_but_a_request_is_obeyed_and_the_launcher_goes_on() {
    let service = Service::start("");
    let run = Launched::new(&service, 1, "echo honest");
    run.describe();
    let id = run.id.as_str().to_owned();
    let long = format!("{id} command 1{}\n", " ".repeat(100));
    let traversal = format!("../{id} command 1\n");
    let several = format!("{id} command 1\n{id} harvest 1\n");
    let option = "--config /tmp/x\n";
    for said in [
        b"\n".as_slice(),
        b"\0\0\0\0\n",
        b"\xff\xfe\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"aaaaaaaaaa command 1",
        b"aaaaaaaaaa command\n",
        b"AAAAAAAAAA command 1\n",
        b"aaaaaaaaaa ../../etc 1\n",
        option.as_bytes(),
        long.as_bytes(),
        traversal.as_bytes(),
        several.as_bytes(),
        &[b'a'; 1 << 20],
    ] {
        let answer = service.ask(DAEMON, said);
        let refused = answer.contains("the request is no line") || answer.contains("not a request");
        assert!(refused, "{:?}: {answer}", String::from_utf8_lossy(&said[..said.len().min(40)]));
    }
    assert!(!run.job("spawned").exists());
    // One that says nothing holds the others up for a moment only, and one that reads nothing not
    // at all.
    let socket = service.path("run/launcher.sock");
    let mut silent = as_user(DAEMON, || UnixStream::connect(&socket)).expect("connect");
    let mut deaf = as_user(DAEMON, || UnixStream::connect(&socket)).expect("connect");
    deaf.write_all(b"probe\n").expect("ask");
    assert!(run.succeeds().contains("honest"));
    let mut answer = String::new();
    silent.read_to_string(&mut answer).expect("an end");
    assert!(answer.contains("read the request"), "{answer}");
    let unknown = service.ask(DAEMON, b"zzzzzzzzzz command 1\n");
    assert!(unknown.contains("open the job directory: No such file"), "{unknown}");
}

#[test]
fn a_launcher_takes_no_settings_from_others_than_root() {
    let service = Service::start("");
    assert!(Launched::new(&service, 1, "echo honest").succeeds().contains("honest"));
    let settings = service.path("handoffd.toml");
    let run = Launched::new(&service, 2, "true");
    std::os::unix::fs::chown(&settings, Some(DAEMON), None).expect("chown");
    run.is_refused("handoffd.toml is not for root alone to change");
    std::os::unix::fs::chown(&settings, Some(0), None).expect("chown");
    fs::set_permissions(&settings, fs::Permissions::from_mode(0o666)).expect("mode");
    run.is_refused("handoffd.toml is not for root alone to change");
    fs::set_permissions(&settings, fs::Permissions::from_mode(0o644)).expect("mode");
    fs::set_permissions(service.path("run/uids"), fs::Permissions::from_mode(0o777)).expect("mode");
    run.is_refused("uids is not for root alone to change");
    fs::set_permissions(service.path("run/uids"), fs::Permissions::from_mode(0o700)).expect("mode");
    fs::set_permissions(service.state(), fs::Permissions::from_mode(0o750)).expect("mode");
    run.is_refused("is open to others");
    fs::set_permissions(service.state(), fs::Permissions::from_mode(0o700)).expect("mode");
    assert_eq!(run.start(), "\"ready\"");
    assert_eq!(run.ended()["code"], 0);
}

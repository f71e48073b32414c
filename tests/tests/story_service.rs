//! Installed as a service: what the network reaches is no root, and no run is the daemon's user.

use std::{
    fmt::Display,
    fs,
    io::{BufRead as _, BufReader},
    os::unix::fs::MetadataExt as _,
    process::Command,
};

use handoff_tests::{
    process,
    service::{DAEMON, DAEMON_GROUP, Daemon, RUNS, Service},
    world::{World, said},
};

fn paired(service: &Service) -> (World, Daemon) {
    let (world, daemon) = (World::new(), service.serve());
    let invitation = service.admin(&["invite", "ada"]).ok();
    world.handoff(&world.home(), ["remote", "add", "box", invitation.trim()]).ok();
    world.handoff(&world.home(), ["remote", "default", "box"]).ok();
    (world, daemon)
}

/// The value of a field of a process's status.
fn status(pid: impl Display, field: &str) -> String {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("status");
    let line = status.lines().find_map(|line| line.strip_prefix(&format!("{field}:")));
    line.expect("field").trim().replace('\t', " ")
}

#[test]
fn a_run_has_a_uid_of_its_own_and_outlives_the_unprivileged_daemon() {
    let service = Service::start("");
    let (world, daemon) = paired(&service);
    let uids = format!("{DAEMON} {DAEMON} {DAEMON} {DAEMON}");
    assert_eq!(status(daemon.pid(), "Uid"), uids);
    assert_eq!(status(daemon.pid(), "CapEff"), "0000000000000000");

    let directory = world.directory("app");
    world.write(&directory.join("kept"), "first\n");
    world.write(&directory.join("removed"), "gone\n");
    fs::create_dir(directory.join("sub")).expect("directory");
    world.write(&directory.join("sub/moved"), "moved\n");
    let word = format!("7{}.25", std::process::id());
    let script = format!(
        "echo second >> kept; rm removed; mv sub other; echo new > other/new; chmod 755 other/new
         stat -c %u . kept other/new; sleep {word} & \
         until [ \"$(cat /proc/$!/comm)\" = sleep ]; do :; done; echo ready; \
         until [ -e go ]; do read -t 0.05 _ <> <(:); done; kill %1; echo went on"
    );
    let id = world.hand_off(&directory, ["--", "bash", "-c", &script]);
    let mut following = world.spawn(&directory, "handoff", ["logs", "-f", &id]);
    let mut lines = BufReader::new(following.stdout.take().expect("stdout")).lines();
    let mut line = || lines.next().expect("a line").expect("text");
    let inside = [line(), line(), line()];
    assert_eq!(inside, [inside[0].clone(), inside[0].clone(), inside[0].clone()]);
    assert_eq!(line(), "ready");

    // Whoever it believes to be, on the host it is nobody else.
    let [sleeper] = process::with(&[word.as_ref()])[..] else { panic!("one process of the run") };
    let uid = status(sleeper, "Uid");
    let uid: Vec<u32> = uid.split(' ').map(|uid| uid.parse().expect("uid")).collect();
    assert!(RUNS.contains(&uid[0]) && uid.iter().all(|other| *other == uid[0]), "{uid:?}");
    let made = service.state().join("runs").join(&id).join("writable/workspace/other/new");
    let made = made.metadata().expect("what the run made");
    assert_eq!((made.uid(), made.gid()), (DAEMON, DAEMON_GROUP), "on disk it is the daemon's");

    daemon.kill();
    let daemon = service.serve();
    // Clients know the old address only.
    let invitation = service.admin(&["invite", "ada"]).ok();
    world.handoff(&world.home(), ["remote", "rm", "box"]).ok();
    world.handoff(&world.home(), ["remote", "add", "box", invitation.trim()]).ok();
    let run = world.show(&directory, &id);
    assert_eq!(run["state"], "running", "{run:#}");
    let go = service.state().join("runs").join(&id).join("writable/workspace/go");
    fs::write(go, "").expect("let it go on");

    let run = world.finished(&directory, &id);
    assert_eq!(run["outcome"], "succeeded", "{run:#}");
    let isolation = run["isolation"].to_string();
    assert!(isolation.contains(&format!("per-run uid {}", uid[0])), "{isolation}");
    drop(following.kill());
    following.wait().expect("wait");
    assert!(world.handoff(&directory, ["logs", &id]).ok().ends_with("ready\nwent on\n"));
    world.handoff(&directory, ["pull", &id, "--yes"]).ok();
    assert_eq!(fs::read_to_string(directory.join("kept")).expect("read"), "first\nsecond\n");
    assert_eq!(fs::read_to_string(directory.join("other/moved")).expect("read"), "moved\n");
    let new = directory.join("other/new").metadata().expect("pulled");
    assert_eq!(new.mode() & 0o777, 0o755);
    assert!(!directory.join("removed").exists() && !directory.join("sub").exists());
    assert_eq!(process::with(&[word.as_ref()]), []);
    drop(daemon);
}

#[test]
fn whatever_a_run_leaves_is_removed_with_it() {
    let service = Service::start("");
    let (world, _daemon) = paired(&service);
    let directory = world.directory("app");
    let script = "mkdir -p ~/closed/in closed; touch ~/closed/in/file file closed/file; \
                  chmod 000 ~/closed/in/file ~/closed/in ~/closed closed/file file; chmod 600 closed";
    let id = world.hand_off(&directory, ["--", "bash", "-c", script]);
    let run = world.finished(&directory, &id);
    assert_eq!(run["outcome"], "succeeded", "{run:#}");
    let files = service.state().join("runs").join(&id);
    assert!(files.join("writable/home/closed/in/file").exists());
    world.handoff(&directory, ["rm", &id]).ok();
    assert!(!files.exists(), "the daemon owns all that a run leaves");
    service.admin(&["gc"]).ok();
}

#[test]
fn setup_steps_and_caches_work_as_with_any_daemon() {
    let service = Service::start("");
    let (world, _daemon) = paired(&service);
    let directory = world.directory("app");
    let contract = "[environment]\nsetup = [\"echo set up > ~/made\"]\ncaches = [\"~/.cache/x\"]\n";
    world.write(&directory.join(".handoff.toml"), contract);
    let script = "cat ~/made; cat ~/.cache/x/* 2>/dev/null; echo kept > ~/.cache/x/file";
    for expected in ["set up\n", "set up\nkept\n"] {
        let run = world.handoff(&directory, ["-f", "--", "bash", "-c", script]);
        assert_eq!(run.code, 0, "{run}");
        assert_eq!(String::from_utf8_lossy(&run.stdout), expected);
    }
}

#[test]
fn without_its_launcher_a_run_is_refused_by_name_and_the_doctor_says_so() {
    let mut service = Service::start("");
    let (world, _daemon) = paired(&service);
    let directory = world.directory("app");
    let doctor = service.admin(&["doctor"]).ok();
    assert!(doctor.contains("launcher: in-force"), "{doctor}");
    assert!(doctor.contains("uid: in-force"), "as the launcher finds it: {doctor}");
    service.stop_launcher();
    let id = world.hand_off(&directory, ["--", "true"]);
    let run = world.finished(&directory, &id);
    assert_eq!(run["outcome"], "refused", "{run:#}");
    let detail = run["outcome_detail"].as_str().expect("text");
    assert!(detail.contains("launcher.sock"), "{detail}");
    service.restart_launcher();
    let id = world.hand_off(&directory, ["--", "true"]);
    let run = world.finished(&directory, &id);
    assert_eq!(run["outcome"], "succeeded", "{run:#}");
}

#[test]
fn a_doctor_without_a_launcher_tells_how_to_start_one() {
    let mut service = Service::start("");
    service.stop_launcher();
    let doctor = service.admin(&["doctor"]).ok();
    assert!(doctor.contains("launcher: absent"), "{doctor}");
    assert!(doctor.contains("systemctl enable --now handoffd-launcher.socket"), "{doctor}");
}

#[test]
fn roots_daemon_takes_no_launcher_and_no_launcher_takes_roots_state() {
    let service = Service::start("");
    let handoffd = |word: &str, state: &str| {
        let mut command = Command::new(service.path("handoffd"));
        command.env_clear().env("PATH", "/usr/bin:/bin").arg(word);
        command.env("HANDOFFD_CONFIG", service.path("handoffd.toml"));
        said(command.env("HANDOFFD_STATE", service.path(state)))
    };
    handoffd("serve", "other").fails(2, &["a daemon that is root needs no launcher"]);
    fs::create_dir(service.path("roots")).expect("directory");
    handoffd("launch", "roots").fails(1, &["is root's"]);
    service.admin(&["launch"]).fails(1, &["a launcher has to be root"]);
}

#[test]
fn a_launcher_is_started_by_its_first_request_where_systemd_listens() {
    let mut service = Service::start("");
    service.stop_launcher();
    service.activate_launcher();
    let answer = service.ask(DAEMON, b"probe\n");
    assert!(answer.contains("\"namespaces\"") && answer.contains("in_force"), "{answer}");
    let mut launch = Command::new(service.path("handoffd"));
    launch.args(["launch", "--activated"]).env_clear().env("PATH", "/usr/bin:/bin");
    launch.env("HANDOFFD_CONFIG", service.path("handoffd.toml"));
    launch.env("HANDOFFD_STATE", service.state());
    said(&mut launch).fails(1, &["standard input is no listening socket"]);
}

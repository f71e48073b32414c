//! An ordinary user's daemon gives each run a uid of its own, where the user has subordinate ids.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command},
};

use handoff_tests::{
    process,
    web::{Port, Web},
    world::{ORDINARY_UID, SUBORDINATE_IDS, Said, World, said},
};
use rustix::process::Pid;

/// A run that waits until a file called `go` is there, with a process that has a name of its own.
struct Waiting {
    id: String,
    following: Child,
    lines: std::io::Lines<BufReader<ChildStdout>>,
    /// Its process.
    pid: Pid,
    uid: u32,
}

impl Waiting {
    fn start(world: &World, directory: &Path, number: u32) -> Self {
        let word = format!("7{}.{number}", std::process::id());
        let script = format!(
            "echo second >> kept; rm removed; mv sub other; echo new > other/new; \
             chmod 755 other/new; sleep {word} & \
             until [ \"$(cat /proc/$!/comm)\" = sleep ]; do :; done; echo ready; \
             until [ -e go ]; do read -t 0.05 _ <> <(:); done; kill %1; echo went on"
        );
        let id = world.hand_off(directory, ["--", "bash", "-c", &script]);
        let mut following = world.spawn(directory, "handoff", ["logs", "-f", &id]);
        let mut lines = BufReader::new(following.stdout.take().expect("stdout")).lines();
        assert_eq!(lines.next().expect("a line").expect("text"), "ready");
        let [pid] = process::with(&[word.as_ref()])[..] else { panic!("one process of the run") };
        let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("status");
        let uids = status.lines().find_map(|line| line.strip_prefix("Uid:")).expect("uids");
        let uids: Vec<u32> = uids.split_whitespace().map(|uid| uid.parse().expect("uid")).collect();
        assert!(uids.iter().all(|uid| *uid == uids[0]), "{uids:?}");
        Self { id, following, lines, pid, uid: uids[0] }
    }

    fn files(&self, world: &World) -> PathBuf {
        world.local_daemon().join("runs").join(&self.id)
    }

    fn go_on(mut self, world: &World) -> String {
        fs::write(self.files(world).join("writable/workspace/go"), "").expect("let it go on");
        assert_eq!(self.lines.next().expect("a line").expect("text"), "went on");
        assert!(self.following.wait().expect("wait").success());
        self.id
    }
}

/// What a process that has left every namespace can do with nothing but a uid, from a directory
/// that it already is in.
fn escaped(uid: u32, directory: &Path, script: &str) -> Said {
    let mut command = Command::new("setpriv");
    command.args([&format!("--reuid={uid}"), &format!("--regid={uid}"), "--clear-groups", "--"]);
    said(command.args(["sh", "-c", script]).current_dir(directory))
}

fn project(world: &World, name: &str) -> PathBuf {
    let directory = world.directory(name);
    world.write(&directory.join("kept"), "first\n");
    world.write(&directory.join("removed"), "gone\n");
    fs::create_dir(directory.join("sub")).expect("directory");
    world.give(&directory.join("sub"));
    world.write(&directory.join("sub/moved"), "moved\n");
    directory
}

#[test]
fn two_runs_at_a_time_are_nobody_to_each_other_nor_to_the_daemon() {
    let world = World::with_subordinate_ids();
    let (first, second) = (project(&world, "first"), project(&world, "second"));
    let one = Waiting::start(&world, &first, 1);
    let other = Waiting::start(&world, &second, 2);
    let (lowest, count) = SUBORDINATE_IDS;
    let all = lowest..lowest + count;
    assert!(all.contains(&one.uid) && all.contains(&other.uid), "{} {}", one.uid, other.uid);
    assert_ne!(one.uid, other.uid);

    // By path, from inside each other's tree, and as processes.
    let state = world.local_daemon();
    let secret = state.join("credentials/canary");
    world.ok(&state, "mkdir", ["-p", "-m", "700", "credentials"]);
    world.write(&secret, "secret\n");
    let read = |path: &Path| format!("cat {}", path.display());
    escaped(ORDINARY_UID, Path::new("/"), &read(&secret)).ok();
    escaped(one.uid, Path::new("/"), &read(&secret)).fails(1, &["Permission denied"]);
    let tree = other.files(&world).join("writable/workspace");
    escaped(other.uid, &tree, "cat kept; ls").ok();
    let path = read(&tree.join("kept"));
    escaped(ORDINARY_UID, Path::new("/"), &path).ok();
    for (from, act) in [
        (Path::new("/"), path.as_str()),
        (&tree, "echo x > new"),
        (&tree, "echo x >> kept"),
        (&tree, "rm other/new"),
    ] {
        let said = escaped(one.uid, from, act);
        assert!(said.code != 0 && said.stderr.contains("Permission denied"), "{act}: {said}");
    }
    let home = other.files(&world).join("writable/home");
    escaped(one.uid, &home, "ls").fails(2, &["Permission denied"]);
    let signal = format!("kill -0 {}", other.pid);
    escaped(other.uid, Path::new("/"), &signal).ok();
    let said = escaped(one.uid, Path::new("/"), &signal);
    assert!(said.stderr.contains("not permitted"), "{said}");
    let daemon = world.local_daemon_pid().as_raw_nonzero();
    let said = escaped(one.uid, Path::new("/"), &format!("kill -0 {daemon}"));
    assert!(said.stderr.contains("not permitted"), "{said}");

    let uids = [one.uid, other.uid];
    for (waiting, directory, uid) in [(one, &first, uids[0]), (other, &second, uids[1])] {
        let files = waiting.files(&world);
        let id = waiting.go_on(&world);
        let run = world.finished(directory, &id);
        assert_eq!(run["outcome"], "succeeded", "{run:#}");
        let isolation = run["isolation"].to_string();
        assert!(isolation.contains(&format!("per-run uid {uid}")), "{isolation}");
        world.handoff(directory, ["pull", &id, "--yes"]).ok();
        let read = |name: &str| fs::read_to_string(directory.join(name)).expect("read");
        assert_eq!([read("kept"), read("other/moved")], ["first\nsecond\n", "moved\n"]);
        let new = directory.join("other/new").metadata().expect("pulled");
        assert_eq!((new.uid(), new.mode() & 0o777), (ORDINARY_UID, 0o755));
        assert!(!directory.join("removed").exists() && !directory.join("sub").exists());
        world.handoff(directory, ["rm", &id]).ok();
        assert!(!files.exists(), "something of the run is left");
    }
    let doctor = world.handoff(&first, ["doctor"]);
    let doctor = String::from_utf8_lossy(&doctor.stdout).into_owned();
    assert!(doctor.contains("per-run uid"), "{doctor}");
}

#[test]
fn whatever_a_run_leaves_is_removed_with_it() {
    let world = World::with_subordinate_ids();
    let directory = world.directory("app");
    let canary = world.directory("canary").join("file");
    world.write(&canary, "alive\n");
    let script = format!(
        "mkdir -p ~/closed/in closed deep; touch ~/closed/in/file file closed/file; \
         mkfifo ~/fifo; ln -s {} ~/link; ln file ~/../again 2>/dev/null; ln file again; \
         cp /bin/true ~/setuid; chmod 4755 ~/setuid; \
         (cd deep; for i in $(seq 300); do mkdir dddddddddddddddd; cd dddddddddddddddd; done); \
         chmod 000 ~/closed/in/file ~/closed/in ~/closed closed/file file; chmod 600 closed",
        canary.parent().expect("parent").display(),
    );
    let id = world.hand_off(&directory, ["--", "bash", "-c", &script]);
    let run = world.finished(&directory, &id);
    assert_eq!(run["outcome"], "succeeded", "{run:#}");
    let files = world.local_daemon().join("runs").join(&id);
    let made = files.join("writable/home/closed/in/file").metadata().expect("what the run made");
    assert!(made.uid() >= SUBORDINATE_IDS.0, "it is the run's");
    world.handoff(&directory, ["rm", &id]).ok();
    assert!(!files.exists(), "the daemon takes back all that a run leaves");
    assert_eq!(fs::read_to_string(&canary).expect("read"), "alive\n");
    assert_eq!(canary.metadata().expect("look").uid(), ORDINARY_UID);
}

#[test]
fn a_run_whose_supervisor_and_daemon_are_killed_is_harvested_and_removed_all_the_same() {
    let world = World::with_subordinate_ids();
    let directory = project(&world, "app");
    let waiting = Waiting::start(&world, &directory, 3);
    let files = waiting.files(&world);
    let job = files.join("jobs/1-command");
    let supervisor = process::supervisor(&job);
    world.kill_daemon();
    process::kill(supervisor);
    let Waiting { id, mut following, lines, .. } = waiting;
    drop(lines);
    drop(following.kill());
    following.wait().expect("wait");

    // Any command finds the daemon gone and starts it again.
    let run = world.finished(&directory, &id);
    assert_eq!(run["outcome"], "lost", "{run:#}");
    world.handoff(&directory, ["pull", &id, "--yes"]).ok();
    assert_eq!(fs::read_to_string(directory.join("kept")).expect("read"), "first\nsecond\n");
    world.handoff(&directory, ["rm", &id]).ok();
    assert!(!files.exists(), "something of the run is left");
}

#[test]
fn a_cache_goes_from_one_run_to_the_next() {
    let world = World::with_subordinate_ids();
    let directory = world.directory("app");
    let contract = "[environment]\nsetup = [\"echo set up > ~/made\"]\ncaches = [\"~/.cache/x\"]\n";
    world.write(&directory.join(".handoff.toml"), contract);
    let script = "cat ~/made; cat ~/.cache/x/* 2>/dev/null; echo kept >> ~/.cache/x/file; \
                  chmod 600 ~/.cache/x/file; stat -c %a ~/.cache/x";
    for expected in ["set up\n700\n", "set up\nkept\n700\n", "set up\nkept\nkept\n700\n"] {
        let run = world.handoff(&directory, ["-f", "--", "bash", "-c", script]);
        assert_eq!(run.code, 0, "{run}");
        assert_eq!(String::from_utf8_lossy(&run.stdout), expected);
    }
}

#[test]
fn what_is_in_a_closed_directory_counts_too() {
    let world = World::with_subordinate_ids();
    world.configure("[runs]\ndisk = \"16MiB\"\n");
    let directory = world.directory("app");
    let script = "mkdir closed; exec 3> closed/one 4> closed/other; chmod 000 closed; \
                  head -c 12M /dev/zero >&3; head -c 12M /dev/zero >&4; sleep 1000";
    let id = world.hand_off(&directory, ["--", "bash", "-c", script]);
    let run = world.finished(&directory, &id);
    assert_eq!(run["outcome_detail"], "disk limit of 16 MiB", "{run:#}");
}

#[test]
fn the_fence_serves_a_run_that_is_nobody() {
    let web = Web::serve(&["allowed.test"], &[Port::Plain(80)], &[]);
    web.file("hello", "hello\n");
    let world = World::with_subordinate_ids();
    world.configure(&format!("[network.addresses]\n{}", web.placed("allowed.test")));
    let directory = world.directory("app");
    let script = "curl -sS http://allowed.test/hello; curl -sS --noproxy '*' \
                  http://allowed.test/hello; curl -sS http://denied.test/ >&2; echo ended";
    let words = ["--allow-host", "allowed.test", "-f", "--", "bash", "-c", script];
    let run = world.handoff(&directory, words);
    assert_eq!(String::from_utf8_lossy(&run.stdout), "hello\nhello\nended\n", "{run}");
    assert!(run.stderr.contains("--allow-host denied.test"), "{run}");
}

#[test]
fn once_every_id_is_given_a_run_is_refused_until_another_is_removed() {
    let mut world = World::with_subordinate_ids();
    world.set_subordinate_ids(SUBORDINATE_IDS.0, 1);
    let directory = world.directory("app");
    let first = world.hand_off(&directory, ["--", "true"]);
    assert_eq!(world.finished(&directory, &first)["outcome"], "succeeded");
    let second = world.hand_off(&directory, ["--", "true"]);
    let run = world.finished(&directory, &second);
    assert_eq!(run["outcome"], "refused", "{run:#}");
    let detail = run["outcome_detail"].as_str().expect("text");
    assert!(detail.contains("handoff rm"), "{detail}");
    world.handoff(&directory, ["rm", &first]).ok();
    let third = world.hand_off(&directory, ["--", "true"]);
    assert_eq!(world.finished(&directory, &third)["outcome"], "succeeded");
}

#[test]
fn a_toolchain_that_only_its_owner_can_read_is_left_out_and_the_doctor_says_so() {
    let world = World::with_subordinate_ids();
    let directory = world.directory("app");
    let programs = world.directory(".local/bin");
    symlink("/bin/true", programs.join("truth")).expect("link");
    fs::set_permissions(&programs, fs::Permissions::from_mode(0o700)).expect("mode");
    let run = world.handoff(&directory, ["-f", "--", "sh", "-c", "ls ~/.local/bin"]);
    assert_eq!(run.code, 3, "{run}");
    let doctor = world.handoff(&directory, ["doctor"]);
    let doctor = String::from_utf8_lossy(&doctor.stdout).into_owned();
    assert!(doctor.contains("only its owner can read it"), "{doctor}");
    world.stop_daemon(&world.local_daemon());
    fs::set_permissions(&programs, fs::Permissions::from_mode(0o755)).expect("mode");
    let run = world.handoff(&directory, ["-f", "--", "sh", "-c", "ls ~/.local/bin"]);
    assert_eq!((run.code, run.stdout.as_slice()), (0, b"truth\n".as_slice()), "{run}");
}

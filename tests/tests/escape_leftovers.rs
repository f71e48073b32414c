//! Attempt: leave something on the host, a thousand times, however a run ends.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use handoff_tests::escape::{Caller, Jail, Lab, Live, perl};
use handoff_tests::world::World;
use rustix::event::{Timespec, poll};
use serde_json::Value;

/// Ends of their own and by others that take turns.
const ENDINGS: usize = 5;

/// Jails at a time: each waits for the kernel most of its time.
const AT_ONCE: usize = 4;

/// A child of a child in a session of its own, which ignores what can be ignored.
const STUBBORN: &str = "$SIG{$_} = 'IGNORE' for qw(TERM INT HUP PIPE); $| = 1; \
    if (fork == 0) { require POSIX; POSIX::setsid(); if (fork == 0) { \
    close STDOUT; close STDERR; sleep 1000 while 1 } exit 0 } wait; print \"up\\n\";";

/// Where a process that is no user's own could leave something, beside its mounts.
const PLACES: [&str; 4] = ["/tmp", "/var/tmp", "/dev/shm", "/run"];

/// What a host has of somebody.
#[derive(Debug, Default, PartialEq, Eq)]
struct Left {
    processes: Vec<String>,
    mounts: Vec<String>,
    groups: Vec<PathBuf>,
    loops: Vec<PathBuf>,
    files: BTreeSet<PathBuf>,
}

/// Looks for what belongs to a uid, or to what is called so.
fn left(uid: u32, called: &str) -> Left {
    let list = |directory: &Path| fs::read_dir(directory).into_iter().flatten().flatten();
    let of_uid = |path: &Path| path.symlink_metadata().is_ok_and(|meta| meta.uid() == uid);
    let text = |path: PathBuf| fs::read_to_string(path).unwrap_or_default();
    // The first lines: name, state, numbers, uids.
    let status = |path: PathBuf| {
        let status = text(path.join("status"));
        status.lines().take(9).map(|line| line.replace('\t', " ")).collect::<Vec<_>>().join(", ")
    };
    let is_ours = |status: &String| {
        let uids =
            status.split(", ").find_map(|line| line.strip_prefix("Uid:")).unwrap_or_default();
        // What is dead and waits for the machine's own process 1 to ask is nobody any more.
        let is_over = status.contains("State: Z") && status.contains("PPid: 1,");
        uids.split_whitespace().any(|word| word.parse() == Ok(uid)) && !is_over
    };
    let groups =
        ["", "memory", "pids", "unified"].map(|tree| Path::new("/sys/fs/cgroup").join(tree));
    Left {
        processes: list(Path::new("/proc"))
            .map(|entry| status(entry.path()))
            .filter(is_ours)
            .collect(),
        mounts: text("/proc/self/mountinfo".into())
            .lines()
            .filter(|line| line.contains(called))
            .map(str::to_owned)
            .collect(),
        groups: groups
            .iter()
            .flat_map(|tree| list(&tree.join("handoff")))
            .map(|entry| entry.path())
            .filter(|path| path.to_string_lossy().contains(called))
            .collect(),
        loops: list(Path::new("/sys/block"))
            .map(|entry| entry.path().join("loop/backing_file"))
            .filter(|file| text(file.clone()).contains(called))
            .collect(),
        files: PLACES
            .iter()
            .flat_map(|place| list(Path::new(place)))
            .map(|entry| entry.path())
            .filter(|path| of_uid(path))
            .collect(),
    }
}

/// A number of a user that nobody else has, not even another test at the same time.
fn own_uid(of_user: bool) -> u32 {
    700_000_000 + std::process::id() % 100_000_000 * 2 + u32::from(of_user)
}

/// How the names of that uid's runs begin: the other test's run at the same time.
fn called(uid: u32) -> String {
    format!("escape-{}-{uid}-", std::process::id())
}

/// A jail of that uid, whose caller is root or has the uid as well.
fn jail_of<'a>(lab: &'a Lab, name: &str, of_user: bool) -> Jail<'a> {
    let uid = own_uid(of_user);
    let mut jail = lab.jail(name);
    jail.spec.name = called(uid) + name;
    // All share the directories, which belong to somebody else.
    jail.spec.host_uid = (!of_user).then_some(uid);
    for mount in &mut jail.spec.mounts {
        mount.source = lab.directory_of_run("shared");
    }
    jail.spec.mounts.pop();
    jail.spec.cwd = "/home/alice".into();
    if of_user {
        let ids = ["reuid", "regid"].map(|id| format!("--{id}={uid}"));
        let [reuid, regid] = ids;
        jail = jail.started_by(["/usr/bin/setpriv".into(), "--clear-groups".into(), reuid, regid]);
    }
    jail
}

/// One run, and the end that its number gives it.
fn run(lab: &Lab, number: usize, of_user: bool) {
    let name = format!("n{number}");
    let jail = || jail_of(lab, &name, of_user);
    let started = || jail().start(&perl(&format!("{STUBBORN} sleep 1000 while 1")));
    match number % ENDINGS {
        0 => assert_eq!(jail().run(&["/bin/sh", "-c", "exit 7"]).code, 7),
        1 => assert_eq!(jail().run(&perl(&format!("{STUBBORN} exit 3"))).code, 3),
        2 => {
            let refused = jail().run(&["/nonexistent"]);
            assert!(refused.refused.is_some(), "{refused:?}");
        }
        3 => {
            let mut live: Live = started();
            assert_eq!(live.line(), "up");
            assert_eq!(live.kill().code, 124);
        }
        _ => {
            let live = started();
            // At another moment of its start each time.
            let moment = i64::try_from(number / ENDINGS % 30).expect("small") * 1_000_000;
            poll(&mut [], Some(&Timespec { tv_sec: 0, tv_nsec: moment })).expect("wait");
            live.kill_caller_early();
            // The next run of a name removes the group of a caller that died; so does any run, later.
            assert_eq!(jail().run(&["/bin/true"]).code, 0);
        }
    }
}

fn attempt(runs: usize, of_user: bool) {
    let lab = Lab::new(env!("CARGO_BIN_EXE_jail"), Caller::Root);
    let reports = lab.path("reports");
    fs::create_dir(&reports).expect("directory");
    fs::set_permissions(&reports, fs::Permissions::from_mode(0o777)).expect("mode");
    let uid = own_uid(of_user);
    let called = called(uid);
    assert_eq!(left(uid, &called), Left::default());

    // The search finds what is there.
    let mut live =
        jail_of(&lab, "there", of_user).start(&perl(&format!("{STUBBORN} sleep 1000 while 1")));
    assert_eq!(live.line(), "up");
    let found = left(uid, &called);
    assert!(found.processes.len() >= 3, "{found:?}");
    assert_eq!(found.groups.is_empty(), of_user, "{found:?}");
    drop(live.kill());

    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= runs {
                        return;
                    }
                    run(&lab, number, of_user);
                }
            });
        }
    });
    // The kernel takes a moment over what it has killed.
    let soon = Instant::now() + Duration::from_secs(60);
    while left(uid, &called) != Left::default() && Instant::now() < soon {
        poll(&mut [], Some(&Timespec { tv_sec: 0, tv_nsec: 10_000_000 })).expect("wait");
    }
    assert_eq!(left(uid, &called), Left::default());
}

#[test]
fn six_hundred_runs_of_root_leave_nothing() {
    attempt(600, false);
}

#[test]
fn four_hundred_runs_of_an_ordinary_user_leave_nothing() {
    attempt(400, true);
}

/// Every path beneath a directory.
fn paths(directory: &Path, found: &mut BTreeSet<PathBuf>) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        found.insert(entry.path());
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            paths(&entry.path(), found);
        }
    }
}

/// Programs of a world that run, but for its daemon.
fn programs(world: &World) -> Vec<String> {
    let list = fs::read_dir("/proc").expect("list").flatten();
    let of_world = |path: &Path| {
        fs::read_link(path.join("exe")).is_ok_and(|program| program.starts_with(world.path()))
    };
    list.map(|entry| entry.path())
        .filter(|path| of_world(path))
        .map(|path| fs::read_to_string(path.join("cmdline")).unwrap_or_default().replace('\0', " "))
        .filter(|line| !line.contains("serve"))
        .collect()
}

fn through_the_daemon(world: &World) {
    let state = world.local_daemon();
    world.configure("[runs]\ndisk = \"16MiB\"\n");
    let directory = world.directory("app");
    world.write(&directory.join("file"), "content\n");
    let first = world.hand_off(&directory, ["--", "true"]);
    world.finished(&directory, &first);
    world.handoff(&directory, ["rm", &first]).ok();
    world.handoff(&world.home(), ["ls", "--all"]).ok();
    let mut before = BTreeSet::new();
    paths(&state.join("runs"), &mut before);

    let endings = [
        ("exit 0", "succeeded"),
        ("exit 3", "failed"),
        ("setsid sleep 1000 & disown; exit 0", "succeeded"),
        ("trap '' TERM; head -c 64M /dev/zero > big; sleep 1000", "failed"),
        ("mkdir -p a/b; chmod 000 a/b; mkfifo p; ln -s / l; kill -9 $$", "failed"),
    ];
    let mut ids = Vec::new();
    for (script, _) in endings.iter().cycle().take(2 * endings.len()) {
        ids.push(world.hand_off(&directory, ["--", "bash", "-c", script]));
    }
    let stopped = world.hand_off(&directory, ["--", "bash", "-c", "sleep 1000 & wait"]);
    world.handoff(&directory, ["stop", &stopped]).ok();
    for (id, (script, outcome)) in ids.iter().zip(endings.iter().cycle()) {
        let run = world.finished(&directory, id);
        assert_eq!(run["outcome"], Value::from(*outcome), "{script}: {run:#}");
    }
    assert_eq!(world.finished(&directory, &stopped)["outcome"], "cancelled");
    for id in ids.iter().chain([&stopped]) {
        world.handoff(&directory, ["rm", id]).ok();
    }
    let mut after = BTreeSet::new();
    paths(&state.join("runs"), &mut after);
    assert_eq!(after, before);
    assert_eq!(programs(world), Vec::<String>::new());
    let mounts = fs::read_to_string("/proc/self/mountinfo").expect("mounts");
    assert!(!mounts.contains(&*world.path().to_string_lossy()), "{mounts}");
    for id in ids.iter().chain([&stopped]) {
        assert_eq!(left(u32::MAX, id), Left::default());
    }
}

#[test]
fn runs_of_a_daemon_that_is_root_leave_nothing_once_they_are_removed() {
    through_the_daemon(&World::new());
}

#[test]
fn runs_of_a_daemon_that_is_an_ordinary_user_leave_nothing_once_they_are_removed() {
    through_the_daemon(&World::ordinary());
}

#[test]
fn runs_with_subordinate_ids_leave_nothing_once_they_are_removed() {
    through_the_daemon(&World::with_subordinate_ids());
}

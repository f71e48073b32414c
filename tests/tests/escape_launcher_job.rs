//! Attempt: have the launcher run, as root's word, a job that the operator does not allow.

use std::{fs, os::unix::fs::symlink};

use handoff_sandbox::{Access, HostUser, Mount, Network};
use handoff_tests::{
    launched::Launched,
    service::{RUNS, Service},
};

/// Says who the command is on the host, by the map of its namespace.
const WHO: &str = "cut -d' ' -f1 /proc/self/uid_map; awk '{ print $1, $2, $3 }' /proc/self/uid_map";

#[test]
fn only_what_the_settings_allow_is_started() {
    let service = Service::start("");
    assert!(Launched::new(&service, 1, "echo honest").succeeds().contains("honest"));

    let mount = |source: &str, access| Mount {
        source: source.into(),
        target: "/home/alice/stolen".into(),
        access,
    };
    let root = HostUser { uid: 0, gid: 0 };
    let state = service.state().canonicalize().expect("real path");
    let state = state.to_str().expect("text");
    for (source, access) in [
        ("/etc", Access::ReadOnly),
        ("/etc", Access::ReadWrite),
        ("/root", Access::ReadOnly),
        ("/root", Access::ReadOnlyAsOwner),
        ("/root", Access::ReadOnlyOf(root)),
        ("/root", Access::ReadWriteOf(root)),
        (state, Access::ReadOnly),
    ] {
        let mut run = Launched::new(&service, 2, "true");
        run.spec.mounts.push(mount(source, access));
        run.is_refused("may not be shown");
    }
    let mut run = Launched::new(&service, 2, "true");
    run.spec.mounts[0].access = Access::ReadWriteOf(root);
    run.is_refused("may not be shown");
    let other = Launched::new(&service, 1, "true");
    let mut run = Launched::new(&service, 2, "true");
    run.spec.mounts[0].source = other.path("writable/home").canonicalize().expect("real path");
    run.is_refused("may not be shown");
    for uid in [0, 54_321, RUNS.start] {
        let mut run = Launched::new(&service, 2, "true");
        run.spec.host_uid = Some(uid);
        run.is_refused("the launcher chooses the run's uid");
    }
    let mut run = Launched::new(&service, 2, "true");
    run.spec.network = Network::Host;
    run.is_refused("the settings do not allow this network");
    let mut run = Launched::new(&service, 2, "true");
    run.spec.limits.memory_bytes = 1 << 50;
    run.is_refused("more memory than the settings allow");
    let mut run = Launched::new(&service, 2, "true");
    run.spec.name = format!("{}-command", other.id);
    run.is_refused("not after its run");
    // None of it has spoilt anything.
    assert!(Launched::new(&service, 2, "echo honest").succeeds().contains("honest"));
}

#[test]
fn a_link_in_the_place_of_what_is_shown_leads_nowhere() {
    let service = Service::start("");
    let canary = service.path("canary");
    fs::create_dir(&canary).expect("directory");
    fs::write(canary.join("secret"), "canary").expect("write");
    assert!(Launched::new(&service, 1, "ls ~").succeeds().contains("app"));
    let run = Launched::new(&service, 2, "cat ~/secret; touch ~/planted");
    fs::remove_dir(run.path("writable/home")).expect("remove");
    symlink(&canary, run.path("writable/home")).expect("link");
    run.give(&run.path("writable/home"));
    assert_eq!(run.start(), "\"ready\"");
    let ended = run.ended();
    assert_eq!((&ended["kind"], &ended["step"]), (&"refused".into(), &"source".into()), "{ended}");
    assert!(!run.output().contains("canary") && !canary.join("planted").exists());
}

#[test]
fn what_root_owns_in_what_is_shown_stays_closed_to_the_run() {
    let service = Service::start("");
    let (secret, script) = (service.path("secret"), service.path("script"));
    fs::write(&secret, "canary").expect("write");
    fs::write(&script, "root's").expect("write");
    let mode = |path, mode| {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
        fs::set_permissions(path, mode).expect("mode");
    };
    mode(&secret, 0o600);
    mode(&script, 0o644);
    let run = Launched::new(
        &service,
        1,
        "cat own && echo changed > own && chmod 700 own && cat script; \
         cat secret; echo hit >> script; chmod 777 script; rm -f secret; stat -c %U:%G script",
    );
    run.write(&run.path("writable/workspace/own"), b"own");
    fs::hard_link(&secret, run.path("writable/workspace/secret")).expect("link");
    fs::hard_link(&script, run.path("writable/workspace/script")).expect("link");
    let output = run.succeeds();
    assert!(output.contains("own") && output.contains("root's"), "what it may: {output}");
    assert!(!output.contains("canary") && output.contains("secret: Permission denied"), "{output}");
    assert!(output.contains("script: Permission denied"), "{output}");
    assert!(output.contains("changing permissions of 'script'"), "{output}");
    assert_eq!(fs::read_to_string(&secret).expect("read"), "canary");
    assert_eq!(fs::read_to_string(&script).expect("read"), "root's");
    assert_eq!(fs::read_to_string(run.path("writable/workspace/own")).expect("read"), "changed\n");
    // A file of root's in the place of a directory is shown to nobody who cannot read it anyway.
    let run = Launched::new(&service, 2, "cat ~; echo hit >> ~");
    fs::remove_dir(run.path("writable/home")).expect("remove");
    fs::hard_link(&secret, run.path("writable/home")).expect("link");
    let mut run = run;
    run.spec.mounts.pop();
    run.spec.cwd = "/tmp".into();
    assert_eq!(run.start(), "\"ready\"");
    let ended = run.ended();
    assert_ne!(ended["code"], 0, "{ended}");
    assert!(!run.output().contains("canary"), "{}", run.output());
    assert_eq!(fs::read_to_string(&secret).expect("read"), "canary");
}

#[test]
fn two_runs_that_live_at_the_same_time_have_two_uids() {
    let service = Service::start("");
    let wait = "touch up; until [ -e go ]; do read -t 0.05 _ <> <(:); done; true";
    let runs = [1, 2, 3].map(|number| Launched::new(&service, number, &format!("{WHO}; {wait}")));
    for run in &runs {
        assert_eq!(run.start(), "\"ready\"");
        assert_eq!(run.ask(), "\"already_running\"", "a job is started once");
    }
    let mut uids: Vec<u32> = runs.iter().map(host_uid).collect();
    assert!(uids.iter().all(|uid| RUNS.contains(uid)), "{uids:?}");
    uids.sort_unstable();
    uids.dedup();
    assert_eq!(uids.len(), runs.len());
    for run in &runs {
        run.write(&run.path("writable/workspace/go"), b"");
        assert_eq!(run.ended()["code"], 0);
        assert_eq!(run.ask(), "\"already_spawned\"");
    }
}

/// The uid under which a run's command runs, as the host sees it.
fn host_uid(run: &Launched<'_>) -> u32 {
    use std::os::unix::fs::MetadataExt as _;
    let needle = run.path("writable/workspace").canonicalize().expect("real path");
    let needle = needle.metadata().expect("workspace").ino();
    loop {
        let found = fs::read_dir("/proc").expect("/proc").flatten().find_map(|entry| {
            let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
            // Of processes in the run's mount namespace, one that works in its tree.
            let cwd = fs::metadata(format!("/proc/{pid}/cwd")).ok()?;
            let uid = entry.metadata().ok()?.uid();
            (cwd.ino() == needle && RUNS.contains(&uid)).then_some(uid)
        });
        if let Some(uid) = found {
            return uid;
        }
        assert!(!run.job("exit.json").exists(), "ended: {}", run.output());
    }
}

use std::path::PathBuf;

use handoff_sandbox::{Account, LayerName, Overlay};

use super::*;
use crate::supervisor::Reads;

const USER: HostUser = HostUser { uid: 990, gid: 991 };

fn run() -> RunId {
    RunId::from_random([3; 10])
}

fn in_run(name: &str) -> PathBuf {
    Path::new("/state/runs").join(run().as_str()).join(name)
}

fn mount(source: impl Into<PathBuf>, access: Access) -> Mount {
    Mount { source: source.into(), target: "/home/alice".into(), access }
}

fn job() -> Job {
    let spec = Spec {
        name: format!("{}-command", run()),
        argv: vec!["true".into()],
        env: Vec::new(),
        cwd: "/home/alice".into(),
        account: Account { uid: 1000, gid: 1000, user: "alice".into(), home: "/home/alice".into() },
        host_uid: None,
        hostname: "handoff".into(),
        mounts: vec![mount(in_run("writable/home"), Access::ReadWrite)],
        overlays: Vec::new(),
        terminal: None,
        network: Network::None,
        limits: workspace::limits(&Config::default()),
        umask: 0o022,
        require: Vec::new(),
    };
    Job {
        steps: vec![Step { name: "command".into(), spec }],
        time_limit_seconds: Some(60),
        setup_limit_seconds: Some(60),
        output_limit_bytes: 1 << 20,
        kill_grace_ms: 1000,
        egress: None,
        disk: Some(disk()),
        reads: Reads::Nothing,
        writable: Some(in_run("writable")),
    }
}

fn disk() -> DiskLimits {
    let config = Config::default();
    DiskLimits::new(config.runs.disk_bytes, config.store.reserve_bytes)
}

fn vet_by(config: &Config, change: impl FnOnce(&mut Job)) -> Result<Job, String> {
    let (mut job, run) = (job(), run());
    change(&mut job);
    let rules = Rules {
        config,
        tools: &Tools::default(),
        state: Path::new("/state"),
        user: USER,
        run: &run,
        uid: uids_first(),
    };
    rules.vet(job).map_err(|error| error.to_string())
}

fn uids_first() -> u32 {
    crate::launcher::uids::FIRST
}

fn refused(part: &str, change: impl FnOnce(&mut Job)) {
    let error = vet_by(&Config::default(), change).expect_err(part);
    assert!(error.contains(part), "{part:?} in {error:?}");
}

fn refused_spec(part: &str, change: impl FnOnce(&mut Spec)) {
    refused(part, |job| change(&mut job.steps[0].spec));
}

#[test]
fn what_is_the_daemons_becomes_the_runs_and_nobody_elses() {
    let mounts = vec![
        mount(in_run("writable/home"), Access::ReadWrite),
        mount(in_run("writable/workspace"), Access::ReadWrite),
        mount(in_run("writable/workspace"), Access::ReadOnly),
        mount(in_run("base"), Access::ReadOnly),
        mount(in_run("rules"), Access::ReadOnly),
        mount("/state/caches/0123", Access::ReadWrite),
    ];
    let job = vet_by(&Config::default(), |job| job.steps[0].spec.mounts = mounts).expect("allowed");
    let spec = &job.steps[0].spec;
    assert_eq!(spec.host_uid, Some(uids_first()));
    let shown: Vec<Access> = spec.mounts.iter().map(|mount| mount.access).collect();
    let (read, write) = (Access::ReadOnlyOf(USER), Access::ReadWriteOf(USER));
    assert_eq!(shown, [write, write, read, read, read, write]);
}

#[test]
fn nothing_else_of_the_host_is_shown() {
    let other = RunId::from_random([4; 10]);
    for source in [
        "/".into(),
        "/etc".into(),
        "/root".into(),
        "/state".into(),
        "/state/runs".into(),
        "/state/blobs".into(),
        "/state/caches".into(),
        "/state/caches/..".into(),
        "/state/caches/a/b".into(),
        "/state/caches/../runs".into(),
        Path::new("/state/runs").join(run().as_str()),
        Path::new("/state/runs").join(other.as_str()).join("writable/home"),
        in_run("jobs"),
        in_run("writable/home/../jobs"),
        in_run("writable/home/inner"),
        in_run("writable/changes"),
    ] {
        for access in [Access::ReadOnly, Access::ReadWrite] {
            refused_spec("may not be shown", |spec| {
                spec.mounts.push(mount(&source, access));
            });
        }
    }
    vet_by(&Config::default(), |job| job.writable = None).expect("watched alone");
    let others = Path::new("/state/runs").join(other.as_str()).join("writable");
    for bounded in ["/".into(), "/state".into(), in_run(""), in_run("writable/home"), others] {
        refused("directory to write in", |job| job.writable = Some(bounded));
    }
    for name in ["base", "rules"] {
        refused_spec("for writing", |spec| {
            spec.mounts.push(mount(in_run(name), Access::ReadWrite));
        });
    }
    // What belongs to root, or to anybody, is never made the run's by the daemon's word.
    let root = HostUser { uid: 0, gid: 0 };
    for access in [Access::ReadOnlyAsOwner, Access::ReadOnlyOf(root), Access::ReadWriteOf(root)] {
        refused_spec("may not be shown", |spec| {
            spec.mounts.push(mount(in_run("writable/home"), access));
        });
    }
}

#[test]
fn tools_that_the_settings_name_are_shown_as_everybody_sees_them() {
    let directory = tempfile::tempdir().expect("directory");
    let real = directory.path().canonicalize().expect("real path");
    let (config, run) = (Config::default(), run());
    let tools = Tools::configured(std::slice::from_ref(&real)).expect("tools");
    let vet = |access| {
        let mut job = job();
        job.steps[0].spec.mounts = vec![mount(&real, access)];
        let state = Path::new("/state");
        let rules = Rules { config: &config, tools: &tools, state, user: USER, run: &run, uid: 9 };
        rules.vet(job)
    };
    let job = vet(Access::ReadOnly).expect("allowed");
    assert_eq!(job.steps[0].spec.mounts[0].access, Access::ReadOnly);
    vet(Access::ReadWrite).expect_err("for writing");
    vet(Access::ReadOnlyAsOwner).expect_err("as root's");
}

#[test]
fn the_launcher_alone_chooses_the_uid() {
    for uid in [0, 1, 990, uids_first(), u32::MAX] {
        refused_spec("chooses the run's uid", |spec| spec.host_uid = Some(uid));
    }
}

#[test]
fn a_job_bears_the_name_of_its_run() {
    let other = RunId::from_random([4; 10]);
    for name in [format!("{other}-command"), run().to_string(), "x".into(), format!("x{}-", run())]
    {
        refused_spec("not after its run", |spec| spec.name = name);
    }
}

#[test]
fn the_network_is_what_the_settings_say_at_most() {
    refused_spec("network", |spec| spec.network = Network::Host);
    let mut config = Config::default();
    config.network.access = NetworkAccess::Host;
    vet_by(&config, |job| job.steps[0].spec.network = Network::Host).expect("allowed");
    vet_by(&config, |job| job.steps[0].spec.network = Network::Fenced).expect("allowed");
    config.network.access = NetworkAccess::None;
    let error = vet_by(&config, |job| job.steps[0].spec.network = Network::Fenced);
    assert!(error.expect_err("no network").contains("network"));
    vet_by(&config, |_| {}).expect("less is always allowed");
}

#[test]
fn limits_are_what_the_settings_say_at_most() {
    vet_by(&Config::default(), |_| {}).expect("exactly as much is allowed");
    refused_spec("memory", |spec| spec.limits.memory_bytes += 1);
    refused_spec("processes", |spec| spec.limits.processes += 1);
    refused_spec("open files", |spec| spec.limits.open_files += 1);
    refused_spec("/tmp", |spec| spec.limits.tmp_bytes = u64::MAX);
    refused_spec("shared memory", |spec| spec.limits.shm_bytes += 1);
    refused_spec("one file", |spec| spec.limits.file_size_bytes = Some(u64::MAX));
    refused("time", |job| job.time_limit_seconds = None);
    refused("time", |job| job.time_limit_seconds = Some(6 * 3600 + 1));
    refused("output", |job| job.output_limit_bytes = u64::MAX);
    refused("disk", |job| job.disk = None);
    refused("disk", |job| job.disk = Some(DiskLimits { bytes: u64::MAX, ..disk() }));
    refused("files", |job| job.disk = Some(DiskLimits { files: u64::MAX, ..disk() }));
    refused("reserve", |job| job.disk = Some(DiskLimits { reserve_bytes: 0, ..disk() }));
    refused("time to end", |job| job.kill_grace_ms = 60_000);
    refused("time for setting up", |job| {
        job.setup_limit_seconds = None;
        job.steps.push(job.steps[0].clone());
    });
}

#[test]
fn every_step_is_looked_at() {
    refused("/etc may not be shown", |job| {
        let mut step = job.steps[0].clone();
        step.spec.mounts.push(mount("/etc", Access::ReadOnly));
        job.steps.push(step);
    });
}

#[test]
fn trees_that_are_shared_and_layers_that_are_left_out_are_refused() {
    refused_spec("trees", |spec| {
        spec.overlays.push(Overlay {
            lowers: vec![in_run("writable/workspace")],
            changes: in_run("writable/changes"),
            target: "/x".into(),
            access: Access::ReadWrite,
        });
    });
    let mut config = Config::default();
    config.isolation.require = vec!["memory".into()];
    let error = vet_by(&config, |_| {}).expect_err("left out");
    assert!(error.contains("layer memory"), "{error}");
    let required = |job: &mut Job| job.steps[0].spec.require = vec![LayerName::Memory];
    vet_by(&config, required).expect("kept");
}

//! Limits on what a job writes: whatever it does to the disk, it ends by name, and only then.

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::Path;

use handoff_daemon::supervisor::{DiskLimits, Ended, Job, started};
use handoff_sandbox::{LayerName, LayerState};
use rustix::fs::statvfs;

use crate::scene::{Scene, text};

const MIB: u64 = 1 << 20;

/// No disk is ever so full, or so empty, that this matters.
const LIMITS: DiskLimits = DiskLimits { bytes: 32 * MIB, files: 2000, reserve_bytes: 0 };

fn limited(scene: &Scene, script: &str, limits: DiskLimits) -> Job {
    Job { disk: Some(limits), ..scene.job(script) }
}

/// Runs a script that would go on for ever, and expects it to be ended by this limit.
async fn check_ended(script: &str, limits: DiskLimits, limit: &str) -> Scene {
    let scene = Scene::new();
    let script = format!("{script}; {}", scene.sleep());
    let (exit, output) = scene.run(&limited(&scene, &script, limits)).await;
    let ended = Ended::DiskLimit { limit: limit.to_owned() };
    assert_eq!(exit.ended, ended, "{}", text(&output.stderr));
    scene.check_nothing_left();
    scene
}

#[tokio::test]
async fn whoever_writes_too_much_is_killed_wherever_it_hides_it() {
    let limit = "disk limit of 32 MiB";
    for script in [
        "head -c 64M /dev/zero > file",
        "for i in $(seq 64); do head -c 1M /dev/zero > $i; done",
        "trap '' TERM; setsid head -c 64M /dev/zero > file & wait",
        "mkdir -p d/d/d; head -c 64M /dev/zero > d/d/d/file; ln d/d/d/file other",
        // Nobody finds it by a name.
        "exec 3>file; rm file; head -c 64M /dev/zero >&3",
        "exec 3>file; rm file; (exec 4>other; rm other; head -c 24M /dev/zero >&4; exec sleep 1000) & \
         head -c 24M /dev/zero >&3; wait",
    ] {
        check_ended(script, LIMITS, limit).await;
    }
}

#[tokio::test]
async fn whoever_makes_too_many_files_is_killed() {
    let script = "i=0; while : ; do i=$((i + 1)); : > $i; done";
    check_ended(script, LIMITS, "disk limit of 2000 files").await;
    let script = "i=0; while : ; do i=$((i + 1)); mkdir $i; done";
    check_ended(script, LIMITS, "disk limit of 2000 files").await;
}

#[tokio::test]
async fn what_was_there_and_what_takes_no_room_is_free() {
    let scene = Scene::new();
    let job = |script: &str| limited(&scene, script, LIMITS);
    // The directory is made with the first description of a job.
    drop(job(""));
    let work = scene.directory.path().join("work");
    let before = work.join("before");
    fs::write(&before, vec![1; 40 << 20]).expect("write");
    // Only what is one's own may be linked where `fs.protected_hardlinks` is set.
    let owner = fs::metadata(&work).expect("there");
    chown(&before, Some(owner.uid()), Some(owner.gid())).expect("chown");
    // Long enough for a look or two.
    let script = "truncate -s 1T sparse && ln before again && ln -s /usr link && \
                  head -c 20M /dev/zero > a && rm a && head -c 20M /dev/zero > /tmp/memory && \
                  sleep 2.5 && ls -s sparse";
    let (exit, output) = scene.run(&job(script)).await;
    assert_eq!(exit.ended, Ended::Code { code: 0 }, "{}", text(&output.stderr));
    assert_eq!(text(&output.stdout), "0 sparse\n");
    let isolation = started(&scene.job_dir).await.expect("read").expect("it has run");
    let disk = isolation.layer(LayerName::Disk).expect("disk");
    assert_eq!(disk.state, LayerState::Partial);
    assert!(disk.detail.ends_with("32 MiB, 2000 files"), "{}", disk.detail);
}

#[tokio::test]
async fn a_set_up_step_is_named() {
    let scene = Scene::new();
    let mut job = limited(&scene, "true", LIMITS);
    let fill = format!("head -c 64M /dev/zero > file; {}", scene.sleep());
    let mut step = scene.step("fill it", &fill);
    step.spec.name.push_str("-setup");
    job.steps.insert(0, step);
    let (exit, _) = scene.run(&job).await;
    let (step, detail) = ("setup: fill it".into(), "disk limit of 32 MiB".into());
    assert_eq!(exit.ended, Ended::Refused { step, detail });
    scene.check_nothing_left();
}

#[tokio::test]
async fn where_the_disk_is_too_full_only_who_has_written_ends() {
    let free = |path: &Path| statvfs(path).map(|disk| disk.f_bavail * disk.f_frsize);
    let scene = Scene::new();
    // Far more than is free.
    let reserve_bytes = free(scene.directory.path()).expect("statvfs").next_power_of_two() * 4;
    let limits = DiskLimits { reserve_bytes, ..LIMITS };
    let (exit, _) = scene.run(&limited(&scene, "sleep 3", limits)).await;
    assert_eq!(exit.ended, Ended::Code { code: 0 });

    let scene = Scene::new();
    let script = format!("echo x > file; {}", scene.sleep());
    let (exit, _) = scene.run(&limited(&scene, &script, limits)).await;
    let Ended::DiskLimit { limit } = &exit.ended else { panic!("{exit:?}") };
    assert!(limit.starts_with("disk of the daemon is full: less than"), "{limit}");
    File::open(scene.directory.path().join("work/file")).expect("what was written is there");
}

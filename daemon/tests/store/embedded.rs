//! What the embedded store promises beyond the interfaces: it survives kill -9, says when the disk
//! is full, keeps its files to itself and its memory flat, and commits in groups.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    os::unix::fs::MetadataExt,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant, SystemTime},
};

use handoff_daemon::store::{
    BlobError, Rev, Store, StoreError,
    embedded::{Device, Embedded, EnrollError},
};
use handoff_proto::chunk::ChunkId;
use tokio::task::JoinSet;

use crate::sample::{blob, record, run, user};

/// Set in a child process: the directory of the store that it fills until it is killed.
const FILL: &str = "HANDOFF_TEST_FILL";

/// Runs one test of this program in a child process with an environment variable.
fn child(test: &str, variable: &str, value: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.args([test, "--exact", "--nocapture"]).env(variable, value);
    command
}

#[test]
fn kill_nine_loses_nothing_acknowledged() {
    if let Some(directory) = std::env::var_os(FILL) {
        return fill(Path::new(&directory));
    }
    let directory = tempfile::tempdir().expect("directory");
    for round in 1..=3_u64 {
        let name = "embedded::kill_nine_loses_nothing_acknowledged";
        let mut child = child(name, FILL, directory.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("child");
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let mut acknowledged = 0;
        for line in lines.map_while(Result::ok) {
            acknowledged = line.trim().parse().unwrap_or(acknowledged);
            if acknowledged >= round * 150 {
                break;
            }
        }
        // SIGKILL, in the middle of whatever it does.
        child.kill().expect("kill");
        child.wait().expect("wait");
        let kept = kept(directory.path());
        assert!(acknowledged >= round * 150 && kept >= acknowledged, "{kept} of {acknowledged}");
    }
}

/// Appends records and blobs for ever and prints the number of each one that is acknowledged.
fn fill(directory: &Path) {
    let store = Embedded::open(directory).expect("store").interfaces();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("rt");
    let known = runtime.block_on(store.log.read(&run(1), Rev::ZERO, usize::MAX)).expect("read");
    let (mut at, first) = known.last().map_or((Rev::ZERO, 1), |(rev, last)| (*rev, last.seq + 1));
    for seq in first.. {
        let (id, bytes) = blob(seq, 3000);
        let mut writer = store.blobs.writer(&user("ada"));
        writer.put(&id, &bytes).expect("put");
        writer.commit().expect("commit");
        at = runtime.block_on(store.log.append(&run(1), at, &[record(seq)])).expect("append");
        let mut out = std::io::stdout();
        if writeln!(out, "{seq}").and_then(|()| out.flush()).is_err() {
            return;
        }
    }
}

/// How many records there are; each one's blob must be readable.
fn kept(directory: &Path) -> u64 {
    let store = Embedded::open(directory).expect("store").interfaces();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("rt");
    let known = runtime.block_on(store.log.read(&run(1), Rev::ZERO, usize::MAX)).expect("read");
    for ((_, record), seq) in known.iter().zip(1..) {
        assert_eq!(record.seq, seq, "no gap");
        let (id, bytes) = blob(seq, 3000);
        assert_eq!(store.blobs.read_blocking(&user("ada"), &id).expect("blob"), bytes);
    }
    known.len() as u64
}

/// Bytes that the file system of the full-disk test has.
const SMALL_DISK: &str = "size=24m";

/// Set in a child process in a mount namespace of its own: where it may mount a small disk.
const DISK: &str = "HANDOFF_TEST_DISK";

#[test]
fn a_full_disk_is_an_error_of_its_own_and_changes_nothing() {
    if let Some(directory) = std::env::var_os(DISK) {
        return fill_the_disk(Path::new(&directory));
    }
    let directory = tempfile::tempdir().expect("directory");
    let test = child(
        "embedded::a_full_disk_is_an_error_of_its_own_and_changes_nothing",
        DISK,
        directory.path(),
    );
    let output = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "--"])
        .arg(test.get_program())
        .args(test.get_args())
        .env(DISK, directory.path())
        .output()
        .expect("unshare");
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}{err}");
}

fn fill_the_disk(directory: &Path) {
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", SMALL_DISK, "tmpfs"])
        .arg(directory)
        .status()
        .expect("mount");
    assert!(mounted.success());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("rt");
    let opened = Embedded::open(directory).expect("store");
    let (store, ada) = (opened.interfaces(), user("ada"));
    // Content first: a blob that does not fit any more.
    let first = blob(1, 1 << 20);
    let mut writer = store.blobs.writer(&ada);
    writer.put(&first.0, &first.1).expect("put");
    writer.commit().expect("commit");
    let mut writer = store.blobs.writer(&ada);
    let full = (2..40).find_map(|seed| {
        let (id, bytes) = blob(seed, 1 << 20);
        writer.put(&id, &bytes).err()
    });
    let full = match full {
        Some(error) => {
            drop(writer);
            error
        }
        None => writer.commit().expect_err("it is full"),
    };
    assert!(matches!(full, BlobError::Store(StoreError::DiskFull { .. })), "{full}");
    // The failed writer has given its space back; events fill the rest.
    assert!(opened.free_bytes().expect("free") > 10 << 20);
    let (mut at, mut seq) = (Rev::ZERO, 1);
    let error = loop {
        let batch = [crate::sample::record_with(seq, "x".repeat(200_000))];
        match runtime.block_on(store.log.append(&run(1), at, &batch)) {
            Ok(next) => (at, seq) = (next, seq + 1),
            Err(error) => break error,
        }
    };
    let text = format!("{error:?}");
    assert!(text.contains("DiskFull"), "{text}");
    // Nothing is lost, and the store works again once there is room.
    let read = runtime.block_on(store.log.read(&run(1), Rev::ZERO, usize::MAX)).expect("read");
    assert_eq!(read.len() as u64, seq - 1);
    assert_eq!(store.blobs.read_blocking(&ada, &first.0).expect("blob"), first.1);
    let remounted = Command::new("mount")
        .args(["-o", "remount,size=64m"])
        .arg(directory)
        .status()
        .expect("mount");
    assert!(remounted.success());
    runtime.block_on(store.log.append(&run(1), at, &[record(seq)])).expect("there is room");
    drop((store, opened));
    let store = Embedded::open(directory).expect("store").interfaces();
    let read = runtime.block_on(store.log.read(&run(1), Rev::ZERO, usize::MAX)).expect("read");
    assert_eq!(read.len() as u64, seq);
}

#[test]
fn a_second_daemon_is_refused() {
    let directory = tempfile::tempdir().expect("directory");
    let first = Embedded::open(directory.path()).expect("store");
    let error = Embedded::open(directory.path()).expect_err("it is in use");
    assert!(matches!(error, StoreError::InUse { .. }), "{error}");
    drop(first);
    Embedded::open(directory.path()).expect("it is free again");
}

#[test]
fn files_are_for_their_owner_alone() {
    let parent = tempfile::tempdir().expect("directory");
    let directory = parent.path().join("state");
    let store = Embedded::open(&directory).expect("store");
    let mut writer = store.interfaces().blobs.writer(&user("ada"));
    let (id, bytes) = blob(1, 100);
    writer.put(&id, &bytes).expect("put");
    writer.commit().expect("commit");
    let mut seen = 0;
    for path in [directory.clone(), directory.join("segments")] {
        assert_eq!(fs::metadata(&path).expect("directory").mode() & 0o777, 0o700, "{path:?}");
        for entry in fs::read_dir(&path).expect("list") {
            let entry = entry.expect("entry");
            let metadata = entry.metadata().expect("metadata");
            seen += u32::from(metadata.is_file());
            let expected = if metadata.is_file() { 0o600 } else { 0o700 };
            assert_eq!(metadata.mode() & 0o777, expected, "{:?}", entry.path());
        }
    }
    assert!(seen >= 4, "lock, database, log, segment");
}

#[test]
fn a_torn_tail_and_stray_segments_are_normal() {
    let directory = tempfile::tempdir().expect("directory");
    let (ada, one, two) = (user("ada"), blob(1, 100_000), blob(2, 100_000));
    let segments = directory.path().join("segments");
    let put = |blob: &(ChunkId, Vec<u8>)| {
        let store = Embedded::open(directory.path()).expect("store").interfaces();
        let mut writer = store.blobs.writer(&ada);
        writer.put(&blob.0, &blob.1).expect("put");
        writer.commit().expect("commit");
    };
    put(&one);
    // A crash while writing: bytes behind what counts, and a file that nothing refers to.
    let segment =
        fs::read_dir(&segments).expect("list").next().expect("one").expect("entry").path();
    let length = fs::metadata(&segment).expect("segment").len();
    let mut file = fs::OpenOptions::new().append(true).open(&segment).expect("segment");
    file.write_all(&[0xAA; 12_345]).expect("write");
    fs::write(segments.join("000000000099.seg"), b"HANDOFFSEG").expect("write");
    fs::write(segments.join("notes.txt"), b"not ours").expect("write");
    put(&two);
    let names: Vec<_> =
        fs::read_dir(&segments).expect("list").map(|e| e.expect("entry").file_name()).collect();
    assert_eq!(names.len(), 2, "{names:?}: the segment and what is not ours");
    assert_eq!(fs::metadata(&segment).expect("segment").len(), 2 * length - 16);
    let store = Embedded::open(directory.path()).expect("store").interfaces();
    for (id, bytes) in [&one, &two] {
        assert_eq!(store.blobs.read_blocking(&ada, id).expect("blob"), *bytes);
    }
}

#[test]
fn a_damaged_segment_is_noticed() {
    let directory = tempfile::tempdir().expect("directory");
    let (ada, one) = (user("ada"), blob(1, 100_000));
    let store = Embedded::open(directory.path()).expect("store").interfaces();
    let mut writer = store.blobs.writer(&ada);
    writer.put(&one.0, &one.1).expect("put");
    writer.commit().expect("commit");
    let segment = directory.path().join("segments/000000000001.seg");
    let mut bytes = fs::read(&segment).expect("segment");
    bytes[50_000] ^= 1;
    fs::write(&segment, bytes).expect("write");
    let error = store.blobs.read_blocking(&ada, &one.0).expect_err("it is damaged");
    assert!(matches!(error, BlobError::Store(StoreError::Corrupt { .. })), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn segments_stay_small_and_vanish_with_their_content() {
    let directory = tempfile::tempdir().expect("directory");
    let store = Embedded::open(directory.path()).expect("store").interfaces();
    let ids = tokio::task::block_in_place(|| put_mebibytes(&store, 320));
    let sizes = || -> Vec<u64> {
        let list = fs::read_dir(directory.path().join("segments")).expect("list");
        list.map(|entry| entry.expect("entry").metadata().expect("metadata").len()).collect()
    };
    assert!(sizes().len() >= 5 && sizes().iter().all(|size| *size <= 64 << 20), "{:?}", sizes());
    store.blobs.delete(&user("ada"), &ids).await.expect("delete");
    assert_eq!(sizes(), [0; 0]);
}

/// Set in a child process, so that other tests do not count: where it stores blobs.
const MEASURE: &str = "HANDOFF_TEST_MEASURE";

#[test]
fn memory_does_not_grow_with_content() {
    const NAME: &str = "embedded::memory_does_not_grow_with_content";
    const GROWTH_MAX_KIB: u64 = 16 << 10;
    let Some(directory) = std::env::var_os(MEASURE) else {
        let directory = tempfile::tempdir().expect("directory");
        let output = child(NAME, MEASURE, directory.path()).output().expect("child");
        let out = String::from_utf8_lossy(&output.stdout);
        println!("{}", out.lines().find(|line| line.contains("MiB")).unwrap_or_default());
        assert!(output.status.success(), "{out}{}", String::from_utf8_lossy(&output.stderr));
        return;
    };
    let store = Embedded::open(Path::new(&directory)).expect("store").interfaces();
    put_mebibytes(&store, 8);
    let before = peak_memory_kib();
    let start = Instant::now();
    let ids = put_mebibytes(&store, 320);
    let (written, start) = (start.elapsed(), Instant::now());
    for id in &ids {
        store.blobs.read_blocking(&user("ada"), id).expect("blob");
    }
    let (read, grown) = (start.elapsed(), peak_memory_kib() - before);
    println!("320 MiB of blobs: written in {written:?}, read in {read:?}, {grown} KiB of memory");
    assert!(grown < GROWTH_MAX_KIB, "{grown} KiB");
}

/// Stores blobs of 1 MiB each in one commit.
fn put_mebibytes(store: &Store, count: u64) -> Vec<ChunkId> {
    let mut writer = store.blobs.writer(&user("ada"));
    let put = |seed| {
        let (id, bytes) = blob(count * 1000 + seed, 1 << 20);
        writer.put(&id, &bytes).expect("put");
        id
    };
    let ids = (0..count).map(put).collect();
    writer.commit().expect("commit");
    ids
}

/// The most memory that this process ever had.
fn peak_memory_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("VmHWM");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

/// How many times as fast 16 writers are as one at least; eight on the machine of this figure. Where
/// each had a commit of its own they would be about as fast.
const FASTER: f64 = 1.5;

/// How often two rates are measured.
const ROUNDS_MAX: u32 = 5;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn appends_are_committed_in_groups() {
    let rate = |writers: u8, each: u64| {
        // On a disk: in memory a commit costs nothing.
        let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("directory");
        let log = Embedded::open(directory.path()).expect("store").interfaces().log;
        async move {
            let start = Instant::now();
            let mut tasks = JoinSet::new();
            for writer in 0..writers {
                let (log, id) = (log.clone(), run(writer));
                tasks.spawn(async move {
                    let mut at = Rev::ZERO;
                    for seq in 1..=each {
                        at = log.append(&id, at, &[record(seq)]).await.expect("append");
                    }
                });
            }
            tasks.join_all().await;
            let took = start.elapsed().as_secs_f64();
            drop(directory);
            f64::from(writers) * (each as f64) / took
        }
    };
    // Whatever else writes to this disk may be in the way of either.
    for _ in 0..ROUNDS_MAX {
        let (alone, together) = (rate(1, 300).await, rate(16, 300).await);
        println!("appends per second: {alone:.0} by one writer, {together:.0} by 16");
        if together > FASTER * alone {
            return;
        }
    }
    panic!("a group costs more than one commit");
}

#[tokio::test]
async fn an_invitation_enrolls_one_device() {
    let directory = tempfile::tempdir().expect("directory");
    let devices = Embedded::open(directory.path()).expect("store").devices();
    let (now, ada) = (SystemTime::now(), user("ada"));
    let hour = Duration::from_secs(3600);
    let device = |number: u8| Device {
        fingerprint: [number; 32],
        user: user("ada"),
        name: format!("laptop {number}"),
        enrolled_at: now,
        revoked_at: None,
    };
    devices.invite([1; 32], &ada, now, now + hour).await.expect("invite");
    devices.invite([2; 32], &ada, now, now).await.expect("invite");
    assert_eq!(devices.invitation([1; 32], now).await.expect("usable").user, ada);
    devices.enroll([1; 32], device(1)).await.expect("enroll");
    for (secret, expected) in [(1, "used already"), (2, "expired"), (3, "unknown")] {
        let error = devices.enroll([secret; 32], device(2)).await.expect_err("refused");
        assert!(error.to_string().contains(expected), "{error}");
        assert!(devices.invitation([secret; 32], now).await.is_err());
    }
    assert_eq!(devices.list().await.expect("list").len(), 1, "refusals store nothing");
    devices.invite([4; 32], &ada, now, now + hour).await.expect("invite");
    assert_eq!(devices.revoke(&ada, now).await.expect("revoke"), 1);
    assert_eq!(devices.revoke(&ada, now).await.expect("revoke"), 0);
    let revoked = devices.find([1; 32]).await.expect("find").expect("it is known");
    assert!(revoked.revoked_at.is_some());
    let error = devices.enroll([4; 32], device(4)).await.expect_err("revoked with its user");
    assert!(matches!(error, EnrollError::Unknown), "{error}");
    assert_eq!(devices.find([9; 32]).await.expect("find"), None);
}

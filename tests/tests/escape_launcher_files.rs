//! Attempt: make a supervisor that is root write, read or connect elsewhere by what is planted in
//! its job's directory.

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink},
    path::Path,
};

use handoff_tests::{
    launched::Launched,
    service::{DAEMON, DAEMON_GROUP, Service, as_user, exchange},
};

/// Something of root's, which each attempt would change or tell.
struct Canary<'a>(&'a Path, u64);

impl<'a> Canary<'a> {
    fn new(path: &'a Path, mode: u32) -> Self {
        fs::write(path, "\"canary\"").expect("write");
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("mode");
        Self(path, path.metadata().expect("metadata").ino())
    }

    fn is_untouched(&self) {
        let meta = self.0.metadata().expect("metadata");
        assert_eq!((meta.uid(), meta.gid(), meta.ino()), (0, 0, self.1));
        assert_eq!(fs::read_to_string(self.0).expect("read"), "\"canary\"");
    }
}

#[test]
fn planted_links_and_other_names_are_not_written_through() {
    let service = Service::start("");
    let run = Launched::new(&service, 1, "echo honest");
    assert!(run.succeeds().contains("honest"));
    for name in ["job.json", "lock", "spawned", "started.json", "exit.json", "output"] {
        let meta = run.job(name).metadata().expect(name);
        let owner = (meta.uid(), meta.gid(), meta.nlink());
        assert_eq!(owner, (DAEMON, DAEMON_GROUP, 1), "{name}: the daemon can read it");
    }
    for (number, mode) in [(2, 0o600), (3, 0o666)] {
        let path = service.path(&format!("canary-{number}"));
        let canary = Canary::new(&path, mode);
        for (name, words) in [
            ("output", "write output"),
            ("lock", "lock the job"),
            ("spawned", "already_spawned"),
            ("job.json", "read the job"),
        ] {
            for plant in [
                |from: &Path, to: &Path| symlink(from, to),
                |from: &Path, to: &Path| fs::hard_link(from, to),
            ] {
                let run = Launched::new(&service, number, "true");
                run.describe();
                if name == "job.json" {
                    fs::remove_file(run.job(name)).expect("remove");
                }
                plant(&path, &run.job(name)).expect("plant");
                let answer = run.ask();
                assert!(answer.contains(words), "{name} {mode:o}: {answer}");
                assert!(!answer.contains("canary"), "{answer}");
                canary.is_untouched();
                fs::remove_dir_all(run.job("")).expect("remove");
            }
        }
    }
}

#[test]
fn a_pipe_in_the_place_of_a_file_holds_nobody_up() {
    let service = Service::start("");
    assert!(Launched::new(&service, 1, "echo honest").succeeds().contains("honest"));
    for (name, words) in [("output", "write output"), ("lock", "lock the job")] {
        let run = Launched::new(&service, 2, "true");
        run.describe();
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        let kind = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(rustix::fs::CWD, run.job(name), kind, mode, 0).expect("pipe");
        run.give(&run.job(name));
        let answer = run.ask();
        assert!(answer.contains(words), "{answer}");
        fs::remove_dir_all(run.job("")).expect("remove");
    }
}

#[test]
fn links_planted_while_a_job_runs_are_not_written_through() {
    let service = Service::start("");
    let path = service.path("canary");
    let canary = Canary::new(&path, 0o600);
    let run =
        Launched::new(&service, 1, "until [ -e go ]; do read -t 0.05 _ <> <(:); done; echo on");
    assert_eq!(run.start(), "\"ready\"");
    for name in ["exit.json.new", "exit.json"] {
        symlink(&path, run.job(name)).expect("plant");
    }
    let before = path.metadata().expect("metadata").ctime_nsec();
    run.write(&run.path("writable/workspace/go"), b"");
    // The supervisor cannot write down the end and says so to who is attached, as for a full disk.
    let socket = run.job("supervisor.sock");
    let mut said = String::new();
    while !said.contains("\"exited\"") {
        said = as_user(DAEMON, || exchange_line(&socket)).expect("attach");
    }
    canary.is_untouched();
    assert_eq!(path.metadata().expect("metadata").ctime_nsec(), before);
    fs::remove_file(run.job("exit.json.new")).expect("remove");
    assert_eq!(run.ended()["code"], 0, "once it can be written, it is");
    assert!(run.job("exit.json").symlink_metadata().expect("exit").is_file());
    canary.is_untouched();
}

/// Attaches and returns the first line that is said.
fn exchange_line(socket: &Path) -> std::io::Result<String> {
    use std::io::{BufRead as _, BufReader, Write as _};
    let mut stream = std::os::unix::net::UnixStream::connect(socket)?;
    stream.write_all(b"{\"type\":\"attach\"}\n")?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    Ok(line)
}

#[test]
fn a_job_directory_that_is_a_link_or_somebody_elses_is_not_opened() {
    let service = Service::start("");
    assert!(Launched::new(&service, 1, "echo honest").succeeds().contains("honest"));
    let elsewhere = service.path("elsewhere");
    for (part, number) in [("jobs/1-command", 2), ("jobs", 3), ("", 4)] {
        let run = Launched::new(&service, number, "true");
        run.describe();
        let (from, to) = (run.path(part), elsewhere.join(number.to_string()));
        fs::create_dir_all(&elsewhere).expect("directory");
        fs::set_permissions(&elsewhere, fs::Permissions::from_mode(0o755)).expect("mode");
        fs::rename(&from, &to).expect("move");
        symlink(&to, from.to_str().expect("text").trim_end_matches('/')).expect("link");
        let answer = run.ask();
        assert!(answer.contains("open the job directory: Too many levels"), "{part}: {answer}");
    }
    let run = Launched::new(&service, 5, "true");
    run.describe();
    chown(run.job(""), Some(0), Some(0)).expect("chown");
    let answer = run.ask();
    assert!(answer.contains("is somebody else's"), "{answer}");
    fs::set_permissions(run.job(""), fs::Permissions::from_mode(0o700)).expect("mode");
    let answer = run.ask();
    assert!(answer.contains("open the job directory: Permission denied"), "{answer}");
}

#[test]
fn strangers_are_not_heard_by_a_supervisor() {
    let service = Service::start("");
    let run = Launched::new(&service, 1, "until [ -e go ]; do read -t 0.05 _ <> <(:); done; true");
    assert_eq!(run.start(), "\"ready\"");
    let socket = run.job("supervisor.sock");
    let said = as_user(DAEMON, || exchange_line(&socket)).expect("attach");
    assert!(said.contains("\"hello\""), "{said}");
    let error = as_user(54_400, || exchange_line(&socket)).expect_err("closed to others");
    assert_eq!(error.kind(), std::io::ErrorKind::PermissionDenied);
    // Even where the way is open.
    for path in [socket.clone(), run.job(""), run.path("jobs"), run.path(""), service.state()] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o777)).expect("mode");
    }
    let runs = service.state().join("runs");
    fs::set_permissions(runs, fs::Permissions::from_mode(0o777)).expect("mode");
    let said = as_user(54_400, || exchange(&socket, b"{\"type\":\"kill\"}\n")).expect("connect");
    assert_eq!(said, "");
    let said = as_user(DAEMON, || exchange_line(&socket)).expect("attach");
    assert!(said.contains("\"hello\"") && !said.contains("\"exited\""), "{said}");
    run.write(&run.path("writable/workspace/go"), b"");
    assert_eq!(run.ended()["code"], 0);
}

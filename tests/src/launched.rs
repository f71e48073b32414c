//! A run in the state directory of a service, as a daemon would lay it out that obeys nobody.

use std::{
    fs::{self, File},
    os::unix::fs::{chown, lchown},
    path::{Path, PathBuf},
};

use handoff_proto::run::RunId;
use handoff_sandbox::{Access, Mount, Spec};
use rustix::fs::{FlockOperation, flock};
use serde_json::{Value, json};

use crate::escape::policy;
use crate::service::{DAEMON, DAEMON_GROUP, Service};

/// A run, with a job that can be described and started.
#[derive(Debug)]
pub struct Launched<'a> {
    service: &'a Service,
    /// Its id.
    pub id: RunId,
    /// Its policy, to be changed at will.
    pub spec: Spec,
}

impl<'a> Launched<'a> {
    /// Lays a run out that does `script`; `number` tells it from others of the service.
    #[must_use]
    pub fn new(service: &'a Service, number: u8, script: &str) -> Self {
        // No other service's: control groups are called after runs.
        let name = format!("{} {number}", service.state().display());
        let hash = blake3::hash(name.as_bytes());
        let id = RunId::from_random(std::array::from_fn(|index| hash.as_bytes()[index]));
        let directory = service.state().join("runs").join(id.as_str());
        for name in ["writable/home", "writable/workspace", "jobs/1-command"] {
            fs::create_dir_all(directory.join(name)).expect("directory");
            chown(directory.join(name), Some(DAEMON), Some(DAEMON_GROUP)).expect("chown");
        }
        let within = ["jobs", "writable"].map(|name| directory.join(name));
        for above in within.into_iter().chain([directory.clone(), service.state().join("runs")]) {
            chown(above, Some(DAEMON), Some(DAEMON_GROUP)).expect("chown");
        }
        let mount = |name: &str, target: &str| Mount {
            source: directory.join("writable").join(name).canonicalize().expect("real path"),
            target: target.into(),
            access: Access::ReadWrite,
        };
        let mut spec = policy(format!("{id}-command"));
        spec.argv = ["/bin/bash", "-c", script].map(Into::into).to_vec();
        spec.cwd = "/home/alice/app".into();
        spec.mounts = vec![mount("home", "/home/alice"), mount("workspace", "/home/alice/app")];
        Self { service, id, spec }
    }

    /// A path in the run's directory.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.service.state().join("runs").join(self.id.as_str()).join(name)
    }

    /// A path in the job's directory.
    #[must_use]
    pub fn job(&self, name: &str) -> PathBuf {
        self.path("jobs/1-command").join(name)
    }

    /// Describes the job, as the daemon's user would.
    pub fn describe(&self) {
        let job = json!({
            "steps": [{ "name": "command", "spec": self.spec }],
            "time_limit_seconds": 60,
            "setup_limit_seconds": 60,
            "output_limit_bytes": 1 << 20,
            "kill_grace_ms": 100,
            "disk": { "bytes": 1 << 30, "files": 65_536, "reserve_bytes": 1 << 30 },
        });
        self.write(&self.job("job.json"), &serde_json::to_vec(&job).expect("serialise"));
    }

    /// Writes a file of the daemon's user.
    pub fn write(&self, path: &Path, content: &[u8]) {
        fs::write(path, content).expect("write");
        self.give(path);
    }

    /// Gives something to the daemon's user.
    pub fn give(&self, path: &Path) {
        lchown(path, Some(DAEMON), Some(DAEMON_GROUP)).expect("chown");
    }

    /// Describes the job and asks the launcher to start it; returns the answer.
    #[must_use]
    pub fn start(&self) -> String {
        self.describe();
        self.ask()
    }

    /// Asks the launcher to start what is described.
    #[must_use]
    pub fn ask(&self) -> String {
        self.service.ask(DAEMON, format!("{} command 1\n", self.id).as_bytes())
    }

    /// Waits until the supervisor has gone; returns how the job ended.
    #[must_use]
    pub fn ended(&self) -> Value {
        let lock = File::open(self.job("lock")).expect("a supervisor");
        flock(&lock, FlockOperation::LockShared).expect("wait");
        let exit = fs::read(self.job("exit.json")).expect("exit");
        let exit: Value = serde_json::from_slice(&exit).expect("JSON");
        exit["ended"].clone()
    }

    /// Runs the job to its end, which must be a good one; returns what it wrote.
    #[must_use]
    pub fn succeeds(&self) -> String {
        assert_eq!(self.start(), "\"ready\"");
        assert_eq!(self.ended(), json!({ "kind": "code", "code": 0 }), "{}", self.output());
        self.output()
    }

    /// What the command has written so far: to its standard output, then to its standard error.
    ///
    /// Programs write a message in pieces, and each may have become a record of its own.
    #[must_use]
    pub fn output(&self) -> String {
        let file = fs::read(self.job("output")).expect("output");
        let mut records = file.strip_prefix(b"hoffout\x01").expect("an output file");
        let mut streams = [Vec::new(), Vec::new()];
        while let Some((&[stream, a, b, c, d], rest)) = records.split_first_chunk() {
            let length = u32::from_le_bytes([a, b, c, d]).try_into().expect("a length");
            // The last one may be on its way.
            let Some((bytes, rest)) = rest.split_at_checked(length) else { break };
            streams[usize::from(stream) - 1].extend_from_slice(bytes);
            records = rest;
        }
        streams.map(|stream| String::from_utf8_lossy(&stream).into_owned()).concat()
    }

    /// Expects that the launcher refuses the job with these words and starts nothing.
    pub fn is_refused(&self, words: &str) {
        let answer = self.start();
        assert!(answer.starts_with("{\"failed\":") && answer.contains(words), "{words}: {answer}");
        assert!(!self.job("spawned").exists(), "something was started");
    }
}

//! A user is shut out: whatever their devices are doing ends at once, and says why.

use std::{
    io::{BufRead as _, BufReader, Read},
    path::Path,
    process::{Child, ChildStderr, ChildStdout},
};

use handoff_tests::{remote::Remote, wire::Wire, world::World};

/// A user's command that goes on until something ends it.
struct Busy {
    process: Child,
    stdout: BufReader<ChildStdout>,
    stderr: BufReader<ChildStderr>,
}

impl Busy {
    fn start(world: &World, directory: &Path, args: &[&str]) -> Self {
        let mut process = world.spawn(directory, "handoff", args);
        let stdout = BufReader::new(process.stdout.take().expect("a pipe"));
        let stderr = BufReader::new(process.stderr.take().expect("a pipe"));
        Self { process, stdout, stderr }
    }

    /// Waits until it prints a line with this text.
    fn prints(mut self, text: &str) -> Self {
        let line = self.stdout.by_ref().lines().find(|line| has(line, text));
        assert!(line.is_some(), "it ended without {text:?}");
        self
    }

    /// Waits until it says this on standard error.
    fn says(mut self, text: &str) -> Self {
        let line = self.stderr.by_ref().lines().find(|line| has(line, text));
        assert!(line.is_some(), "it ended without {text:?}");
        self
    }

    /// Waits for its end, which is that it was shut out.
    fn ends_shut_out(mut self, what: &str) {
        let mut said = String::new();
        self.stderr.read_to_string(&mut said).expect("text");
        assert_eq!(self.process.wait().expect("an end").code(), Some(7), "{what}: {said}");
        for text in ["this device was revoked", "remote rm box"] {
            assert!(said.contains(text), "{what}: no {text:?} in {said}");
        }
        assert!(!said.contains("trying again"), "{what}: {said}");
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        // It has ended already when the test went well.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

fn has(line: &std::io::Result<String>, text: &str) -> bool {
    line.as_ref().expect("text").contains(text)
}

#[test]
fn everything_that_is_open_ends_and_says_why() {
    let (world, remote) = (World::new(), Remote::start());
    let wire = Wire::to(remote.address());
    let pair = || {
        let invitation = wire.through(&remote.invite("ada", &[]));
        world.handoff(&world.home(), ["remote", "add", "box", &invitation]).ok();
    };
    pair();
    let directory = world.directory("app");
    let start = |args: &[&str]| Busy::start(&world, &directory, args);
    let run = ["-n", "long", "-r", "box", "--", "sh", "-c", "echo begun; exec sleep 3600"];
    let id = world.hand_off(&directory, run);
    let logs = start(&["logs", "-f", "long"]).prints("begun");
    let watch = start(&["watch", "long"]).prints("started");
    let notifier = start(&["notifier"]).says("box: connected");
    let mut noise = vec![0; 8 << 20];
    blake3::Hasher::new().finalize_xof().fill(&mut noise);
    world.write(&directory.join("large"), noise);
    wire.hold_after(1 << 20);
    let upload = start(&["-n", "new", "-r", "box", "--", "true"]);
    wire.wait_until_held();

    remote.admin(&["user", "revoke", "ada"]).ok();
    logs.ends_shut_out("logs -f");
    watch.ends_shut_out("watch");
    upload.ends_shut_out("upload");
    let _notifier = notifier.says("it is not followed any more");

    wire.release();
    world.handoff(&directory, ["-r", "box", "--", "true"]).fails(7, &["revoked"]);
    assert_eq!(remote.runs(), 1, "what was refused made no run");

    // Whoever is invited again is the same user.
    world.handoff(&directory, ["remote", "rm", "box"]).ok();
    pair();
    assert_eq!(world.show(&directory, "long")["state"], "running");
    world.handoff(&directory, ["stop", &id]).ok();
    assert_eq!(world.finished(&directory, &id)["outcome"], "cancelled");
}

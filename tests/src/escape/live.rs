//! A jail that is running.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::PathBuf;
use std::process::Child;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::Pid;

use super::Outcome;
use crate::process;

/// A jail that is running.
#[derive(Debug)]
pub struct Live {
    child: Child,
    lines: BufReader<std::process::ChildStdout>,
    report: PathBuf,
}

impl Live {
    /// Takes over the jail program, whose output nobody has read from.
    pub(super) fn new(mut child: Child, report: PathBuf) -> Self {
        let lines = BufReader::new(child.stdout.take().expect("standard output"));
        Self { child, lines, report }
    }

    /// Waits for the next line that the command writes.
    #[must_use]
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).expect("read a line");
        assert!(line.ends_with('\n'), "the command ended: {line:?}");
        line.trim_end().to_owned()
    }

    /// Returns the command by its number on the host.
    #[must_use]
    pub fn host_pid(&self) -> u32 {
        first_child(self.init_pid())
    }

    /// Returns process 1 of the jail by its number on the host: the jail program has one child,
    /// bubblewrap, whose child it is.
    #[must_use]
    pub fn init_pid(&self) -> u32 {
        first_child(first_child(self.child.id()))
    }

    /// Kills the caller as the kernel would for want of memory, and waits until the jail has gone.
    pub fn kill_caller(mut self) {
        let init = i32::try_from(self.init_pid()).ok().and_then(Pid::from_raw).expect("a process");
        process::ends(init, || {
            self.child.kill().expect("kill the caller");
            self.child.wait().expect("wait for the caller");
        });
    }

    /// Kills the caller at once, wherever it is with the jail, and waits until nobody is left who
    /// could write what the command writes.
    pub fn kill_caller_early(mut self) {
        self.child.kill().expect("kill the caller");
        self.child.wait().expect("wait for the caller");
        let limit = Timespec { tv_sec: 60, tv_nsec: 0 };
        loop {
            let mut readable = [PollFd::new(self.lines.get_ref(), PollFlags::IN)];
            assert_eq!(poll(&mut readable, Some(&limit)).expect("wait"), 1, "somebody is left");
            if self.lines.fill_buf().expect("read").is_empty() {
                return;
            }
            let read = self.lines.buffer().len();
            self.lines.consume(read);
        }
    }

    /// Has the run killed and waits until it is over.
    pub fn kill(mut self) -> Outcome {
        drop(self.child.stdin.take());
        let mut stdout = Vec::new();
        self.lines.read_to_end(&mut stdout).expect("read the rest");
        let mut output = self.child.wait_with_output().expect("wait for the jail program");
        output.stdout = stdout;
        Outcome::of(output, Some(&self.report))
    }
}

fn first_child(pid: u32) -> u32 {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
    let children = children.expect("children");
    children.split(' ').next().and_then(|pid| pid.parse().ok()).expect("a child")
}

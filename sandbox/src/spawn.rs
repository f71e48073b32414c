//! Starting a run: what the caller's process does itself. Nothing here changes the caller.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;

use rustix::fs::{FileType, fstat, major, minor};
use rustix::pipe::{PipeFlags, pipe_with};

use crate::cgroup::Cgroup;
use crate::handover::{self, Descriptors, ForStage0};
use crate::report::Refusal;
use crate::running::Running;
use crate::spec::Spec;
use crate::{bubblewrap, channel, entry, sys};

/// Names the operator's own bubblewrap.
const BUBBLEWRAP_VARIABLE: &str = "HANDOFF_BWRAP";

/// Gives the command its standard streams.
///
/// Pipes, sockets, terminals and `/dev/null` only: a file of the host could be opened anew, with
/// other rights, through `/proc/self/fd`.
///
/// A pipe belongs to who made it: a caller that is root gives it to the run's host uid if the
/// command is to be able to open `/dev/stdout`.
#[derive(Debug)]
pub struct Stdio {
    /// What the command reads.
    pub stdin: OwnedFd,
    /// What the command writes.
    pub stdout: OwnedFd,
    /// Where the command complains.
    pub stderr: OwnedFd,
}

/// Says why nothing was started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SpawnError {
    /// The policy is not acceptable.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// A standard stream is of a kind that would lead out of the jail.
    #[error("{stream} is neither a pipe, a socket, a terminal nor /dev/null")]
    Stream {
        /// Which stream.
        stream: &'static str,
    },
    /// The system did not let us start a process.
    #[error("{what}: {source}")]
    System {
        /// What was attempted.
        what: &'static str,
        /// The system's answer.
        source: io::Error,
    },
}

impl SpawnError {
    pub(crate) fn system<E: Into<io::Error>>(what: &'static str) -> impl FnOnce(E) -> Self {
        move |error| Self::System { what, source: error.into() }
    }
}

/// Starts a command under a policy.
///
/// Returns as soon as stage-0 is started; what becomes of it comes through the reports. The run
/// ends with the [`Running`], and with this process, however that ends.
///
/// # Errors
///
/// Fails if the policy is not acceptable or no process can be started. Everything later is a
/// [`Report::Refused`](crate::Report::Refused).
pub fn spawn(spec: &Spec, stdio: Stdio) -> Result<Running, SpawnError> {
    spec.check()?;
    let host_uid = spec.identity(rustix::process::geteuid().as_raw())?;
    stdio.check()?;

    let cgroup = Cgroup::create(&spec.name, &spec.limits);
    let description = handover::write(&ForStage0 {
        spec: spec.clone(),
        bubblewrap: std::env::var_os(BUBBLEWRAP_VARIABLE)
            .map(PathBuf::from)
            .or_else(bubblewrap::locate),
        cgroup: cgroup.as_ref().map(Cgroup::doors).unwrap_or_default(),
        layers: Cgroup::layers(cgroup.as_ref()),
    })
    .map_err(SpawnError::system("describe the run"))?;
    let (channel, theirs) = channel::pair().map_err(SpawnError::system("make a channel"))?;
    let (complaints, complain) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)
        .map_err(SpawnError::system("make a pipe"))?;
    let Stdio { stdin, stdout, stderr } = stdio;
    let descriptors = Descriptors { description, channel: theirs, stdin, stdout, stderr };

    let mut command = Command::new("/proc/self/exe");
    command.arg0("handoff-sandbox").args(entry::arguments(entry::STAGE0, &descriptors));
    // A group of its own: it is killed as one, and no terminal of the caller's interrupts it.
    command.env_clear().current_dir("/").process_group(0);
    command.stdin(std::process::Stdio::null()).stdout(std::process::Stdio::null());
    command.stderr(complain);
    sys::inherit(&mut command, descriptors.numbers().to_vec());
    let child = command.spawn().map_err(SpawnError::system("start stage-0"))?;
    // The caller must not hold the command's streams open, or their end would never be seen.
    drop((command, descriptors));
    Ok(Running::new(child, channel, File::from(complaints), host_uid, cgroup))
}

impl Stdio {
    /// Returns streams that are all `/dev/null`.
    ///
    /// # Errors
    ///
    /// Fails if `/dev/null` cannot be opened.
    pub fn null() -> io::Result<Self> {
        let open = || File::options().read(true).write(true).open("/dev/null").map(OwnedFd::from);
        Ok(Self { stdin: open()?, stdout: open()?, stderr: open()? })
    }

    fn check(&self) -> Result<(), SpawnError> {
        let streams = [("stdin", &self.stdin), ("stdout", &self.stdout), ("stderr", &self.stderr)];
        for (stream, fd) in streams {
            if !harmless(fd.as_fd()).map_err(SpawnError::system("look at a stream"))? {
                return Err(SpawnError::Stream { stream });
            }
        }
        Ok(())
    }
}

fn harmless(fd: BorrowedFd<'_>) -> io::Result<bool> {
    /// The device number of `/dev/null` on every Linux.
    const NULL: (u32, u32) = (1, 3);
    let stat = fstat(fd)?;
    Ok(match FileType::from_raw_mode(stat.st_mode) {
        FileType::Fifo | FileType::Socket => true,
        FileType::CharacterDevice => {
            rustix::termios::isatty(fd) || (major(stat.st_rdev), minor(stat.st_rdev)) == NULL
        }
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_as_a_stream_is_refused_by_name() {
        let mut stdio = Stdio::null().expect("/dev/null");
        stdio.check().expect("/dev/null is harmless");
        stdio.stdout = tempfile::tempfile().expect("temporary file").into();
        let error = stdio.check().expect_err("a file is not harmless");
        assert!(matches!(error, SpawnError::Stream { stream: "stdout" }), "{error}");
    }

    #[test]
    fn a_device_as_a_stream_is_refused() {
        let zero = File::open("/dev/zero").expect("/dev/zero");
        assert!(!harmless(zero.as_fd()).expect("stat"));
    }
}

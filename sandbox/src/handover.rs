//! What one stage hands to the next: a description in a sealed memory file and a fixed set of
//! descriptors whose numbers, and nothing else, are on the command line.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::PathBuf;

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::isolation::Layer;
use crate::spec::Spec;
use crate::sys;

/// What stage-0 is told.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ForStage0 {
    pub(crate) spec: Spec,
    /// Where bubblewrap is.
    pub(crate) bubblewrap: Option<PathBuf>,
    /// The files of control groups to join.
    pub(crate) cgroup: Vec<PathBuf>,
    /// The layers that the control group gives.
    pub(crate) layers: Vec<Layer>,
}

/// What init is told.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ForInit {
    pub(crate) spec: Spec,
    /// The namespaces of the caller, none of which init may be in.
    pub(crate) outside: Vec<Namespace>,
    /// The layers that were set up before init.
    pub(crate) layers: Vec<Layer>,
}

/// One namespace, by the name of its file in `/proc/self/ns` and the identity written there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Namespace {
    pub(crate) kind: String,
    pub(crate) id: String,
}

impl Namespace {
    pub(crate) fn current(kind: &str) -> io::Result<Self> {
        let link = rustix::fs::readlink(format!("/proc/self/ns/{kind}"), Vec::new())?;
        Ok(Self { kind: kind.into(), id: link.to_string_lossy().into_owned() })
    }
}

/// The descriptors that a stage inherits beside its own standard streams.
#[derive(Debug)]
pub(crate) struct Descriptors {
    /// The description, see [`read`].
    pub(crate) description: OwnedFd,
    /// The channel to the caller.
    pub(crate) channel: OwnedFd,
    /// The standard streams of the command.
    pub(crate) stdin: OwnedFd,
    pub(crate) stdout: OwnedFd,
    pub(crate) stderr: OwnedFd,
}

impl Descriptors {
    const COUNT: usize = 5;

    pub(crate) fn all(&self) -> [&OwnedFd; Self::COUNT] {
        [&self.description, &self.channel, &self.stdin, &self.stdout, &self.stderr]
    }

    /// Returns the numbers, in the order that [`Descriptors::adopt`] expects.
    pub(crate) fn numbers(&self) -> [i32; Self::COUNT] {
        self.all().map(|fd| fd.as_raw_fd())
    }

    /// Returns the numbers as arguments.
    pub(crate) fn arguments(&self) -> [OsString; Self::COUNT] {
        self.numbers().map(|number| number.to_string().into())
    }

    /// Takes over the descriptors named by a stage's arguments.
    pub(crate) fn adopt(arguments: &[OsString]) -> Option<Self> {
        let numbers: Vec<i32> =
            arguments.iter().map(|argument| parse(argument)).collect::<Option<_>>()?;
        let [description, channel, stdin, stdout, stderr] =
            <[i32; Self::COUNT]>::try_from(numbers).ok()?;
        Some(Self {
            description: sys::adopt(description)?,
            channel: sys::adopt(channel)?,
            stdin: sys::adopt(stdin)?,
            stdout: sys::adopt(stdout)?,
            stderr: sys::adopt(stderr)?,
        })
    }
}

fn parse(argument: &OsStr) -> Option<i32> {
    argument.to_str()?.parse().ok()
}

/// Puts a description into a memory file that nobody can change any more.
pub(crate) fn write(description: &impl Serialize) -> io::Result<OwnedFd> {
    sealed("handoff-policy", &serde_json::to_vec(description)?)
}

/// Puts bytes into a memory file that nobody can change any more, positioned at its start.
pub(crate) fn sealed(name: &str, bytes: &[u8]) -> io::Result<OwnedFd> {
    let mut file = File::from(memfd_create(name, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?);
    file.write_all(bytes)?;
    file.rewind()?;
    fcntl_add_seals(
        &file,
        SealFlags::SEAL | SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK,
    )?;
    Ok(file.into())
}

/// Reads a description.
pub(crate) fn read<T: DeserializeOwned>(description: OwnedFd) -> io::Result<T> {
    let mut bytes = Vec::new();
    let mut file = File::from(description);
    file.rewind()?;
    file.read_to_end(&mut bytes)?;
    Ok(serde_json::from_slice(&bytes)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_description_comes_back_and_cannot_be_changed() {
        let file = write(&vec![1, 2, 3]).expect("write");
        let again = file.try_clone().expect("clone");
        File::from(again).write_all(b"x").expect_err("the file is sealed");
        assert_eq!(read::<Vec<u32>>(file).expect("read"), [1, 2, 3]);
    }

    #[test]
    fn arguments_that_name_no_descriptors_are_not_adopted() {
        for arguments in [vec![], vec!["3"], vec!["a", "b", "c", "d", "e"], vec!["0"; 5]] {
            let arguments: Vec<OsString> = arguments.into_iter().map(OsString::from).collect();
            assert!(Descriptors::adopt(&arguments).is_none(), "{arguments:?}");
        }
    }
}

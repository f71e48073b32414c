//! The control group of one run: memory and processes of the run as a whole. Made and removed by
//! the caller, joined by stage-0. Root has one, and whoever was delegated a part of version 2; anybody
//! else gets resource limits, and is told.

mod delegated;
mod v1;
mod v2;

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::event::{Timespec, poll};
use rustix::process::{Pid, Signal, kill_process};

use crate::isolation::{Layer, LayerName, LayerState};
use crate::spec::Limits;

/// Where the kernel's control groups are mounted.
const ROOT: &str = "/sys/fs/cgroup";

/// The directory for all runs.
const FAMILY: &str = "handoff";

/// The processes of a run that are not the command's: bubblewrap and init.
const OURS: u64 = 2;

/// How often something that should work the second time is tried.
const ROUNDS_MAX: u32 = 1000;

/// The directories of one run's group: one under version 2, one per controller under version 1.
#[derive(Debug)]
pub(crate) struct Cgroup {
    version: Version,
    directories: Vec<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

impl Cgroup {
    /// Makes a group with these limits, or none where that is not possible.
    pub(crate) fn create(name: &str, limits: &Limits) -> Option<Self> {
        let (root, user) = (Path::new(ROOT), rustix::process::geteuid());
        if user.is_root() {
            return Self::create_below(root, name, limits);
        }
        let own = fs::read_to_string("/proc/self/cgroup").ok()?;
        let delegated = delegated::find(root, &own, user.as_raw())?;
        Self::create_delegated(&delegated, name, limits).ok()
    }

    fn create_delegated(group: &Path, name: &str, limits: &Limits) -> io::Result<Self> {
        // Nobody is moved for nothing.
        v2::check(group)?;
        delegated::vacate(group)?;
        v2::create(group, name, limits)
    }

    fn create_below(root: &Path, name: &str, limits: &Limits) -> Option<Self> {
        let made = v2::create(root, name, limits).or_else(|_| v1::create(root, name, limits));
        // What could not be made is not a failure: the layers tell that it is missing.
        made.ok()
    }

    /// Returns the files by which a process of one thread joins the group.
    pub(crate) fn doors(&self) -> Vec<PathBuf> {
        let door = match self.version {
            // A thread that moves itself waits for nobody. A process does: for all processors to
            // pass by, 8 to 13 ms (`cgroup_attach_lock` in the kernel's `cgroup.c`, since 5.5).
            Version::One => "tasks",
            // Threads move alone only within a group.
            Version::Two => "cgroup.procs",
        };
        self.directories.iter().map(|directory| directory.join(door)).collect()
    }

    /// Says what the group, or its absence, means for a run.
    pub(crate) fn layers(cgroup: Option<&Self>) -> Vec<Layer> {
        let [memory, processes] = match cgroup.map(|cgroup| cgroup.version) {
            Some(Version::Two) => [(LayerState::InForce, "cgroup v2"); 2],
            Some(Version::One) => [(LayerState::InForce, "cgroup v1"); 2],
            None => [
                (LayerState::Partial, "rlimit of each process"),
                (LayerState::Partial, "rlimit of the user namespace"),
            ],
        };
        vec![
            Layer::new(LayerName::Memory, memory.0, memory.1),
            Layer::new(LayerName::Processes, processes.0, processes.1),
        ]
    }

    /// Kills every process in the group.
    pub(crate) fn kill(&self) -> io::Result<()> {
        match self.version {
            Version::Two => v2::kill(&self.directories),
            Version::One => v1::kill(&self.directories),
        }
    }

    /// Tells how many processes the kernel killed because the group's memory was used up.
    pub(crate) fn oom_kills(&self) -> Option<u64> {
        let file = match self.version {
            Version::Two => "memory.events",
            Version::One => "memory.oom_control",
        };
        let read = |directory: &PathBuf| fs::read_to_string(directory.join(file)).ok();
        let text = self.directories.iter().find_map(read)?;
        text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
    }

    /// Removes the group, which has no processes left.
    pub(crate) fn remove(mut self) -> io::Result<()> {
        std::mem::take(&mut self.directories).iter().try_for_each(|directory| remove(directory))
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        for directory in &self.directories {
            // The next run of this name clears what stays behind.
            let _left = fs::remove_dir(directory);
        }
    }
}

/// After this long, a group without processes is one that nobody came to join: its caller died
/// before it could remove it.
const STALE: Duration = Duration::from_secs(600);

/// Writes a file of the kernel's. One that is not there is an error, not a new file.
fn set(file: &Path, value: &str) -> io::Result<()> {
    fs::File::options().write(true).open(file)?.write_all(value.as_bytes())
}

/// Writes a file that only exists where the kernel accounts for swap; elsewhere there is nothing
/// to limit.
fn set_if_there(file: &Path, value: &str) -> io::Result<()> {
    match set(file, value) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Makes the directory of a run anew: one that a dead run of the same name left has other limits
/// and counts in it.
fn fresh(directory: &Path) -> io::Result<()> {
    if let Some(family) = directory.parent() {
        sweep(family);
    }
    match fs::create_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            kill_listed(directory)?;
            remove(directory)?;
            fs::create_dir(directory)
        }
        other => other,
    }
}

/// Makes a directory unless it is there.
fn make(directory: &Path) -> io::Result<()> {
    match fs::create_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}

/// Removes what callers left behind that died. The kernel refuses to remove a group with processes.
fn sweep(family: &Path) {
    let is_stale = |metadata: &fs::Metadata| {
        let age = metadata.modified().ok().and_then(|made| made.elapsed().ok());
        age.is_some_and(|age| age > STALE)
    };
    let Ok(entries) = fs::read_dir(family) else {
        return;
    };
    // The many files are not worth a look each.
    let is_group = |entry: &fs::DirEntry| entry.file_type().is_ok_and(|kind| kind.is_dir());
    for entry in entries.flatten().filter(is_group) {
        if entry.metadata().is_ok_and(|metadata| is_stale(&metadata)) {
            // Refused means that it is in use after all.
            let _in_use = fs::remove_dir(entry.path());
        }
    }
}

fn remove(directory: &Path) -> io::Result<()> {
    let mut rounds = 0;
    loop {
        match fs::remove_dir(directory) {
            // A process that was just reaped can be counted for a moment longer.
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy && rounds < ROUNDS_MAX => {
                rounds += 1;
                pause();
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            other => return other,
        }
    }
}

/// Kills the processes that a directory lists, until it lists none that was not killed: one that
/// forks while the list is read needs another round. Does not wait for them to end.
fn kill_listed(directory: &Path) -> io::Result<()> {
    let mut killed = BTreeSet::new();
    for _ in 0..ROUNDS_MAX {
        let listed = match fs::read_to_string(directory.join("cgroup.procs")) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            other => other?,
        };
        let new: Vec<i32> = listed
            .lines()
            .filter_map(|line| line.parse().ok())
            .filter(|pid| killed.insert(*pid))
            .collect();
        if new.is_empty() {
            return Ok(());
        }
        for pid in new.into_iter().filter_map(Pid::from_raw) {
            // One that has ended meanwhile is no failure.
            let _ended = kill_process(pid, Signal::KILL);
        }
    }
    Err(io::Error::other(format!("processes in {} multiply", directory.display())))
}

/// Gives the kernel a moment: version 1 has no event for a group that becomes empty.
fn pause() {
    const MOMENT: Timespec = Timespec { tv_sec: 0, tv_nsec: 1_000_000 };
    // Waking early only means looking early.
    let _early = poll(&mut [], Some(&MOMENT));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_there_are_no_groups_none_is_made_and_the_layers_say_so() {
        let root = tempfile::tempdir().expect("temporary directory");
        assert!(Cgroup::create_below(root.path(), "x", &Limits::default()).is_none());
        let layers = Cgroup::layers(None);
        assert!(layers.iter().all(|layer| layer.state == LayerState::Partial));
    }

    #[test]
    fn out_of_memory_kills_are_read_from_either_version() {
        let root = tempfile::tempdir().expect("temporary directory");
        let directories = vec![root.path().to_owned()];
        fs::write(root.path().join("memory.events"), "oom 3\noom_kill 2\n").expect("write");
        fs::write(root.path().join("memory.oom_control"), "under_oom 0\noom_kill 1\n")
            .expect("write");
        let two = Cgroup { version: Version::Two, directories: directories.clone() };
        assert_eq!(two.oom_kills(), Some(2));
        let one = Cgroup { version: Version::One, directories };
        assert_eq!(one.oom_kills(), Some(1));
    }
}

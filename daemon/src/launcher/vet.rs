//! Whether a job may be run as it is described, by what only root can change; and what the launcher
//! adds to it. Pure: looks at nothing but the job and the rules.
//!
//! Targets, names and numbers that are wrong for anybody are the sandbox's to refuse.

use std::path::Path;

use handoff_proto::run::RunId;
use handoff_sandbox::{Access, HostUser, Limits, Mount, Network, Spec};
use thiserror::Error;

use crate::config::{Config, NetworkAccess};
use crate::harvest;
use crate::supervisor::{DiskLimits, Job, KILL_GRACE_MS, Step};
use crate::workspace::{self, Layout, PolicyError, Tools};

/// What the operator allows, for one job.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules<'a> {
    pub(super) config: &'a Config,
    pub(super) tools: &'a Tools,
    /// The real path of the state directory.
    pub(super) state: &'a Path,
    /// Whose it is.
    pub(super) user: HostUser,
    pub(super) run: &'a RunId,
    /// The uid that the run gets on the host.
    pub(super) uid: u32,
}

/// The job is more than the operator allows.
#[derive(Debug, Error)]
pub(super) enum Forbidden {
    #[error("the launcher chooses the run's uid on the host; the job names {0}")]
    Uid(u32),
    #[error("the job is called {0:?}, not after its run")]
    Name(String),
    #[error("{source} may not be shown {how} to run {run}", source = .source_path.display())]
    Mount { source_path: std::path::PathBuf, how: &'static str, run: String },
    #[error("{directory} is not the run's directory to write in", directory = .0.display())]
    Directory(std::path::PathBuf),
    #[error("trees that runs share take a daemon that is root")]
    Overlay,
    #[error("the settings do not allow this network")]
    Network,
    #[error("the job may use more {0} than the settings allow")]
    Limit(&'static str),
    #[error("the job does without layer {0}, which the settings require")]
    Layer(&'static str),
    #[error("{0}")]
    Settings(#[from] PolicyError),
}

impl Rules<'_> {
    /// Returns the job as it is to be run.
    pub(super) fn vet(&self, mut job: Job) -> Result<Job, Forbidden> {
        // By name, here and below, so that what is added to a job is not forgotten.
        let Job {
            steps,
            time_limit_seconds,
            setup_limit_seconds,
            output_limit_bytes,
            kill_grace_ms,
            disk,
            writable,
            // The gateway that follows it runs as the daemon's user: it can reach and read what
            // that could anyway.
            egress: _,
            // What a daemon says to a run, it could have put into its tree.
            reads: _,
        } = &mut job;
        let limits = &self.config.runs;
        let seconds = limits.time_limit.as_secs();
        let longest = seconds.max(harvest::TIME_LIMIT_SECONDS);
        at_most("time", time_limit_seconds.unwrap_or(u64::MAX), longest)?;
        let unlimited = if steps.len() == 1 { 0 } else { u64::MAX };
        at_most("time for setting up", setup_limit_seconds.unwrap_or(unlimited), seconds)?;
        at_most("time to end", *kill_grace_ms, KILL_GRACE_MS)?;
        at_most("output", *output_limit_bytes, limits.output_bytes.max(limits.disk_bytes))?;
        self.vet_disk(steps, *disk)?;
        match writable {
            Some(directory) if *directory != self.layout().writable() => {
                return Err(Forbidden::Directory(directory.clone()));
            }
            Some(_) | None => {}
        }
        steps.iter_mut().try_for_each(|step| self.vet_spec(&mut step.spec))?;
        Ok(job)
    }

    /// A job that can write to the disk is watched, by limits that are no wider than the settings.
    fn vet_disk(&self, steps: &[Step], wanted: Option<DiskLimits>) -> Result<(), Forbidden> {
        let most = DiskLimits::new(self.config.runs.disk_bytes, self.config.store.reserve_bytes);
        let mut mounts = steps.iter().flat_map(|step| &step.spec.mounts);
        match wanted {
            None if mounts.any(|mount| mount.access.is_writable()) => Err(Forbidden::Limit("disk")),
            None => Ok(()),
            Some(DiskLimits { bytes, files, reserve_bytes }) => {
                at_most("disk", bytes, most.bytes)?;
                at_most("files", files, most.files)?;
                at_most("of the disk's reserve", most.reserve_bytes, reserve_bytes)
            }
        }
    }

    fn layout(&self) -> Layout {
        Layout::new(Layout::of_runs(self.state).join(self.run.as_str()))
    }

    fn vet_spec(&self, spec: &mut Spec) -> Result<(), Forbidden> {
        let Spec {
            name,
            host_uid,
            mounts,
            overlays,
            network,
            limits,
            require,
            // What the command is and takes itself for is its own affair.
            argv: _,
            env: _,
            cwd: _,
            account: _,
            hostname: _,
            terminal: _,
            umask: _,
        } = spec;
        if let Some(uid) = *host_uid {
            return Err(Forbidden::Uid(uid));
        }
        // It names the control group: another run's would end that one.
        if !name.strip_prefix(self.run.as_str()).is_some_and(|rest| rest.starts_with('-')) {
            return Err(Forbidden::Name(name.clone()));
        }
        if !overlays.is_empty() {
            return Err(Forbidden::Overlay);
        }
        let allowed = match network {
            Network::None => true,
            Network::Fenced => self.config.network.access != NetworkAccess::None,
            Network::Host => self.config.network.access == NetworkAccess::Host,
        };
        if !allowed {
            return Err(Forbidden::Network);
        }
        self.vet_limits(limits)?;
        let required = workspace::required_layers(self.config)?;
        if let Some(layer) = required.iter().find(|layer| !require.contains(layer)) {
            return Err(Forbidden::Layer(layer.as_str()));
        }
        for mount in mounts {
            mount.access = self.vet_mount(mount)?;
        }
        *host_uid = Some(self.uid);
        Ok(())
    }

    /// Returns how a mount is shown: what is the daemon's becomes the run's own.
    fn vet_mount(&self, mount: &Mount) -> Result<Access, Forbidden> {
        let layout = self.layout();
        let source = &mount.source;
        let is_cache = source.parent() == Some(&workspace::caches_directory(self.state))
            && source.file_name().is_some();
        let may_be_written = is_cache || [layout.home(), layout.workspace()].contains(source);
        let may_be_read = may_be_written
            || [layout.base().directory(), layout.rules().directory()].contains(&source.as_path());
        match mount.access {
            Access::ReadWrite if may_be_written => Ok(Access::ReadWriteOf(self.user)),
            Access::ReadOnly if may_be_read => Ok(Access::ReadOnlyOf(self.user)),
            // As everybody may read them.
            Access::ReadOnly if self.tools.binds(source) => Ok(Access::ReadOnly),
            access => Err(Forbidden::Mount {
                source_path: source.clone(),
                how: if access.is_writable() { "for writing" } else { "for reading" },
                run: self.run.to_string(),
            }),
        }
    }

    fn vet_limits(&self, wanted: &Limits) -> Result<(), Forbidden> {
        let Limits { memory_bytes, processes, open_files, file_size_bytes, tmp_bytes, shm_bytes } =
            *wanted;
        let most = workspace::limits(self.config);
        at_most("memory", memory_bytes, most.memory_bytes)?;
        at_most("processes", processes, most.processes.max(harvest::PROCESSES))?;
        at_most("open files", open_files, most.open_files)?;
        // A harvest writes in memory only, of which it has half.
        at_most("room in /tmp", tmp_bytes, most.tmp_bytes.max(most.memory_bytes / 2))?;
        at_most("shared memory", shm_bytes, most.shm_bytes)?;
        match (file_size_bytes, most.file_size_bytes) {
            (Some(wanted), Some(most)) => at_most("room for one file", wanted, most),
            (None | Some(_), _) => Ok(()),
        }
    }
}

fn at_most(what: &'static str, wanted: u64, most: u64) -> Result<(), Forbidden> {
    if wanted <= most { Ok(()) } else { Err(Forbidden::Limit(what)) }
}

#[cfg(test)]
mod tests;

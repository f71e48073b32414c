//! What a job may write to the disk, as far as that concerns its steps.

use handoff_sandbox::{Access, LayerName, Refusal, Spec, Step as SandboxStep};

use super::{Supervision, wait};
use crate::supervisor::disk_limits::Breach;
use crate::supervisor::job::Job;
use crate::supervisor::process::complain;
use crate::supervisor::process::disk::{DiskWatch, lift};
use crate::supervisor::process::ending::Ending;

impl Supervision {
    /// Lets its directory be emptied: nothing of the job is left that could fill it.
    pub(super) fn lift(&self, job: &Job) {
        let Some(writable) = &job.writable else { return };
        if let Err(error) = lift(writable, self.front.rights().uid()) {
            complain("take the bound of the disk away", &error);
        }
    }

    pub(super) fn reached(&self) -> Option<Breach> {
        self.disk.as_ref().and_then(DiskWatch::reached)
    }

    /// Settles what a policy requires of the disk, which the sandbox alone knows nothing of, and
    /// returns the rest of it.
    pub(super) fn settle_disk(&self, spec: &Spec) -> Result<Spec, Refusal> {
        let mut rest = spec.clone();
        rest.require.retain(|layer| *layer != LayerName::Disk);
        let mut places = spec.mounts.iter().map(|mount| mount.access);
        let mut trees = spec.overlays.iter().map(|overlay| overlay.access);
        let why = match &self.disk {
            _ if rest.require.len() == spec.require.len() => None,
            Some(disk) => disk.without_quota().map(ToString::to_string),
            None if places.any(Access::is_writable) || trees.any(Access::is_writable) => {
                Some("nothing bounds it".to_owned())
            }
            // What only reads cannot fill a disk.
            None => None,
        };
        let refuse = |why: String| Refusal {
            step: SandboxStep::Required,
            detail: format!("{} is not in force: {why}", LayerName::Disk),
            errno: None,
        };
        why.map_or(Ok(rest), |why| Err(refuse(why)))
    }

    /// Waits until it is known what is on the disk before the first step. Tells whether the step may
    /// start: not if anything was demanded meanwhile.
    pub(super) fn await_disk(&mut self, ending: &mut Ending) -> bool {
        while self.disk.as_ref().is_some_and(|disk| !disk.is_ready()) {
            wait(self.poll_fds(), ending.wake_at());
            if self.demanded(ending).is_some() {
                return false;
            }
        }
        true
    }
}

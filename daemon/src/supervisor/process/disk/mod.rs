//! Watching what a job writes to the host's disk, from a thread of its own: a walk through a million
//! files takes seconds, in which the supervisor has to read output and end what is to end. The
//! thread sets the limit of the job's quota group, if that can have one, by what it finds before the
//! first step; after that it only tells.

mod look;
mod measure;
mod pace;
mod quota;
mod unlinked;

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use handoff_sandbox::{Isolation, LayerName, Overlay};
use rustix::event::{EventfdFlags, eventfd};
use rustix::fs::statvfs;

use self::look::{Eyes, Look};
use self::measure::Measured;
use self::quota::Quota;
pub(super) use self::quota::lift;
use super::complain;
use crate::supervisor::disk_limits::{Breach, DiskLimits};
use crate::supervisor::disk_quota::NoQuota;
use crate::supervisor::job::Job;

/// How often the room on the disk is looked at, which costs nothing.
const TICK: Duration = Duration::from_millis(250);

/// How many looks in a row may fail. A job that nobody can watch ends.
const FAILURES_MAX: u32 = 5;

/// The hidden subcommand by which the executable looks at the files of runs that are closed to the
/// supervisor.
pub(super) const MEASURE: &str = look::MEASURE;

/// Runs the hidden subcommand.
pub(super) fn measure_for_parent(arguments: &[OsString]) -> ExitCode {
    look::run(arguments)
}

/// The watch over one job; ends when it is dropped.
#[derive(Debug)]
pub(super) struct DiskWatch {
    limits: DiskLimits,
    /// It may write elsewhere than in its own directory, too.
    others: bool,
    shared: Arc<Shared>,
    thread: Thread,
}

/// What the thread and the supervisor tell each other.
#[derive(Debug)]
struct Shared {
    /// Readable once there is something to be told.
    news: OwnedFd,
    /// It is known what was there before the job.
    ready: AtomicBool,
    breach: OnceLock<Breach>,
    /// What holds the job hard; set before `ready`.
    quota: OnceLock<Result<Quota, NoQuota>>,
    /// The job has used up what its quota group gives it, at least once.
    reached: AtomicBool,
    /// The process that holds the jail; 0 while there is none.
    top: AtomicU32,
    ended: AtomicBool,
}

impl DiskWatch {
    /// Starts to watch a job that has limits, before its first step. `owner` is the daemon's user.
    pub(super) fn start(job: &Job, owner: u32) -> io::Result<Option<Self>> {
        let Some(limits) = job.disk else { return Ok(None) };
        let (roots, writable) = (roots(job), job.writable.clone());
        let shared = Arc::new(Shared {
            news: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?,
            ready: AtomicBool::new(false),
            breach: OnceLock::new(),
            quota: OnceLock::new(),
            reached: AtomicBool::new(false),
            top: AtomicU32::new(0),
            ended: AtomicBool::new(false),
        });
        let others = roots.iter().any(|root| Some(root) != writable.as_ref());
        let eyes = eyes(job);
        let watch = Watch { limits, roots, writable, owner, eyes, shared: Arc::clone(&shared) };
        let spawned = thread::Builder::new().name("disk".into()).spawn(move || watch.run())?;
        Ok(Some(Self { limits, others, shared, thread: spawned.thread().clone() }))
    }

    /// Readable once the watch is ready, and again when there is a breach.
    pub(super) fn poll_fd(&self) -> BorrowedFd<'_> {
        self.shared.news.as_fd()
    }

    /// Tells whether a step may start: what was there before is known.
    pub(super) fn is_ready(&self) -> bool {
        let ready = self.shared.ready.load(Ordering::Acquire);
        if ready {
            self.hear();
        }
        ready
    }

    /// Tells what the job did that it may not.
    pub(super) fn breach(&self) -> Option<Breach> {
        self.hear();
        self.shared.breach.get().copied()
    }

    /// Names the process whose descendants are the job's; none while there is none.
    pub(super) fn look_below(&self, pid: Option<u32>) {
        self.shared.top.store(pid.unwrap_or_default(), Ordering::Release);
    }

    /// Why the job is not held hard; known once the watch is ready.
    pub(super) fn without_quota(&self) -> Option<&NoQuota> {
        match self.shared.quota.get() {
            Some(Ok(_)) if self.others => Some(&NoQuota::Caches),
            Some(Ok(_)) => None,
            Some(Err(why)) => Some(why),
            None => Some(&NoQuota::NoSubvolume),
        }
    }

    /// Tells whether a write of the job's failed because of its quota group, or would have: the
    /// limit that it reached. Where it goes on after it has made room, this stays.
    pub(super) fn reached(&self) -> Option<Breach> {
        let quota = self.shared.quota.get().and_then(|quota| quota.as_ref().ok());
        let reached =
            self.shared.reached.load(Ordering::Acquire) || quota.is_some_and(Quota::is_reached);
        reached.then_some(Breach::Bytes(self.limits.bytes))
    }

    /// Says in an account of what holds a run in how its disk use is bounded.
    pub(super) fn account(&self, mut isolation: Isolation) -> Isolation {
        let is_disk = |name| name == LayerName::Disk;
        if let Some(layer) = isolation.layers.iter_mut().find(|layer| is_disk(layer.name)) {
            *layer = self.limits.layer(self.without_quota());
        }
        isolation
    }

    fn hear(&self) {
        // Nothing new is no failure, and that something is there is all that is told.
        let _count = rustix::io::read(&self.shared.news, &mut [0_u8; 8]);
    }
}

impl Drop for DiskWatch {
    fn drop(&mut self) {
        // Nobody waits for the thread: the process ends next.
        self.shared.ended.store(true, Ordering::Release);
        self.thread.unpark();
    }
}

/// The thread's side.
struct Watch {
    limits: DiskLimits,
    roots: Vec<PathBuf>,
    writable: Option<PathBuf>,
    owner: u32,
    eyes: Eyes,
    shared: Arc<Shared>,
}

/// The room on the disk of each root, in bytes and inodes.
type Room = Vec<(u64, u64)>;

impl Watch {
    fn run(self) {
        if let Some(breach) = self.watch() {
            // Set once only: this is the last thing that the thread does.
            let _first = self.shared.breach.set(breach);
            self.tell();
        }
    }

    /// Watches until there is a breach, or nothing to watch any more.
    fn watch(&self) -> Option<Breach> {
        let mut room = self.room();
        let Some(Look { found: before, mut cost }) = self.look_and_bound() else {
            return self.unless_ended(Breach::Unseen);
        };
        let (mut grown, mut ended_at) = (Measured::default(), Instant::now());
        self.shared.ready.store(true, Ordering::Release);
        self.tell();
        loop {
            if self.pause() {
                return None;
            }
            self.look_at_quota();
            let now = self.room();
            let is_short = now.iter().any(|(bytes, _)| *bytes < self.limits.reserve_bytes);
            let hurry = is_short || self.is_lost(&room, &now, grown);
            if !pace::is_due(cost, ended_at.elapsed(), hurry) {
                continue;
            }
            room = now;
            let Some(look) = self.look(&self.roots) else {
                return self.unless_ended(Breach::Unseen);
            };
            grown = growth(before, look.found);
            cost = look.cost;
            ended_at = Instant::now();
            if let Some(breach) = self.judge(grown, is_short) {
                return Some(breach);
            }
        }
    }

    /// Looks at what is there before the first step, and bounds what comes on top.
    fn look_and_bound(&self) -> Option<Look> {
        let is_own = |root: &PathBuf| Some(root) == self.writable.as_ref();
        let (own, others): (Vec<_>, Vec<_>) = self.roots.iter().cloned().partition(is_own);
        let mut look = self.look(&own)?;
        let quota = match &self.writable {
            Some(writable) => Quota::set(writable, self.owner, look.found, self.limits.bytes),
            None => Err(NoQuota::NoSubvolume),
        };
        // Set once only, before anybody looks.
        let _first = self.shared.quota.set(quota);
        if !others.is_empty() {
            let Look { found, cost } = self.look(&others)?;
            look = Look { found: look.found.and(found), cost: look.cost + cost };
        }
        Some(look)
    }

    /// Notes when the quota group is full: later there may be room again.
    fn look_at_quota(&self) {
        if !self.shared.reached.load(Ordering::Relaxed)
            && let Some(Ok(quota)) = self.shared.quota.get()
            && quota.is_reached()
        {
            self.shared.reached.store(true, Ordering::Release);
        }
    }

    /// Waits a moment; tells whether the job has ended.
    fn pause(&self) -> bool {
        thread::park_timeout(TICK);
        self.shared.ended.load(Ordering::Acquire)
    }

    fn unless_ended(&self, breach: Breach) -> Option<Breach> {
        (!self.shared.ended.load(Ordering::Acquire)).then_some(breach)
    }

    /// Looks once, or a few times if that fails; nothing if it goes on failing or the job ended.
    fn look(&self, roots: &[PathBuf]) -> Option<Look> {
        for _ in 0..FAILURES_MAX {
            let top = self.shared.top.load(Ordering::Acquire);
            match self.eyes.look(roots, top, &self.shared.ended) {
                Ok(look) => return Some(look),
                Err(error) => complain("measure the disk", &error),
            }
            if self.pause() {
                return None;
            }
        }
        None
    }

    fn room(&self) -> Room {
        let of_disk = |root: &PathBuf| match statvfs(root) {
            // A file system without a fixed number of inodes says that it has none.
            Ok(disk) if disk.f_files == 0 => (disk.f_bavail * disk.f_frsize, u64::MAX),
            Ok(disk) => (disk.f_bavail * disk.f_frsize, disk.f_favail),
            Err(error) => {
                complain("look at the room on the disk", &error);
                (u64::MAX, u64::MAX)
            }
        };
        self.roots.iter().map(of_disk).collect()
    }

    /// Whether the disk has lost so much room since the last measurement, to whomever, that the job
    /// may have reached its limit.
    fn is_lost(&self, before: &Room, now: &Room, grown: Measured) -> bool {
        let left_bytes = self.limits.bytes.saturating_sub(grown.bytes);
        let left_files = self.limits.files.saturating_sub(grown.files);
        before.iter().zip(now).any(|(before, now)| {
            before.0.saturating_sub(now.0) > left_bytes
                || before.1.saturating_sub(now.1) > left_files
        })
    }

    fn judge(&self, grown: Measured, is_short: bool) -> Option<Breach> {
        let DiskLimits { bytes, files, reserve_bytes } = self.limits;
        // What is in a closed directory is not known, and may be what fills the disk.
        let has_grown = grown.bytes > 0 || grown.files > 0 || grown.closed > 0;
        match grown {
            Measured { bytes: found, .. } if found > bytes.saturating_add(self.spare_bytes()) => {
                Some(Breach::Bytes(bytes))
            }
            Measured { files: found, .. } if found > files => Some(Breach::Files(files)),
            Measured { too_deep: true, .. } => Some(Breach::Depth),
            _ if is_short && has_grown => Some(Breach::Reserve(reserve_bytes)),
            _ => None,
        }
    }

    /// What the kernel lets the job write beyond its limit, which is no reason to kill it.
    fn spare_bytes(&self) -> u64 {
        match self.shared.quota.get() {
            Some(Ok(quota)) => quota.spare_bytes,
            Some(Err(_)) | None => 0,
        }
    }

    fn tell(&self) {
        if let Err(error) = rustix::io::write(&self.shared.news, &1_u64.to_ne_bytes()) {
            complain("tell about the disk", &error);
        }
    }
}

fn growth(before: Measured, now: Measured) -> Measured {
    Measured {
        bytes: now.bytes.saturating_sub(before.bytes),
        files: now.files.saturating_sub(before.files),
        closed: now.closed.saturating_sub(before.closed),
        too_deep: now.too_deep && !before.too_deep,
    }
}

/// Everything of the host's that the job may write to, none of it within another; of its own
/// directory, all.
fn roots(job: &Job) -> Vec<PathBuf> {
    let specs = || job.steps.iter().map(|step| &step.spec);
    let mounts = specs().flat_map(|spec| &spec.mounts).map(|mount| (mount.access, &mount.source));
    let overlays = specs().flat_map(|spec| &spec.overlays);
    let changes = overlays.map(|Overlay { access, changes, .. }| (*access, changes));
    let mut roots: Vec<PathBuf> = mounts
        .chain(changes)
        .filter(|(access, _)| access.is_writable())
        .map(|(_, root)| root.clone())
        .chain(job.writable.clone())
        .collect();
    // What contains another comes right before it.
    roots.sort();
    roots.dedup_by(|later, earlier| later.starts_with(&*earlier));
    roots
}

/// Who can see all that the job has.
fn eyes(job: &Job) -> Eyes {
    let has_own_uid = job.steps.iter().any(|step| step.spec.host_uid.is_some());
    if has_own_uid && !rustix::process::geteuid().is_root() { Eyes::OfRun } else { Eyes::Own }
}

//! A trial run, for those who want to know what this machine can do before it matters. It starts a
//! real jail; nothing is guessed from versions or settings.

use std::path::{Path, PathBuf};

use crate::bubblewrap;
use crate::isolation::{Layer, LayerName, LayerState};
use crate::report::{Refusal, Report, Step};
use crate::running::{ReportError, Running};
use crate::spawn::{SpawnError, Stdio, spawn};
use crate::spec::{Account, Limits, Network, Spec};
use crate::subordinate::{self, SubordinateIds};

/// The host uid of the trial run when the caller is root: nobody's.
const HOST_UID: u32 = 65_534;

/// Memory of the trial run, which only starts and ends.
const MEMORY_BYTES: u64 = 256 << 20;

/// Where Ubuntu 24.04 and newer say whether only programs with an AppArmor profile that has
/// `userns,` may use user namespaces.
const APPARMOR_RESTRICTS: &str = "/proc/sys/kernel/apparmor_restrict_unprivileged_userns";

/// What to do about that.
const APPARMOR_FIX: &str = "let this program use user namespaces, which \
     kernel.apparmor_restrict_unprivileged_userns = 1 forbids: copy daemon/service/apparmor/handoffd \
     to /etc/apparmor.d/handoffd and run `apparmor_parser -r /etc/apparmor.d/handoffd`";

/// Says why the trial run ended before it told anything.
#[derive(Debug, thiserror::Error)]
enum ProbeError {
    #[error("{0}")]
    Refused(Refusal),
    #[error(transparent)]
    Spawn(#[from] SpawnError),
    #[error(transparent)]
    Report(#[from] ReportError),
    #[error("open /dev/null: {0}")]
    Streams(#[from] std::io::Error),
    #[error("the trial run ended without a word")]
    Silent,
}

/// Runs a tiny jail and returns what is in force on this machine, with the remedy for what is not.
///
/// When no jail can be made at all, every mandatory layer is absent and says why. The executable
/// must call [`entry`](crate::entry()) first thing in its `main`.
#[must_use]
pub fn probe() -> Vec<Layer> {
    // As a caller without such ids, which is no root, has its own uid for all runs.
    let (host_uid, why_shared) = match SubordinateIds::find() {
        _ if rustix::process::geteuid().is_root() => (Some(HOST_UID), None),
        Ok(ids) => (ids.from(0).next(), None),
        Err(refusal) => (None, Some(refusal.detail)),
    };
    let mut layers = trial(host_uid).unwrap_or_else(|error| failed(&error));
    for layer in &mut layers {
        if let (LayerName::Uid, LayerState::Partial, Some(why)) =
            (layer.name, layer.state, &why_shared)
        {
            layer.detail = format!("{}: {why}", layer.detail);
        }
        if layer.state != LayerState::InForce && layer.fix.is_none() {
            layer.fix = fix(layer.name).map(Into::into);
        }
    }
    layers
}

fn trial(host_uid: Option<u32>) -> Result<Vec<Layer>, ProbeError> {
    let mut running = spawn(&spec(host_uid), Stdio::null()?)?;
    let layers = first_report(&mut running);
    running.cleanup()?;
    layers
}

fn first_report(running: &mut Running) -> Result<Vec<Layer>, ProbeError> {
    loop {
        return match running.recv()? {
            Some(Report::Doors) => continue,
            Some(Report::Ready { isolation }) => Ok(isolation.layers),
            Some(Report::Refused(refusal)) => Err(ProbeError::Refused(refusal)),
            Some(Report::Exited(_)) | None => Err(ProbeError::Silent),
        };
    }
}

fn spec(host_uid: Option<u32>) -> Spec {
    let home = PathBuf::from("/home/probe");
    Spec {
        name: format!("probe-{}", std::process::id()),
        argv: vec!["true".into()],
        env: Vec::new(),
        cwd: home.clone(),
        account: Account { uid: 1000, gid: 1000, user: "probe".into(), home },
        host_uid,
        hostname: "probe".into(),
        mounts: Vec::new(),
        overlays: Vec::new(),
        terminal: None,
        network: Network::Fenced,
        limits: Limits { memory_bytes: MEMORY_BYTES, ..Limits::default() },
        umask: 0o022,
        require: Vec::new(),
    }
}

/// Says of every mandatory layer that it is missing, and of the first how to get it.
fn failed(error: &ProbeError) -> Vec<Layer> {
    let step = match error {
        ProbeError::Refused(refusal) => Some(refusal.step),
        _ => None,
    };
    let remedy = match step {
        Some(Step::Bubblewrap) => Some(bubblewrap::FIX),
        // There it fails wherever the namespace is first used, by bubblewrap at the latest.
        _ if is_one(Path::new(APPARMOR_RESTRICTS)) => Some(APPARMOR_FIX),
        step => step.and_then(remedy),
    };
    LayerName::MANDATORY
        .iter()
        .map(|name| {
            let mut layer = Layer::new(*name, LayerState::Absent, error.to_string());
            layer.fix = remedy.map(Into::into);
            layer
        })
        .collect()
}

/// Whether a kernel setting is 1; one that this kernel does not have is not.
fn is_one(setting: &Path) -> bool {
    std::fs::read_to_string(setting).is_ok_and(|text| text.trim() == "1")
}

/// What to do when the trial run is refused at a step.
const fn remedy(step: Step) -> Option<&'static str> {
    match step {
        Step::Namespaces => Some(
            "allow user namespaces: sysctl user.max_user_namespaces and \
             kernel.unprivileged_userns_clone; in a container, privileges for the container",
        ),
        Step::Seccomp => Some("use a kernel with CONFIG_SECCOMP_FILTER on x86-64 or AArch64"),
        Step::Source | Step::Stage => Some("use Linux 5.12 or newer, with /proc and /tmp mounted"),
        _ => None,
    }
}

/// What to do about a layer that is missing although a run was possible.
const fn fix(name: LayerName) -> Option<&'static str> {
    match name {
        LayerName::Uid => Some(subordinate::FIX),
        LayerName::Memory | LayerName::Processes => Some(
            "run the daemon as root, with the memory and pids controllers mounted, or as a \
                 service of systemd 251 or newer with `Delegate=memory pids`",
        ),
        LayerName::Landlock => Some(
            "use Linux 6.12 or newer, built with CONFIG_SECURITY_LANDLOCK and started with \
             `landlock` in the list of lsm= (see /sys/kernel/security/lsm)",
        ),
        LayerName::Disk => Some("nothing: this version does not have it"),
        LayerName::Namespaces
        | LayerName::Capabilities
        | LayerName::NoNewPrivs
        | LayerName::Seccomp
        | LayerName::Network => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_setting_that_is_one_restricts() {
        let directory = tempfile::tempdir().expect("directory");
        let setting = directory.path().join("setting");
        assert!(!is_one(&setting));
        for (text, expected) in [("1\n", true), ("0\n", false), ("", false)] {
            std::fs::write(&setting, text).expect("write");
            assert_eq!(is_one(&setting), expected, "{text:?}");
        }
    }
}

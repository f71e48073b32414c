//! Landlock: rules of the kernel that say once more what the mounts say. They hold for whatever is
//! reached without a mount of the jail, too: directories of the host behind a descriptor that
//! somebody passes in, and what other processes listen on.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::Path;

use landlock::{
    ABI, Access as _, AccessFs, BitFlags, CompatLevel, Compatible as _, LandlockStatus,
    PathBeneath, Ruleset, RulesetAttr as _, RulesetCreated, RulesetCreatedAttr as _, RulesetError,
    RulesetStatus, Scope, make_bitflags,
};

use crate::isolation::{Layer, LayerName, LayerState};
use crate::spec::Spec;
use crate::stage0;

/// The newest version whose rights were tried with these rules. Later rights are not asked for:
/// what they would deny is not known.
const NEWEST: ABI = ABI::V7;

/// What cannot be taken away from a run: a version without it forbids renaming from one directory
/// to another altogether.
const INDISPENSABLE: AccessFs = AccessFs::Refer;

/// Where everything that is shown may be read and executed.
const ROOT: &str = "/";

/// Where files, but no directories, may be written: who may write which is the kernel's to decide.
const KERNELS: [&str; 2] = ["/proc", "/dev"];

/// Says why there are no rules.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Rules(#[from] RulesetError),
    #[error("open {path}: {source}")]
    Open { path: String, source: io::Error },
    #[error("look at a stream: {0}")]
    Stream(io::Error),
}

/// Puts this process, and every process that it starts, under rules for the policy, and says
/// whether the kernel took them.
pub(super) fn enforce(spec: &Spec, streams: &[OwnedFd]) -> Layer {
    rules(spec, streams).map_or_else(
        |failure| Layer::new(LayerName::Landlock, LayerState::Absent, failure.to_string()),
        |(enforced, landlock)| judge(&enforced, landlock),
    )
}

fn rules(spec: &Spec, streams: &[OwnedFd]) -> Result<(RulesetStatus, LandlockStatus), Failure> {
    let mut ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::SoftRequirement)
        .handle_access(INDISPENSABLE)?
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(NEWEST))?
        .scope(Scope::from_all(NEWEST))?
        .create()?;
    ruleset = allow(ruleset, Path::new(ROOT), AccessFs::from_read(NEWEST))?;
    let files = AccessFs::from_file(NEWEST);
    for path in KERNELS {
        ruleset = allow(ruleset, Path::new(path), files)?;
    }
    for path in stage0::writable(spec) {
        ruleset = allow(ruleset, &path, everything())?;
    }
    for stream in streams {
        // A terminal is a file of the host's; opening `/dev/stderr` opens it once more.
        let file = File::from(stream.try_clone().map_err(Failure::Stream)?);
        if file.metadata().map_err(Failure::Stream)?.file_type().is_char_device() {
            ruleset = ruleset.add_rule(PathBeneath::new(file, files))?;
        }
    }
    let status = ruleset.restrict_self()?;
    Ok((status.ruleset, status.landlock))
}

/// Everything that a run does in its own directories. Devices are not among it: no run can make
/// one that works, but the empty one by which overlays hide files needs no rights.
fn everything() -> BitFlags<AccessFs> {
    AccessFs::from_all(NEWEST) & !make_bitflags!(AccessFs::{MakeChar | MakeBlock})
}

fn allow(
    ruleset: RulesetCreated,
    path: &Path,
    access: BitFlags<AccessFs>,
) -> Result<RulesetCreated, Failure> {
    let failed = |source| Failure::Open { path: path.display().to_string(), source };
    let found = match OpenOptions::new().read(true).custom_flags(libc::O_PATH).open(path) {
        // An earlier run can have locked the way to its own directory. Without a rule it stays
        // locked; no rules at all would be worth more to whoever did it.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Ok(ruleset),
        found => found.map_err(failed)?,
    };
    let directory = found.metadata().map_err(failed)?.is_dir();
    let access = if directory { access } else { access & AccessFs::from_file(NEWEST) };
    Ok(ruleset.add_rule(PathBeneath::new(found, access))?)
}

fn judge(enforced: &RulesetStatus, landlock: LandlockStatus) -> Layer {
    let (state, detail) = match (enforced, landlock) {
        (RulesetStatus::FullyEnforced, LandlockStatus::Available { effective_abi, .. }) => {
            (LayerState::InForce, format!("ABI {effective_abi}"))
        }
        (RulesetStatus::PartiallyEnforced, LandlockStatus::Available { effective_abi, .. }) => (
            LayerState::Partial,
            format!("ABI {effective_abi} lacks some rules: {}", lacks(effective_abi)),
        ),
        (_, LandlockStatus::NotImplemented) => {
            (LayerState::Absent, "the kernel was built without it".to_owned())
        }
        (_, LandlockStatus::NotEnabled) => {
            (LayerState::Absent, "the kernel was started without it".to_owned())
        }
        (RulesetStatus::NotEnforced, LandlockStatus::Available { effective_abi, .. }) => {
            let detail = format!("ABI {effective_abi} forbids renaming between directories");
            (LayerState::Absent, detail)
        }
    };
    Layer::new(LayerName::Landlock, state, detail)
}

/// Names what a version before the one with everything does not restrict.
fn lacks(abi: ABI) -> String {
    let rules = [
        (ABI::V3, "truncating files"),
        (ABI::V5, "requests to devices"),
        (ABI::V6, "signals and abstract sockets"),
    ];
    let lacking: Vec<&str> =
        rules.iter().filter(|(since, _)| abi < *since).map(|(_, what)| *what).collect();
    lacking.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn kernel(abi: ABI) -> LandlockStatus {
        LandlockStatus::Available { effective_abi: abi, kernel_abi: None }
    }

    #[test]
    fn only_all_of_the_rules_count_as_in_force() {
        let layer = judge(&RulesetStatus::FullyEnforced, kernel(ABI::V7));
        assert_eq!((layer.state, layer.detail.as_str()), (LayerState::InForce, "ABI 7"));
        let layer = judge(&RulesetStatus::PartiallyEnforced, kernel(ABI::V4));
        assert_eq!(layer.state, LayerState::Partial);
        assert!(layer.detail.ends_with("requests to devices, signals and abstract sockets"));
    }

    #[test]
    fn a_kernel_without_rules_says_why() {
        for (status, reason) in [
            (LandlockStatus::NotImplemented, "built"),
            (LandlockStatus::NotEnabled, "started"),
            (kernel(ABI::V1), "renaming"),
        ] {
            let layer = judge(&RulesetStatus::NotEnforced, status);
            assert_eq!(layer.state, LayerState::Absent);
            assert!(layer.detail.contains(reason), "{layer:?}");
        }
    }
}

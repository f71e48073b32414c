//! The hidden subcommands, by which the executable starts itself as stage-0 and as init.

use std::ffi::{OsStr, OsString};
use std::process::ExitCode;

use crate::handover::Descriptors;
use crate::{init, stage0, subordinate};

/// The argument that makes the executable stage-0.
pub(crate) const STAGE0: &str = "sandbox-stage0";

/// The argument that makes the executable init.
pub(crate) const INIT: &str = "sandbox-init";

/// The argument that makes the executable hold a user namespace for stage-0.
pub(crate) const MAPPING: &str = "sandbox-mapping";

/// The argument that makes the executable have the ids of its parent's user namespace mapped.
pub(crate) const SUBORDINATE: &str = "sandbox-subordinate";

/// The argument that makes the executable give files to a run.
pub(crate) const OWNERSHIP: &str = "sandbox-ownership";

/// The exit code of a stage that refused; the reason went over the channel.
pub(crate) const REFUSED: u8 = 125;

/// Runs a hidden subcommand if the arguments name one.
///
/// Every executable that calls [`spawn`](crate::spawn), [`probe`](crate::probe) or
/// [`give`](crate::give) calls this with
/// `std::env::args_os()` first thing in `main`, before it starts a thread or a runtime, and
/// returns the code if there is one.
#[must_use]
pub fn entry(arguments: impl IntoIterator<Item = OsString>) -> Option<ExitCode> {
    let mut arguments = arguments.into_iter().skip(1);
    let stage = match arguments.next()?.to_str()? {
        STAGE0 => stage0::run,
        INIT => init::run,
        MAPPING => return Some(stage0::hold_mapping()),
        SUBORDINATE => return Some(subordinate::map(&arguments.collect::<Vec<_>>())),
        OWNERSHIP => return Some(subordinate::change_owners(&arguments.collect::<Vec<_>>())),
        _ => return None,
    };
    let rest: Vec<OsString> = arguments.collect();
    // Someone typed the subcommand: there is no channel on which to complain.
    Some(Descriptors::adopt(&rest).map_or(ExitCode::from(REFUSED), stage))
}

/// Returns the arguments that start a stage.
pub(crate) fn arguments(stage: &str, descriptors: &Descriptors) -> Vec<OsString> {
    std::iter::once(OsStr::new(stage).to_owned()).chain(descriptors.arguments()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(arguments: &[&str]) -> Option<ExitCode> {
        entry(arguments.iter().map(OsString::from))
    }

    #[test]
    fn other_commands_are_left_alone() {
        assert!(check(&["handoffd"]).is_none());
        assert!(check(&["handoffd", "serve"]).is_none());
        assert!(check(&["handoffd", "--", STAGE0]).is_none());
    }

    #[test]
    fn a_stage_started_by_hand_ends_at_once() {
        assert!(check(&["handoffd", STAGE0]).is_some());
        assert!(check(&["handoffd", INIT, "0", "1", "2", "3", "4"]).is_some());
    }
}

//! Saying how a job ended, from how its last step closed and why. Pure.

use handoff_sandbox::{Ended as SandboxEnded, ExitStatus};

use super::ending::Cause;
use crate::supervisor::disk_limits::Breach;
use crate::supervisor::job::Ended;

/// Tells how a step closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Close {
    /// As its sandbox says.
    Ended(SandboxEnded),
    /// No process could be started for it.
    NotStarted(String),
    /// Its sandbox said what it cannot say, and was killed.
    Untrusted(String),
}

/// Says how the job ended if a set-up step closed like this; none if the job goes on. `reached` is
/// the limit past which the kernel let it write nothing.
pub(super) fn of_setup(
    name: &str,
    cause: Option<Cause>,
    close: Close,
    reached: Option<Breach>,
) -> Option<Ended> {
    let detail = match (cause, close) {
        (Some(Cause::Stop), _) => return Some(Ended::Cancelled { status: None }),
        (Some(Cause::Deadline), _) => "the time for setting up was over".to_owned(),
        (Some(Cause::Disk(breach)), _) => breach.to_string(),
        (None, Close::Ended(SandboxEnded::Exited(ExitStatus::Code(0)))) => return None,
        (None, Close::Ended(SandboxEnded::Exited(status))) => {
            let limit = reached.map(|breach| format!("{breach} reached: ")).unwrap_or_default();
            format!("{limit}ended with {status}; see its output in the log")
        }
        (None, Close::Ended(SandboxEnded::Refused(refusal))) => refusal.to_string(),
        (None, Close::Ended(SandboxEnded::WithoutReport)) => "its sandbox was killed".to_owned(),
        (None, Close::NotStarted(error) | Close::Untrusted(error)) => error,
    };
    Some(Ended::Refused { step: format!("setup: {name}"), detail })
}

/// Says how the job ended if its command closed like this; `reached` as for a set-up step.
pub(super) fn of_command(
    cause: Option<Cause>,
    limit_seconds: u64,
    close: Close,
    oom_kills: Option<u64>,
    reached: Option<Breach>,
) -> Ended {
    match (cause, close) {
        (Some(Cause::Deadline), _) => Ended::TimedOut { limit_seconds },
        (Some(Cause::Disk(breach)), _) => Ended::DiskLimit { limit: breach.to_string() },
        (Some(Cause::Stop), Close::Ended(SandboxEnded::Exited(status))) => {
            Ended::Cancelled { status: Some(status) }
        }
        (Some(Cause::Stop), _) => Ended::Cancelled { status: None },
        (None, Close::Ended(SandboxEnded::Exited(status))) => match reached {
            Some(breach) if status != ExitStatus::Code(0) => {
                Ended::DiskLimit { limit: format!("{breach} reached: ended with {status}") }
            }
            Some(_) | None => status.into(),
        },
        (None, Close::Ended(SandboxEnded::Refused(refusal))) => {
            Ended::Refused { step: refusal.step.to_string(), detail: refusal.detail }
        }
        (None, Close::Ended(SandboxEnded::WithoutReport)) => {
            Ended::Lost { detail: killed(oom_kills) }
        }
        (None, Close::NotStarted(detail)) => Ended::Refused { step: "start".into(), detail },
        (None, Close::Untrusted(detail)) => Ended::Lost { detail },
    }
}

fn killed(oom_kills: Option<u64>) -> String {
    match oom_kills {
        Some(1..) => "the sandbox was killed for want of memory".into(),
        Some(0) | None => "the sandbox was killed from outside".into(),
    }
}

#[cfg(test)]
mod tests {
    use handoff_sandbox::{Refusal, Step};

    use super::*;

    const DONE: Close = Close::Ended(SandboxEnded::Exited(ExitStatus::Code(0)));
    const KILLED: Close = Close::Ended(SandboxEnded::WithoutReport);

    #[test]
    fn a_job_goes_on_after_a_set_up_step_that_succeeds() {
        assert_eq!(of_setup("npm ci", None, DONE, None), None);
    }

    #[test]
    fn a_set_up_step_that_fails_is_named() {
        let failed = Close::Ended(SandboxEnded::Exited(ExitStatus::Code(7)));
        for (cause, close, said) in [
            (None, failed.clone(), "exit code 7"),
            (None, KILLED, "killed"),
            (None, Close::NotStarted("no memory".into()), "no memory"),
            (Some(Cause::Deadline), failed.clone(), "time"),
            (Some(Cause::Disk(Breach::Bytes(1 << 30))), failed, "disk limit of 1 GiB"),
        ] {
            let ended = of_setup("npm ci", cause, close, None);
            let Some(Ended::Refused { step, detail }) = ended else { panic!("{ended:?}") };
            assert_eq!(step, "setup: npm ci");
            assert!(detail.contains(said), "{detail}");
        }
    }

    #[test]
    fn why_a_command_had_to_end_counts_more_than_how_it_did() {
        assert_eq!(
            of_command(Some(Cause::Deadline), 60, DONE, None, None),
            Ended::TimedOut { limit_seconds: 60 }
        );
        let disk = Some(Cause::Disk(Breach::Bytes(1 << 30)));
        let limit = "disk limit of 1 GiB".to_owned();
        assert_eq!(of_command(disk, 60, KILLED, None, None), Ended::DiskLimit { limit });
        let stop = Some(Cause::Stop);
        assert_eq!(of_setup("npm ci", stop, DONE, None), Some(Ended::Cancelled { status: None }));
        assert_eq!(of_command(stop, 0, KILLED, None, None), Ended::Cancelled { status: None });
        let status = Some(ExitStatus::Code(0));
        assert_eq!(of_command(stop, 0, DONE, None, None), Ended::Cancelled { status });
    }

    #[test]
    fn a_command_that_ends_by_itself_has_its_own_exit() {
        assert_eq!(of_command(None, 0, DONE, None, None), Ended::Code { code: 0 });
        let signal = Close::Ended(SandboxEnded::Exited(ExitStatus::Signal(11)));
        assert_eq!(of_command(None, 0, signal, None, None), Ended::Signal { signal: 11 });
        let refusal = Refusal { step: Step::Seccomp, detail: "no".into(), errno: None };
        assert_eq!(
            of_command(None, 0, Close::Ended(SandboxEnded::Refused(refusal)), None, None),
            Ended::Refused { step: "seccomp".into(), detail: "no".into() }
        );
        let Ended::Lost { detail } = of_command(None, 0, KILLED, Some(2), None) else { panic!() };
        assert!(detail.contains("memory"), "{detail}");
    }

    #[test]
    fn who_fails_with_its_disk_used_up_is_told_so_and_who_copes_is_not() {
        let reached = Some(Breach::Bytes(1 << 30));
        let failed = || Close::Ended(SandboxEnded::Exited(ExitStatus::Code(7)));
        let limit = "disk limit of 1 GiB reached: ended with exit code 7".to_owned();
        assert_eq!(of_command(None, 0, failed(), None, reached), Ended::DiskLimit { limit });
        assert_eq!(of_command(None, 0, DONE, None, reached), Ended::Code { code: 0 });
        let ended = of_setup("npm ci", None, failed(), reached);
        let Some(Ended::Refused { detail, .. }) = ended else { panic!("{ended:?}") };
        assert!(detail.starts_with("disk limit of 1 GiB reached: ended with exit code 7"));
        assert_eq!(of_setup("npm ci", None, DONE, reached), None);
        // Why it had to end counts more.
        let stop = Some(Cause::Stop);
        let ended = of_command(stop, 0, KILLED, None, reached);
        assert_eq!(ended, Ended::Cancelled { status: None });
    }
}

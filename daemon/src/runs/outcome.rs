//! Which outcome a turn has: a pure decision from how its command ended.

use handoff_proto::run::{Exit, Outcome};

/// Decides outcome and detail. A user's stop explains any end that came after it, unless nothing
/// was started at all.
pub(super) fn decide(exit: &Exit, stop_requested: bool) -> (Outcome, String) {
    match exit {
        Exit::Refused { step, detail } => (Outcome::Refused, format!("{step}: {detail}")),
        _ if stop_requested => (Outcome::Cancelled, "stopped by its owner".to_owned()),
        Exit::Code(0) => (Outcome::Succeeded, String::new()),
        Exit::Code(code) => (Outcome::Failed, format!("exited with code {code}")),
        Exit::Signal(signal) => (Outcome::Failed, format!("ended by signal {signal}")),
        Exit::TimedOut(seconds) => {
            (Outcome::TimedOut, format!("its time limit of {seconds} s was over"))
        }
        Exit::DiskLimit(limit) => (Outcome::Failed, limit.clone()),
        Exit::Lost(why) => (Outcome::Lost, why.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_follow_from_the_exit() {
        let refused = Exit::Refused { step: "seccomp".into(), detail: "no".into() };
        for (exit, stopped, outcome, detail) in [
            (Exit::Code(0), false, Outcome::Succeeded, ""),
            (Exit::Code(3), false, Outcome::Failed, "exited with code 3"),
            (Exit::Signal(9), false, Outcome::Failed, "ended by signal 9"),
            (Exit::Signal(15), true, Outcome::Cancelled, "stopped by its owner"),
            (Exit::TimedOut(2), false, Outcome::TimedOut, "its time limit of 2 s was over"),
            (Exit::DiskLimit("limit".into()), false, Outcome::Failed, "limit"),
            (Exit::Lost("gone".into()), false, Outcome::Lost, "gone"),
            (refused, true, Outcome::Refused, "seccomp: no"),
        ] {
            assert_eq!(decide(&exit, stopped), (outcome, detail.to_owned()), "{exit:?}");
        }
    }
}

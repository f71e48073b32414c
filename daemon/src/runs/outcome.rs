//! Which outcome a turn has: a pure decision from how its command ended.

use handoff_proto::run::{AgentAccount, Exit, Outcome};

/// Decides outcome and detail. A user's stop explains any end that came after it, unless nothing
/// was started at all.
pub(super) fn decide(
    exit: &Exit,
    stop_requested: bool,
    agent: Option<&AgentAccount>,
) -> (Outcome, String) {
    let turn = agent.map(|agent| agent.turn.as_ref());
    match (exit, turn) {
        (Exit::Refused { step, detail }, _) => (Outcome::Refused, format!("{step}: {detail}")),
        _ if stop_requested => (Outcome::Cancelled, "stopped by its owner".to_owned()),
        (Exit::Code(_) | Exit::Signal(_), Some(Some(turn))) if !turn.failure.is_empty() => {
            (Outcome::Failed, turn.failure.clone())
        }
        (Exit::Code(0), None | Some(Some(_))) => (Outcome::Succeeded, String::new()),
        (Exit::Code(code), None | Some(Some(_))) => {
            (Outcome::Failed, format!("exited with code {code}"))
        }
        (Exit::Signal(signal), None | Some(Some(_))) => {
            (Outcome::Failed, format!("ended by signal {signal}"))
        }
        (Exit::Code(code), Some(None)) => {
            let what = "the agent ended before its turn did";
            (Outcome::Failed, format!("{what}: it exited with code {code}"))
        }
        (Exit::Signal(signal), Some(None)) => {
            let what = "the agent ended before its turn did";
            (Outcome::Failed, format!("{what}: signal {signal}"))
        }
        (Exit::TimedOut(seconds), _) => {
            (Outcome::TimedOut, format!("its time limit of {seconds} s was over"))
        }
        (Exit::DiskLimit(limit), _) => (Outcome::Failed, limit.clone()),
        (Exit::Lost(why), _) => (Outcome::Lost, why.clone()),
    }
}

#[cfg(test)]
mod tests {
    use handoff_proto::wire::TurnEnded;

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
            assert_eq!(decide(&exit, stopped, None), (outcome, detail.to_owned()), "{exit:?}");
        }
        let failure = "the model API is overloaded".to_owned();
        let turn = |failure: &str| TurnEnded { failure: failure.to_owned(), text: String::new() };
        let agent = |turn| AgentAccount { turn, ..AgentAccount::default() };
        let decide = |exit, agent: &AgentAccount| decide(&exit, false, Some(agent));
        let overloaded = agent(Some(turn(&failure)));
        assert_eq!(decide(Exit::Code(1), &overloaded), (Outcome::Failed, failure));
        let done = agent(Some(turn("")));
        assert_eq!(decide(Exit::Code(0), &done), (Outcome::Succeeded, String::new()));
        let (outcome, detail) = decide(Exit::Signal(9), &agent(None));
        assert_eq!(outcome, Outcome::Failed);
        assert_eq!(detail, "the agent ended before its turn did: signal 9");
        assert_eq!(decide(Exit::Code(0), &agent(None)).0, Outcome::Failed);
    }
}

//! What the agent's user is told in place of an answer of the model. Where the agent works, Claude
//! Code shows the last line only.

use handoff_proto::path::harmless;
use serde_json::{Value, json};

use super::EVENT;
use crate::agents::Kind;
use crate::agents::lease::{Lease, LeaseHolder};
use crate::json::rfc3339;

/// The object that keeps a prompt from the model. Codex takes these two fields and no other, and
/// sends the prompt if there is one more; Claude Code would show the prompt again.
pub(super) fn block(interface: Kind, reason: &str) -> Value {
    let reason = harmless(reason);
    match interface {
        Kind::Claude => json!({
            "decision": "block",
            "reason": reason,
            "hookSpecificOutput": { "hookEventName": EVENT, "suppressOriginalPrompt": true },
        }),
        Kind::Codex => json!({ "decision": "block", "reason": reason }),
    }
}

/// The session is handed off, by this prompt or by the same one before.
pub(super) fn handed_off(interface: Kind, session: &str, holder: &LeaseHolder) -> String {
    let LeaseHolder { name, remote, .. } = holder;
    format!(
        "handed off: run {name} is on {remote}, it is safe to disconnect\n\
         follow it: `handoff watch {name}`\n{}",
        back(interface, session, name)
    )
}

/// A run holds the session.
pub(super) fn held(interface: Kind, session: &str, lease: &Lease) -> String {
    let LeaseHolder { name, remote, since_unix_nanos, .. } = &lease.holder;
    format!(
        "not sent: this session goes on in run {name} on {remote} since {}\n\
         `handoff say {name} TEXT` tells it something, `handoff watch {name}` follows it\n{}\n\
         go on here without it: {}, then `{}`",
        rfc3339(*since_unix_nanos),
        back(interface, session, name),
        interface.leave_command(),
        interface.fork_command(session),
    )
}

/// How code and conversation come back.
fn back(interface: Kind, session: &str, name: &str) -> String {
    let (leave, resume) = (interface.leave_command(), interface.resume_command(session));
    format!("get it back: {leave}, then `handoff pull {name}` and `{resume}`")
}

/// Another prompt is handing the session off.
pub(super) fn under_way() -> String {
    "not sent: this session is being handed off right now; try again in a moment".to_owned()
}

/// The agent works. Codex ends its turn when a prompt is kept from it, whatever we do; then what
/// ran may still change files, so that the next try is the one to hand off.
pub(super) fn busy(interface: Kind) -> String {
    match interface {
        Kind::Claude => {
            "not handed off: Claude Code is at work; `/handoff …` waits for the end of its turn, or press esc first"
        }
        Kind::Codex => {
            "not handed off: Codex was at work, and ends its turn here\n\
             its last command may still run; send it once more to hand off as it is now"
        }
    }
    .to_owned()
}

/// Nothing is said that a run could do.
pub(super) fn nothing_to_do(interface: Kind) -> String {
    let word = match interface {
        Kind::Claude => "/handoff",
        Kind::Codex => "$handoff",
    };
    format!("not handed off: say what is to be done, as in `{word} finish the tests`")
}

/// It is kept on this machine.
pub(super) fn unsent(name: &str, remote: &str) -> String {
    format!(
        "handed off, but not sent yet: {remote} is away, run {name} is kept here\n\
         `handoff resume-upload {name}` sends it, `handoff rm {name}` drops it"
    )
}

/// It failed.
pub(super) fn failed(error: &str, hint: Option<&str>) -> String {
    let hint = hint.map(|hint| format!("\n{hint}")).unwrap_or_default();
    format!("not handed off: {error}{hint}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codex_is_told_nothing_that_it_does_not_know() {
        let block = block(Kind::Codex, "no\x1b[2J");
        assert_eq!(block, json!({ "decision": "block", "reason": "no\\x1b[2J" }));
    }
}

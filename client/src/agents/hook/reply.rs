//! What the agent's user is told in place of an answer of the model. Where the agent works, Claude
//! Code shows the last line only.

use std::path::Path;

use handoff_proto::path::harmless;
use serde_json::{Value, json};

use super::EVENT;
use super::standing::Standing;
use crate::agents::Kind;
use crate::agents::lease::LeaseHolder;
use crate::outbox;
use crate::wording::moment;

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

/// How an answer begins to a prompt that is told to nobody.
pub(super) const NOT_SENT: &str = "not sent";

/// The same to one that a run has been told before.
pub(super) const ALREADY: &str = "handed off already";

/// A run holds the session: where it stands decides what to do next.
pub(super) fn held(
    interface: Kind,
    session: &str,
    said: &str,
    holder: &LeaseHolder,
    standing: &Standing,
) -> String {
    let LeaseHolder { name, remote, since_unix_nanos, .. } = holder;
    let goes_on = format!("{said}: this session goes on in run {name} on {remote}");
    let back = back(interface, session, name);
    let tell = format!(
        "`handoff say {name} TEXT` tells it something, `handoff watch {name}` follows it\n{back}"
    );
    let lines = match standing {
        Standing::Open => format!("{goes_on} since {}\n{tell}", moment(*since_unix_nanos)),
        Standing::Unknown => format!(
            "{goes_on} since {}, and {remote} does not say right now how it stands\n{tell}",
            moment(*since_unix_nanos)
        ),
        Standing::Waits { what } => format!(
            "{goes_on}, which waits for you: {what}\n\
             `handoff show {name}` tells how to answer\n{back}"
        ),
        Standing::Finished => format!(
            "{goes_on}, which has finished\n{back}\n\
             `handoff say {name} TEXT` gives it another turn there"
        ),
        Standing::Ended { outcome } => format!(
            "{goes_on}, which has ended as {outcome}: `handoff show {name}` tells why\n{back}\n\
             `handoff rm {name}` drops it, and this session goes on here as it is"
        ),
        Standing::Forgotten => {
            return format!(
                "{said}: this session went on in run {name}, which {remote} does not know any more\n\
                 `handoff rm {name}` gives the session back, to go on here as it is"
            );
        }
    };
    let (leave, fork) = (interface.leave_command(), interface.fork_command(session));
    format!("{lines}\ngo on here without it: {leave}, then `{fork}`")
}

/// How code and conversation come back.
fn back(interface: Kind, session: &str, name: &str) -> String {
    let (leave, resume) = (interface.leave_command(), interface.resume_command(session));
    format!("get it back: {leave}, then `handoff pull {name}` and `{resume}`")
}

/// A handoff of the session is under way.
pub(super) fn under_way() -> String {
    "not sent: this session is being handed off right now; look with `handoff ls`".to_owned()
}

/// It takes longer than an agent waits for an answer.
pub(super) fn goes_on(log: &Path) -> String {
    format!(
        "this session is being handed off, which takes a while: look with `handoff ls`\n\
         stay connected until it is shown there, and not as `sending`; if it never is, {} tells why",
        log.display()
    )
}

/// The agent does not say what we need to know.
pub(super) fn unreadable(interface: Kind) -> String {
    let (title, name) = (interface.title(), interface.name());
    format!(
        "not handed off: this {title} tells its hooks about prompts in a way that handoff does not know\n\
         `handoff {name} PROMPT` in a shell hands its newest session off; update handoff, then `handoff install {name}`"
    )
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
pub(super) fn unsent(of: &LeaseHolder, standing: &outbox::Standing) -> String {
    let LeaseHolder { name, remote, .. } = of;
    let (why, when) = match standing {
        outbox::Standing::Sending => ("sending it was cut off".to_owned(), "now"),
        outbox::Standing::Waiting { why } => (why.clone(), "at once, as the notifier does later"),
        outbox::Standing::Stopped { why } => (why.clone(), "now, and nothing else does"),
    };
    format!(
        "handed off, but not sent yet: run {name} is kept here and not on {remote}: {why}\n\
         `handoff resume-upload {name}` sends it {when}\n\
         `handoff rm {name}` drops it, and this session goes on here"
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

    fn holder() -> LeaseHolder {
        LeaseHolder {
            run: "abcdefghij".to_owned(),
            name: "deps".to_owned(),
            remote: "box".to_owned(),
            prompt: String::new(),
            since_unix_nanos: 0,
        }
    }

    #[test]
    fn the_next_step_is_the_right_one_wherever_the_run_stands() {
        let held = |standing: &Standing| held(Kind::Codex, "abc", NOT_SENT, &holder(), standing);
        let ended = Standing::Ended { outcome: "failed".to_owned() };
        let waits = Standing::Waits { what: "which?".to_owned() };
        for (standing, texts, not) in [
            (Standing::Open, &["handoff say deps", "handoff pull deps"][..], "handoff rm"),
            (Standing::Unknown, &["does not say", "handoff pull deps"], "handoff rm"),
            (waits, &["waits for you: which?", "handoff show deps"], "handoff rm"),
            (Standing::Finished, &["has finished", "/quit, then `handoff pull deps`"], "watch"),
            (ended, &["ended as failed", "handoff pull deps", "handoff rm deps"], "watch"),
            (Standing::Forgotten, &["handoff rm deps"], "handoff pull"),
        ] {
            let told = held(&standing);
            assert!(texts.iter().all(|text| told.contains(text)), "{standing:?}: {told}");
            assert!(!told.contains(not), "{standing:?}: {told}");
        }
    }

    #[test]
    fn what_is_not_sent_is_sent_or_dropped() {
        for standing in [
            outbox::Standing::Sending,
            outbox::Standing::Waiting { why: "box is away".to_owned() },
            outbox::Standing::Stopped { why: "interrupted".to_owned() },
        ] {
            let told = unsent(&holder(), &standing);
            assert!(told.contains("resume-upload deps") && told.contains("rm deps"), "{told}");
        }
    }

    #[test]
    fn codex_is_told_nothing_that_it_does_not_know() {
        let block = block(Kind::Codex, "no\x1b[2J");
        assert_eq!(block, json!({ "decision": "block", "reason": "no\\x1b[2J" }));
    }
}

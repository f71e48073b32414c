//! The files that make `handoff` known to an agent. The hook answers before the model sees them; if
//! it does not, they have the model say so.

use std::path::PathBuf;

use crate::agents::Kind;

const CLAUDE: &str = "\
---
description: Hand this session off; it goes on in a sandbox while this machine may be closed
argument-hint: what is to be done
disable-model-invocation: true
---
The hook of handoff did not run, so nothing was handed off.
Tell the user exactly that, and that `handoff install claude` sets the hook up again.
Do nothing else.
";

const CODEX: &str = "\
---
name: handoff
description: Hands this session off; it goes on in a sandbox while this machine may be closed. Only the user asks for it, by typing $handoff and what is to be done.
---
The hook of handoff did not run, so nothing was handed off.
Tell the user exactly that, and that `handoff install codex` sets the hook up again.
Do nothing else.
";

/// The file, in the agent's directory, and what it holds.
pub(super) fn file(interface: Kind) -> (PathBuf, &'static str) {
    match interface {
        Kind::Claude => ("commands/handoff.md".into(), CLAUDE),
        Kind::Codex => ("skills/handoff/SKILL.md".into(), CODEX),
    }
}

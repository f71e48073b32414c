//! Which prompts ask for a handoff.

use crate::agents::Kind;

/// What the run is to be told, if a prompt asks for a handoff; may be empty.
///
/// Claude Code knows `/handoff` as a command of its user. Codex knows skills, which begin with `$`,
/// and passes `/handoff` on only after a space. `& …` is text to both.
pub(super) fn asked(interface: Kind, prompt: &str) -> Option<&str> {
    let prompt = prompt.trim_start();
    let words: &[&str] = match interface {
        Kind::Claude => &["/handoff"],
        Kind::Codex => &["/handoff", "$handoff"],
    };
    let named = words.iter().find_map(|word| {
        let rest = prompt.strip_prefix(word)?;
        (rest.is_empty() || rest.starts_with(char::is_whitespace)).then_some(rest)
    });
    let asked = named
        .or_else(|| prompt.strip_prefix('&').filter(|rest| rest.starts_with(char::is_whitespace)));
    asked.map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(interface: Kind, prompt: &str, expected: Option<&str>) {
        assert_eq!(asked(interface, prompt), expected, "{interface:?} {prompt:?}");
    }

    #[test]
    fn a_handoff_is_asked_for_by_name_or_by_an_ampersand() {
        for interface in [Kind::Claude, Kind::Codex] {
            check(interface, "/handoff fix\nthe tests ", Some("fix\nthe tests"));
            check(interface, "  /handoff x", Some("x"));
            check(interface, "/handoff", Some(""));
            check(interface, "& finish --all", Some("finish --all"));
            check(interface, "& ", Some(""));
        }
        check(Kind::Codex, "$handoff do it", Some("do it"));
    }

    #[test]
    fn whatever_only_looks_like_it_is_an_ordinary_prompt() {
        for prompt in
            ["/handoffs", "/handoff-x y", "handoff", "&", "&x", "&& x", "a & b", "", "x\n& y"]
        {
            check(Kind::Claude, prompt, None);
            check(Kind::Codex, prompt, None);
        }
        check(Kind::Claude, "$handoff x", None);
    }
}

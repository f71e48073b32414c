//! The real Claude Code and the real Codex work in a sandbox for users who have a subscription and
//! no key; a scripted model takes the place of the vendors.

use std::{fs, path::Path, process::Command};

use handoff_tests::{
    agent::{Driven, of_type},
    model::{Account, TOKEN_CANARY, Turn},
    world::said,
};
use serde_json::Value;

/// A token as `claude setup-token` prints it; nothing else of this machine has these bytes.
const CLAUDE_TOKEN: &str = "sk-ant-oat01-c4n4ry-0d3c9e51b8a7f264";

/// After every test.
const LATER: u64 = 4_000_000_000;

/// Before every test.
const LONG_AGO: u64 = 1_000_000_000;

/// What a run finds of a secret in what it can read, its processes included.
fn search(canary: &str) -> String {
    let (front, back) = canary.split_at(4);
    format!(
        "printf '{front}%s\\n' '{back}' >/tmp/pattern; \
         grep -rIlsf /tmp/pattern --exclude=pattern --exclude-dir={{proc,sys,usr,bin,sbin,lib,lib64}} / >found-by-run; \
         cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline 2>/dev/null | grep -caf /tmp/pattern >>found-by-run; \
         env >seen-by-run; true"
    )
}

/// What the run wrote down, once it is pulled.
fn pulled(driven: &Driven, run: &str) -> (String, String) {
    driven.world.handoff(&driven.project, ["pull", run]).ok();
    let read = |name: &str| fs::read_to_string(driven.project.join(name)).expect("read");
    (read("found-by-run"), read("seen-by-run"))
}

fn listed(driven: &Driven) -> String {
    let (home, state) = (driven.world.home(), driven.world.local_daemon());
    let mut list = Command::new(driven.world.bin().join("handoffd"));
    list.args(["credential", "ls"]).env_clear().env("HOME", home).env("HANDOFFD_STATE", state);
    said(&mut list).ok()
}

#[test]
fn claude_works_with_a_subscription_token_that_it_never_sees() {
    let search = search(&CLAUDE_TOKEN[13..]);
    let driven = Driven::without_credential(vec![Turn::bash(&search), Turn::text("Done.")]);
    driven.keep("anthropic", CLAUDE_TOKEN);
    assert_eq!(listed(&driven), "anthropic\thandoffd\tprovider anthropic\tsubscription\n");
    let run = ["--dangerously-skip-permissions", "go"];
    driven.claude("work", &run);
    let run = driven.finished("work");
    assert_eq!(run["outcome"], "succeeded", "{run:#}");
    assert_eq!(of_type(&driven.events("work"), "denied").len(), 0);

    for asked in driven.model.asked() {
        assert_eq!(asked.headers["authorization"], format!("Bearer {CLAUDE_TOKEN}"));
        assert!(!asked.headers.contains_key("x-api-key"), "{asked:#?}");
        let betas = asked.headers.get_all("anthropic-beta").iter();
        let betas: Vec<&str> = betas.filter_map(|value| value.to_str().ok()).collect();
        // Claude Code says it among others: that it has a subscription is what it believes, too.
        assert_eq!(betas.len(), 1, "{betas:?}");
        assert!(betas[0].split(',').any(|beta| beta == "oauth-2025-04-20"), "{betas:?}");
    }
    let (found, seen) = pulled(&driven, "work");
    assert_eq!(found, "0\n");
    for hidden in ["ANTHROPIC_API_KEY=", "ANTHROPIC_AUTH_TOKEN="] {
        assert!(!seen.contains(hidden), "{hidden} in {seen}");
    }
    let kept = driven.holding(&CLAUDE_TOKEN[13..]);
    assert!(kept.len() == 1 && kept[0].ends_with("credentials/anthropic"), "{kept:?}");
}

/// A user who is signed in until then, and one turn of Codex for the script's first answer.
fn signed_in(ends_at: u64, account: Account, script: Vec<Turn>) -> (Driven, Value) {
    let driven = Driven::without_credential(script);
    driven.keep("openai", &Account::auth_json(ends_at));
    assert_eq!(listed(&driven), "openai\thandoffd\tprovider openai\tsign-in\n");
    driven.model.require(account);
    driven.codex("work", &["-m", "gpt-5.5", "go"]);
    let run = driven.finished("work");
    (driven, run)
}

/// The one file with tokens holds those that were handed out last.
fn holds_the_newest(driven: &Driven) {
    let kept = driven.holding(TOKEN_CANARY);
    assert!(kept.len() == 1 && kept[0].ends_with("credentials/openai"), "{kept:?}");
    let text = fs::read_to_string(Path::new(&kept[0])).expect("read");
    let newest = driven.model.account().renewals;
    for what in ["access", "refresh"] {
        assert!(text.contains(&format!("{TOKEN_CANARY}-{what}-{newest}")), "{text}");
    }
}

#[test]
fn codex_works_with_a_sign_in_that_is_renewed_and_that_it_never_sees() {
    let script = vec![Turn::exec(&search(TOKEN_CANARY)), Turn::text("Done.")];
    let (driven, run) = signed_in(LONG_AGO, Account::default(), script);
    assert_eq!(run["outcome"], "succeeded", "{run:#}");
    assert_eq!(driven.model.account().renewals, 1);
    let turns = driven.model.turns();
    assert_eq!(turns.len(), 2, "{turns:#?}");
    for turn in &turns {
        assert_eq!(turn.path, "/responses");
        assert_eq!(turn.body["store"], false);
    }
    // Nobody called with the token that was over, and nothing had to be tried again.
    let refused = driven.model.asked().len() - turns.len();
    assert_eq!(refused, 1, "{:#?}", driven.model.asked());
    let events = driven.events("work");
    assert_eq!(of_type(&events, "agent_retrying").len() + of_type(&events, "denied").len(), 0);
    let (found, seen) = pulled(&driven, "work");
    assert_eq!(found, "0\n");
    assert!(!seen.contains("OPENAI_"), "{seen}");
    holds_the_newest(&driven);
}

#[test]
fn a_token_that_is_refused_before_its_end_is_renewed_and_the_turn_goes_on() {
    let account = Account { is_first_refused: true, ..Account::default() };
    let (driven, run) = signed_in(LATER, account, vec![Turn::text("Done.")]);
    assert_eq!(run["outcome"], "succeeded", "{run:#}");
    assert_eq!(driven.model.account().renewals, 1);
    assert_eq!(driven.model.turns().len(), 1);
    holds_the_newest(&driven);
    // What is valid is not renewed.
    let words = ["-n", "again", "--fork", "codex", "-m", "gpt-5.5", "go on"];
    driven.world.hand_off(&driven.project, words);
    assert_eq!(driven.finished("again")["outcome"], "succeeded");
    assert_eq!(driven.model.account().renewals, 1);
}

#[test]
fn a_sign_in_that_cannot_be_renewed_fails_the_run_with_what_to_do() {
    let account = Account { is_revoked: true, ..Account::default() };
    let (driven, run) = signed_in(LONG_AGO, account, vec![Turn::text("Done.")]);
    assert_eq!(run["outcome"], "failed", "{run:#}");
    let detail = run["outcome_detail"].as_str().expect("a detail");
    for text in ["it was revoked", "`codex login`", "`handoffd credential add openai`"] {
        assert!(detail.contains(text), "no {text:?} in {detail}");
    }
    assert_eq!(driven.model.turns().len(), 0);
    assert_eq!(driven.model.asked().len(), 1, "it was asked again: {:#?}", driven.model.asked());
    // Signing in again helps at once.
    driven.model.require(Account::default());
    driven.keep("openai", &Account::auth_json(LATER));
    driven.world.handoff(&driven.project, ["say", "work", "go on"]).ok();
    let run = driven.finished("work");
    assert_eq!(run["outcome"], "succeeded", "{run:#}");
}

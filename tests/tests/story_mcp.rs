//! The real agents use an MCP server whose secret is the daemon's and is in no run.

use std::fs;

use handoff_tests::{
    agent::{Driven, holds},
    mcp::{Mcp, TOOL_SAYS},
    model::Turn,
};
use serde_json::json;

/// The daemon's secret and the user's own; nothing else of this machine has these bytes.
const SECRET: &str = "c4n4ry-of-the-daemon-6b0f1c2d9e8a7351";
const OWN_SECRET: &str = "c4n4ry-of-the-laptop-94d2e7a0b1c3f586";

/// A user with a server that the operator knows, and one that only looks like it.
fn user(mcp: &Mcp, script: Vec<Turn>) -> Driven {
    let settings = format!("[mcp.team]\nurl = {:?}\ncredential = \"tickets\"\n", mcp.url("/mcp"));
    let driven = Driven::with_settings(script, &settings);
    driven.keep("tickets", SECRET);
    driven
}

/// Everybody came with the daemon's secret to the one path, and somebody called the tool.
fn was_used(mcp: &Mcp) {
    let asked = mcp.asked();
    assert!(asked.iter().all(|call| call.is_authorised && call.path == "/mcp"), "{asked:#?}");
    assert!(asked.iter().any(|call| call.method == "tools/call"), "{asked:#?}");
}

#[test]
fn claude_calls_a_tool_behind_a_secret_that_it_never_sees() {
    let mcp = Mcp::serve(SECRET);
    let driven = user(
        &mcp,
        vec![
            Turn::tool("mcp__tickets__lookup", json!({})),
            Turn::bash("cat $CLAUDE_CONFIG_DIR/.claude.json >seen-by-run"),
            Turn::text("Done."),
        ],
    );
    driven.keep_credential();
    let headers = json!({ "Authorization": format!("Bearer {OWN_SECRET}") });
    let server = |path: &str| json!({ "type": "http", "url": mcp.url(path), "headers": headers });
    let own = json!({ "mcpServers": { "tickets": server("/mcp"), "other": server("/mcp-other") } });
    let own_file = driven.world.home().join(".claude.json");
    driven.world.write(&own_file, own.to_string());

    let plan = driven.world.handoff(&driven.project, ["plan", "claude", "go"]).ok();
    let url = mcp.url("/mcp-other");
    let what_to_do =
        format!("`[mcp.other] url = {url:?}, credential = \"mcp-other\"` in handoffd.toml");
    assert!(plan.contains("without MCP server other: ") && plan.contains(&what_to_do), "{plan}");
    assert!(!plan.contains("MCP server tickets"), "{plan}");

    let words = ["-n", "work", "claude", "--dangerously-skip-permissions", "go"];
    let handed_off = driven.world.handoff(&driven.project, words);
    let told = handed_off.stderr.clone();
    assert!(told.contains("MCP server other stays here: "), "{told}");
    assert!(!told.contains("MCP server tickets"), "{told}");
    drop(handed_off.ok());
    let run = driven.finished("work");
    assert_eq!(run["outcome"], "succeeded", "{run:#}");
    was_used(&mcp);
    holds(&driven.told_last(), &[TOOL_SAYS]);

    driven.world.handoff(&driven.project, ["pull", "work"]).ok();
    let seen = fs::read_to_string(driven.project.join("seen-by-run")).expect("read");
    assert!(seen.contains("http://127.1.0.1:3129/mcp/team"), "{seen}");
    for hidden in ["HANDOFF_CREDENTIAL", "Authorization", "other"] {
        assert!(!seen.contains(hidden), "{hidden} in {seen}");
    }
    // The user's own definitions are as they were.
    assert_eq!(fs::read_to_string(&own_file).expect("read"), own.to_string());
    let kept = driven.holding(SECRET);
    assert!(kept.len() == 1 && kept[0].ends_with("credentials/tickets"), "{kept:?}");
    let kept = driven.holding(OWN_SECRET);
    assert_eq!(kept, [own_file.display().to_string()]);
}

#[test]
fn codex_calls_it_too() {
    let mcp = Mcp::serve(SECRET);
    let driven =
        user(&mcp, vec![Turn::tool("mcp__tickets.lookup", json!({})), Turn::text("Done.")]);
    driven.keep_credential_for("openai");
    let settings = format!(
        "[mcp_servers.tickets]\nurl = {:?}\nhttp_headers = {{ Authorization = \"Bearer {OWN_SECRET}\" }}\n",
        mcp.url("/mcp")
    );
    driven.world.write(&driven.world.directory(".codex").join("config.toml"), settings);
    driven.codex("work", &["-m", "gpt-5.5", "-a", "never", "go"]);
    let run = driven.finished("work");
    assert_eq!(run["outcome"], "succeeded", "{run:#}");
    was_used(&mcp);
    let kept = driven.holding(SECRET);
    assert!(kept.len() == 1 && kept[0].ends_with("credentials/tickets"), "{kept:?}");
}

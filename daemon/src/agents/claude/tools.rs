//! What Claude Code's tools are for, and what they are used on.

use handoff_proto::wire::{PlanItem, ToolKind};
use serde_json::Value;

use crate::agents::cut::{LINE_CHARS_MAX, beginning};

/// What a tool is for. Those of MCP servers are called `mcp__SERVER__TOOL`.
pub(super) fn kind(tool: &str) -> ToolKind {
    match tool {
        "Bash" | "BashOutput" | "KillShell" | "Monitor" => ToolKind::Run,
        "Read" | "NotebookRead" => ToolKind::Read,
        "Write" | "Edit" | "MultiEdit" | "NotebookEdit" => ToolKind::Edit,
        "Glob" | "Grep" | "LS" | "ToolSearch" => ToolKind::Search,
        "WebFetch" | "WebSearch" => ToolKind::Fetch,
        "Task" | "Agent" => ToolKind::Subagent,
        "TodoWrite" | "TaskCreate" | "TaskUpdate" | "TaskList" | "TaskGet" => ToolKind::Plan,
        "AskUserQuestion" | "ExitPlanMode" => ToolKind::Ask,
        _ => ToolKind::Other,
    }
}

/// The fields that say best what a tool is used on, the best first.
const TELLING: [&str; 12] = [
    "command",
    "file_path",
    "notebook_path",
    "path",
    "pattern",
    "url",
    "query",
    "subject",
    "description",
    "prompt",
    "plan",
    "skill",
];

/// What a tool is used on, on one line.
pub(super) fn target(tool: &str, input: &Value) -> String {
    if tool == "AskUserQuestion" {
        return one_line(input["questions"][0]["question"].as_str().unwrap_or_default());
    }
    let told = TELLING.iter().find_map(|field| input[*field].as_str());
    let others = || input.as_object()?.values().find_map(Value::as_str);
    one_line(told.or_else(others).unwrap_or_default())
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// An item of the list as `TodoWrite` has it.
pub(super) fn todo(todo: &Value) -> PlanItem {
    let text = |field: &str| beginning(todo[field].as_str().unwrap_or_default(), LINE_CHARS_MAX);
    PlanItem { text: text("content"), state: text("status") }
}

/// The number of an item that `TaskCreate` has made, by what it says then: `Task #3 created …`.
pub(super) fn task_number(result: &str) -> Option<u64> {
    let digits = result.strip_prefix("Task #")?;
    digits[..digits.find(|c: char| !c.is_ascii_digit())?].parse().ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_tool_is_used_on_is_one_line() {
        for (tool, input, told) in [
            ("Bash", json!({ "description": "tests", "command": "cargo\n  test" }), "cargo test"),
            ("Edit", json!({ "old_string": "a", "file_path": "/a/b" }), "/a/b"),
            ("mcp__x__y", json!({ "n": 3, "who": "ada" }), "ada"),
            ("AskUserQuestion", json!({ "questions": [{ "question": "Which?" }] }), "Which?"),
            ("Bash", json!(null), ""),
        ] {
            assert_eq!(target(tool, &input), told, "{tool}");
        }
    }

    #[test]
    fn the_number_of_an_item_is_found() {
        assert_eq!(task_number("Task #12 created successfully: First"), Some(12));
        for text in ["", "Task #", "Task #x", "Task 3 created"] {
            assert_eq!(task_number(text), None, "{text}");
        }
    }
}

//! How Claude Code is started.

use crate::agents::Beginning;

/// Streams in and out, every permission that is not given by its mode asked for through them, and
/// the user's messages told when they are taken up.
const STREAMS: [&str; 9] = [
    "--print",
    "--verbose",
    "--input-format",
    "stream-json",
    "--output-format",
    "stream-json",
    "--replay-user-messages",
    "--permission-prompt-tool",
    "stdio",
];

/// The program's arguments.
pub(crate) fn arguments(begin: &Beginning<'_>) -> Vec<String> {
    let (terms, account) = (begin.terms, begin.account);
    let mut arguments: Vec<String> = STREAMS.map(str::to_owned).to_vec();
    let mut set = |flag: &str, value: &str| {
        if !value.is_empty() {
            arguments.extend([flag.to_owned(), value.to_owned()]);
        }
    };
    // Its own word counts: what was chosen in the course of the run stays.
    let ready = account.ready.as_ref();
    let model = ready.map_or(&terms.model, |ready| &ready.model);
    let permissions = ready.map_or(&terms.permissions, |ready| &ready.permissions);
    set("--model", model);
    set("--permission-mode", permissions);
    let goes_on = account.has_begun || !terms.is_new;
    set(if goes_on { "--resume" } else { "--session-id" }, &account.session_id);
    arguments
}

/// Variables that it needs: its directory, nothing but the model's API asked for, its state told,
/// the todo list offered with every model, files kept as they were before edits, so that its user
/// can go back to them, and nothing left to run that would outlive a turn.
pub(crate) fn variables(directory: &str) -> Vec<(String, String)> {
    [
        ("CLAUDE_CONFIG_DIR", directory),
        ("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1"),
        ("CLAUDE_CODE_DISABLE_BACKGROUND_TASKS", "1"),
        ("CLAUDE_CODE_EMIT_SESSION_STATE_EVENTS", "1"),
        ("CLAUDE_CODE_ENABLE_SDK_FILE_CHECKPOINTING", "1"),
        ("CLAUDE_CODE_ENABLE_TODO_TOOLS", "1"),
        ("DISABLE_AUTOUPDATER", "1"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec()
}

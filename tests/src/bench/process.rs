//! Other programs: an environment made from nothing, and an error that has their own words.

use std::{
    path::Path,
    process::{Command, Output, Stdio},
};

use anyhow::{Context as _, Result, bail};

/// A program with nothing of the user's environment but where programs are.
pub(super) fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    command
        .env_clear()
        .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        .env("LANG", "C.UTF-8")
        .stdin(Stdio::null());
    command
}

/// git in a directory, without anybody's settings.
pub(super) fn git(directory: &Path) -> Command {
    let mut git = command("git");
    git.args(["-c", "user.name=Bench", "-c", "user.email=bench@example.com"])
        .args(["-c", "init.defaultBranch=main", "-c", "gc.auto=0", "-c", "maintenance.auto=false"])
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("HOME", "/nonexistent")
        .current_dir(directory);
    git
}

/// The words of a program with these arguments after a prefix such as `nsenter --net=…`.
pub(super) fn prefixed(prefix: &[String], program: &str) -> Command {
    let Some((first, rest)) = prefix.split_first() else { return command(program) };
    let mut prefixed = command(first);
    prefixed.args(rest).arg(program);
    prefixed
}

/// Runs a program that must succeed; returns its standard output.
pub(super) fn ok(command: &mut Command) -> Result<String> {
    let output = output(command)?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    bail!(failure(command, &output))
}

/// Runs a program to its end.
pub(super) fn output(command: &mut Command) -> Result<Output> {
    command.output().with_context(|| format!("cannot start {command:?}"))
}

/// What a program that failed said.
pub(super) fn failure(command: &Command, output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr);
    format!("{command:?} failed ({}): {}", output.status, said.trim())
}

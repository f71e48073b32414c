//! Wall time, processor time and peak memory of a program.

use std::{
    fmt, fs,
    io::Write as _,
    path::Path,
    process::Command,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result};

use super::process;

/// Says how it goes, on standard error.
pub(super) fn say(what: fmt::Arguments<'_>) {
    // Nobody listens: the measurement goes on all the same.
    drop(writeln!(std::io::stderr(), "{what}"));
}

/// Seconds from a program's start to its end; it must succeed.
pub(super) fn seconds(command: &mut Command) -> Result<f64> {
    let start = Instant::now();
    process::ok(command)?;
    Ok(start.elapsed().as_secs_f64())
}

/// Seconds since 1970, to compare with what another process has read from the same clock.
pub(super) fn now() -> Result<f64> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64())
}

/// Put before a program, writes its user and system seconds to a file, children included.
///
/// bash, because its `time` resolves milliseconds where time(1) has hundredths of a second.
pub(super) fn cpu_prefix(report: &Path) -> Vec<String> {
    let script = r#"TIMEFORMAT="%3U %3S"; { time "$@" 2>&3; } 3>&2 2>"$0""#;
    let words = ["bash", "-c", script];
    words.map(str::to_owned).into_iter().chain([report.display().to_string()]).collect()
}

/// User and system seconds together, as written by [`cpu_prefix`].
pub(super) fn cpu_seconds(report: &Path) -> Result<f64> {
    let text = fs::read_to_string(report).context("read the processor time")?;
    let times: Result<Vec<f64>, _> = text.split_whitespace().map(str::parse).collect();
    Ok(times.with_context(|| format!("no processor time: {text:?}"))?.iter().sum())
}

/// Put before a program, writes its peak memory to a file.
///
/// time(1), because a child's peak starts with what its parent had when it was made, and time(1)
/// has next to nothing.
pub(super) fn memory_prefix(report: &Path) -> Vec<String> {
    let report = report.display().to_string();
    ["time", "-q", "-f", "%M", "-o", &report].map(str::to_owned).to_vec()
}

/// The bytes of memory that were in use at most, as written by [`memory_prefix`].
pub(super) fn memory_bytes(report: &Path) -> Result<u64> {
    let text = fs::read_to_string(report).context("read the peak memory")?;
    let kibibytes: u64 = text.trim().parse().with_context(|| format!("no size: {text:?}"))?;
    Ok(kibibytes * 1024)
}

/// The bytes of memory that a process which still lives had in use at most.
pub(super) fn peak_of(pid: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).context("read the status")?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak = peak.and_then(|text| text.trim().strip_suffix(" kB")).context("no VmHWM")?;
    Ok(peak.trim().parse::<u64>()? * 1024)
}

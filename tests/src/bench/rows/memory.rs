//! The most memory that client and daemon have in use while (d) is handed off for the first time.

use anyhow::Result;

use super::super::{
    Bench, measure,
    ours::{Between, Ours},
    sample::Sample,
    scale::REPETITIONS,
    table::{Line, Target},
    trees::Tree,
};

const AT_MOST_BYTES: f64 = (256 << 20) as f64;

pub(super) fn measure(bench: &Bench) -> Result<Vec<Line>> {
    let path = bench.tree(Tree::Data)?;
    let directory = bench.scratch("memory-")?;
    let report = directory.path().join("peak");
    let (mut client, mut daemon) = (Sample::bytes(), Sample::bytes());
    for _ in 0..REPETITIONS {
        let handoff = Ours::start(bench, Between::Nothing)?;
        let before = measure::memory_prefix(&report);
        let handed = handoff.hand_off_with(&before, &path, &["true"])?;
        client.push_bytes(measure::memory_bytes(&report)?);
        // The run's own part, workspace and harvest, is the daemon's work as well.
        handoff.finish(&path, &handed.run)?;
        daemon.push_bytes(measure::peak_of(handoff.daemon())?);
    }
    let line = |who, sample| {
        let target = Target::Bytes { at_most: AT_MOST_BYTES };
        Line::new(format!("peak memory of the {who} (d)"), sample, target)
    };
    Ok(vec![line("client", client), line("daemon", daemon)])
}

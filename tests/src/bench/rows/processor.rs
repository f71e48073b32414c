//! What the client computes for the next handoff of (c), against what `git status` does there.

use anyhow::Result;

use super::super::{
    Bench, measure,
    ours::{Between, Ours},
    process,
    sample::Sample,
    scale::REPETITIONS,
    table::{Line, Target},
    trees::{Tree, edit},
};

pub(super) fn measure(bench: &Bench) -> Result<Vec<Line>> {
    let (guard, path) = bench.copy(Tree::Files)?;
    let handoff = Ours::start(bench, Between::Nothing)?;
    handoff.until_it_runs(&path)?;
    let report = guard.path().join("times");
    let before = measure::cpu_prefix(&report);
    let mut ours = Sample::seconds();
    let mut status = Sample::seconds();
    for repetition in 0..REPETITIONS {
        edit(&path, repetition)?;
        bench.settle()?;
        let handed = handoff.hand_off_with(&before, &path, &["true"])?;
        ours.push(measure::cpu_seconds(&report)?);
        handoff.finish(&path, &handed.run)?;
        // Without its lock it leaves the index as it is, so that each repetition has equal work.
        let mut git = process::prefixed(&before, "git");
        process::ok(git.args(["--no-optional-locks", "status"]).current_dir(&path))?;
        status.push(measure::cpu_seconds(&report)?);
    }
    let target = Target::Times { at_most: 2.0, rival: "git status", sample: status };
    Ok(vec![Line::new("10 files changed, client's processor time (c)", ours, target)])
}

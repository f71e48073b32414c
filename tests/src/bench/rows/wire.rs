//! Bytes on the wire, both ways, TLS included, for the next handoff of (c): after ten edits, and
//! again after they were staged.

use anyhow::Result;

use super::super::{
    Bench,
    ours::{Between, Ours},
    process,
    sample::Sample,
    scale::REPETITIONS,
    table::{Line, Target},
    trees::{EDITED, Tree, compressed_bytes, edit},
};

const OVERHEAD_BYTES: u64 = 64 << 10;

/// Staging changes the index, of which every entry's position may move.
const STAGED_BYTES: u64 = 512 << 10;

pub(super) fn measure(bench: &Bench) -> Result<Vec<Line>> {
    let (_guard, path) = bench.copy(Tree::Files)?;
    let handoff = Ours::start(bench, Between::Wire)?;
    handoff.until_it_runs(&path)?;
    let (mut unstaged, mut unstaged_allowance) = (Sample::bytes(), Sample::bytes());
    let (mut staged, mut staged_allowance) = (Sample::bytes(), Sample::bytes());
    for repetition in 0..REPETITIONS {
        let allowance = compressed_bytes(&edit(&path, repetition)?)? + OVERHEAD_BYTES;
        unstaged.push_bytes(sent(&handoff, &path)?);
        unstaged_allowance.push_bytes(allowance);
        process::ok(process::git(&path).args(["add", "--update"]))?;
        staged.push_bytes(sent(&handoff, &path)?);
        staged_allowance.push_bytes(allowance + STAGED_BYTES);
    }
    let line = |what: &str, ours, sample| {
        let target = Target::Times { at_most: 1.0, rival: "compressed edits and overhead", sample };
        Line::new(format!("{EDITED} files changed, bytes on the wire{what} (c)"), ours, target)
    };
    Ok(vec![
        line("", unstaged, unstaged_allowance),
        line(" after `git add`", staged, staged_allowance),
    ])
}

fn sent(handoff: &Ours, path: &std::path::Path) -> Result<u64> {
    let before = handoff.wire()?.both_ways();
    let handed = handoff.hand_off(path, &["true"])?;
    let after = handoff.wire()?.both_ways();
    handoff.finish(path, &handed.run)?;
    Ok(after - before)
}

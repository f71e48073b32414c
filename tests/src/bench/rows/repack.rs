//! The next handoff of (b) after a commit and `git repack -ad`, which replaces its one pack.

use anyhow::Result;

use super::super::{
    Bench,
    ours::{Between, Ours},
    process,
    sample::Sample,
    scale::REPETITIONS,
    table::{Line, Target},
    trees::{Tree, edit},
};

const AT_MOST_BYTES: f64 = (2 << 20) as f64;

pub(super) fn measure(bench: &Bench) -> Result<Vec<Line>> {
    let (_guard, path) = bench.copy(Tree::Pack)?;
    let handoff = Ours::start(bench, Between::Wire)?;
    handoff.until_it_runs(&path)?;
    let (mut bytes, mut seconds) = (Sample::bytes(), Sample::seconds());
    for repetition in 0..REPETITIONS {
        edit(&path, repetition)?;
        process::ok(process::git(&path).args(["commit", "-q", "-a", "-m", "edits"]))?;
        process::ok(process::git(&path).args(["repack", "-q", "-a", "-d"]))?;
        bench.settle()?;
        let before = handoff.wire()?.both_ways();
        let handed = handoff.hand_off(&path, &["true"])?;
        bytes.push_bytes(handoff.wire()?.both_ways() - before);
        seconds.push(handed.seconds);
        handoff.finish(&path, &handed.run)?;
    }
    let target = Target::Bytes { at_most: AT_MOST_BYTES };
    let line = Line::new("after `git repack -ad`, bytes on the wire (b)", bytes, target);
    Ok(vec![line.beside("until the receipt", seconds)])
}

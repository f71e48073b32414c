//! The first upload of (b), cut at ten seeded points: what the daemon received in all, against one
//! upload that nobody cut.

use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};

use super::super::{
    Bench, measure,
    ours::{Between, Ours},
    process,
    sample::Sample,
    table::{Line, Target},
    trees::{Tree, seeded_points},
};

const CUTS: usize = 10;

/// How often the upload is taken up again by a new process before it counts as stuck.
const ATTEMPTS: usize = 2 * CUTS;

pub(super) fn measure(bench: &Bench) -> Result<Vec<Line>> {
    let path = bench.tree(Tree::Pack)?;
    let (whole, expected) = {
        let handoff = Ours::start(bench, Between::Wire)?;
        let before = handoff.wire()?.passed();
        let handed = handoff.hand_off(&path, &["true"])?;
        let whole = handoff.wire()?.passed() - before;
        handoff.finish(&path, &handed.run)?;
        (whole, snapshot(&handoff, &path, &handed.run)?)
    };
    let handoff = Ours::start(bench, Between::Wire)?;
    let before = handoff.wire()?.passed();
    let mut last = 0;
    let gaps: Vec<u64> = seeded_points(CUTS, whole)
        .map(|point| point - std::mem::replace(&mut last, point))
        .collect();
    handoff.wire()?.cut_after_each(&gaps);
    let attempts = upload(&handoff, &path)?;
    let received = handoff.wire()?.passed() - before;
    let cuts_left = handoff.wire()?.events_left();
    measure::say(format_args!("{attempts} attempts"));

    let (mut ours, mut one) = (Sample::bytes(), Sample::bytes());
    ours.push_bytes(received);
    one.push_bytes(whole);
    let target = Target::Times { at_most: 1.10, rival: "one upload", sample: one };
    let what = format!("upload cut {CUTS} times, bytes that the daemon received (b)");
    let mut line = Line::new(what, ours, target);
    if cuts_left > 0 {
        line.broken.push(format!("{cuts_left} cuts did not happen"));
    }
    let runs = handoff.runs(&path)?;
    if runs != 1 {
        line.broken.push(format!("{runs} runs"));
    } else if newest_snapshot(&handoff, &path)? != expected {
        line.broken.push("another snapshot".to_owned());
    }
    Ok(vec![line])
}

/// Hands off, and goes on with the upload from new processes until it is done.
fn upload(handoff: &Ours, path: &Path) -> Result<usize> {
    let mut client = handoff.client(&[], path, &["--", "true"]);
    for attempt in 1..=ATTEMPTS {
        let output = process::output(&mut client)?;
        if output.status.success() {
            handoff.finish_newest(path)?;
            return Ok(attempt);
        }
        let said = process::failure(&client, &output);
        // A usage error does not go away by itself.
        ensure!(output.status.code() != Some(2), said);
        measure::say(format_args!("{said}"));
        client = handoff.client(&[], path, &["resume-upload"]);
    }
    bail!("the upload did not end in {ATTEMPTS} attempts")
}

fn snapshot(handoff: &Ours, path: &Path, run: &str) -> Result<String> {
    let shown = handoff.show(path, run)?;
    Ok(shown["snapshot"].as_str().context("a run without a snapshot")?.to_owned())
}

fn newest_snapshot(handoff: &Ours, path: &Path) -> Result<String> {
    let text = process::ok(&mut handoff.client(&[], path, &["show", "--json"]))?;
    let shown: serde_json::Value = serde_json::from_str(&text).context("read the run")?;
    Ok(shown["snapshot"].as_str().context("a run without a snapshot")?.to_owned())
}

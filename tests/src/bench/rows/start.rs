//! From a run's `queued` event to its `started` event, on a large tree and on a small one that the
//! daemon both knows.

use std::path::Path;

use anyhow::{Context as _, Result};
use jiff::Timestamp;
use serde_json::Value;

use super::super::{
    Bench,
    ours::{Between, Ours},
    process,
    sample::Sample,
    scale::REPETITIONS,
    table::{Line, Target},
    trees::Tree,
};

pub(super) fn measure(bench: &Bench) -> Result<Vec<Line>> {
    let (large, small) = (bench.tree(Tree::Files)?, bench.tree(Tree::Few)?);
    let handoff = Ours::start(bench, Between::Nothing)?;
    seconds(&handoff, &large)?;
    seconds(&handoff, &small)?;
    let (mut on_large, mut on_small) = (Sample::seconds(), Sample::seconds());
    for _ in 0..REPETITIONS {
        bench.settle()?;
        on_large.push(seconds(&handoff, &large)?);
        bench.settle()?;
        on_small.push(seconds(&handoff, &small)?);
    }
    let target = Target::Times { at_most: 1.2, rival: "100 files", sample: on_small };
    Ok(vec![Line::new("start of the command, known tree of 100,000 files (c)", on_large, target)])
}

fn seconds(handoff: &Ours, path: &Path) -> Result<f64> {
    let handed = handoff.hand_off(path, &["true"])?;
    let mut watch = handoff.client(&[], path, &["watch", "--json", &handed.run]);
    let text = process::ok(&mut watch)?;
    let events: Vec<Value> = text.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let at = |kind: &str| -> Result<Timestamp> {
        let event = events.iter().find(|event| event["type"] == kind);
        let at = event.and_then(|event| event["at"].as_str());
        Ok(at.with_context(|| format!("no {kind:?} event of run {}", handed.run))?.parse()?)
    };
    Ok(at("started")?.duration_since(at("queued")?).as_secs_f64())
}

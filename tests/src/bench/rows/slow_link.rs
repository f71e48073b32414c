//! A tree that the other side has never seen, over 20 Mbit/s: time until the receipt, and bytes on
//! the interface both ways, ssh's and TLS's own included.

use std::path::Path;

use anyhow::Result;

use super::super::{
    Bench,
    link::Link,
    ours::{Between, Ours},
    sample::Sample,
    scale::SLOW_REPETITIONS,
    ssh::Ssh,
    table::{Line, Target},
    trees::Tree,
};

/// Seconds, then bytes.
type Cost = (f64, u64);

pub(super) fn measure(bench: &Bench, tree: Tree, at_most: f64) -> Result<Vec<Line>> {
    let path = bench.tree(tree)?;
    let link = Link::new()?;
    let ssh = Ssh::start(bench, &link.ends())?;
    let (mut our_seconds, mut our_bytes) = (Sample::seconds(), Sample::bytes());
    let (mut rsync_seconds, mut rsync_bytes) = (Sample::seconds(), Sample::bytes());
    for _ in 0..SLOW_REPETITIONS {
        let (seconds, bytes) = handoff(bench, &link, &path)?;
        our_seconds.push(seconds);
        our_bytes.push_bytes(bytes);
        let (seconds, bytes) = rsynced(bench, &link, &ssh, &path)?;
        rsync_seconds.push(seconds);
        rsync_bytes.push_bytes(bytes);
    }
    let line = |what: &str, ours, sample| {
        let target = Target::Times { at_most, rival: "rsync -z", sample };
        Line::new(format!("cold, 20 Mbit/s, {what} ({})", tree.name()), ours, target)
    };
    Ok(vec![line("time", our_seconds, rsync_seconds), line("bytes", our_bytes, rsync_bytes)])
}

fn handoff(bench: &Bench, link: &Link, path: &Path) -> Result<Cost> {
    let ours = Ours::at(bench, &link.ends(), Between::Nothing)?;
    bench.settle()?;
    let before = link.passed()?;
    let handed = ours.hand_off(path, &["true"])?;
    let after = link.passed()?;
    ours.finish(path, &handed.run)?;
    Ok((handed.seconds, after - before))
}

fn rsynced(bench: &Bench, link: &Link, ssh: &Ssh, path: &Path) -> Result<Cost> {
    let to = bench.scratch("rsync-")?;
    bench.settle()?;
    let before = link.passed()?;
    let seconds = ssh.rsync("-az", path, to.path())?;
    Ok((seconds, link.passed()? - before))
}

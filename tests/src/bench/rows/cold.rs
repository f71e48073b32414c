//! A tree that the other side has never seen, over loopback, until the receipt.

use std::path::Path;

use anyhow::Result;

use super::super::{
    Bench,
    ends::Ends,
    measure,
    ours::{Between, Ours},
    process,
    sample::Sample,
    scale::REPETITIONS,
    ssh::Ssh,
    table::{Line, Target},
    trees::Tree,
};

pub(super) fn measure(bench: &Bench, tree: Tree) -> Result<Vec<Line>> {
    let path = bench.tree(tree)?;
    let ssh = Ssh::start(bench, &Ends::loopback())?;
    let mut ours = Sample::seconds();
    let mut rsync = Sample::seconds();
    let mut push = Sample::seconds();
    let mut floor = Sample::seconds();
    for _ in 0..REPETITIONS {
        ours.push(handoff(bench, &path)?);
        rsync.push(rsynced(bench, &ssh, &path)?);
        if tree.is_committed() {
            push.push(pushed(bench, &ssh, &path)?);
        }
        floor.push(packed(bench, &path)?);
    }
    let target = Target::Times { at_most: 0.6, rival: "rsync", sample: rsync };
    let mut line = Line::new(format!("cold, until the receipt ({})", tree.name()), ours, target);
    if tree.is_committed() {
        line = line.beside("git push", push);
    }
    Ok(vec![line.beside("tar, zstd -1", floor)])
}

/// A daemon and a client without any state each time.
fn handoff(bench: &Bench, path: &Path) -> Result<f64> {
    let ours = Ours::start(bench, Between::Nothing)?;
    bench.settle()?;
    let handed = ours.hand_off(path, &["true"])?;
    ours.finish(path, &handed.run)?;
    Ok(handed.seconds)
}

fn rsynced(bench: &Bench, ssh: &Ssh, path: &Path) -> Result<f64> {
    let to = bench.scratch("rsync-")?;
    bench.settle()?;
    ssh.rsync("-a", path, to.path())
}

fn pushed(bench: &Bench, ssh: &Ssh, path: &Path) -> Result<f64> {
    let to = bench.scratch("bare-")?;
    process::ok(process::git(to.path()).args(["init", "-q", "--bare"]))?;
    bench.settle()?;
    ssh.push(path, "HEAD:refs/heads/pushed", to.path())
}

fn packed(bench: &Bench, path: &Path) -> Result<f64> {
    bench.settle()?;
    let mut shell = process::command("bash");
    shell.args(["-c", "set -o pipefail; tar -c . | zstd -1 -T0 -q >/dev/null"]);
    measure::seconds(shell.current_dir(path))
}

//! The next handoff of a tree that the other side knows, after ten files changed, until the command
//! runs: by the command's own clock.

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
    trees::{Tree, edit},
};

pub(super) fn measure(bench: &Bench, tree: Tree) -> Result<Vec<Line>> {
    let (_guard, path) = bench.copy(tree)?;
    let handoff = Ours::start(bench, Between::Nothing)?;
    let ssh = Ssh::start(bench, &Ends::loopback())?;
    let (copy, bare) = (bench.scratch("rsync-")?, bench.scratch("bare-")?);
    process::ok(process::git(bare.path()).args(["init", "-q", "--bare"]))?;
    handoff.until_it_runs(&path)?;
    ssh.rsync("-a", &path, copy.path())?;
    if tree.is_committed() {
        ssh.push(&path, "HEAD:refs/heads/pushed", bare.path())?;
    }
    let mut ours = Sample::seconds();
    let mut rsync = Sample::seconds();
    let mut push = Sample::seconds();
    let mut status = Sample::seconds();
    for repetition in 0..REPETITIONS {
        edit(&path, repetition)?;
        bench.settle()?;
        // Alternately first, as whoever comes second finds what changed in the cache.
        if repetition % 2 == 0 {
            ours.push(handoff.until_it_runs(&path)?);
            bench.settle()?;
            rsync.push(ssh.rsync("-a", &path, copy.path())?);
        } else {
            rsync.push(ssh.rsync("-a", &path, copy.path())?);
            bench.settle()?;
            ours.push(handoff.until_it_runs(&path)?);
        }
        // It refreshes the index, so it comes after those who must read what changed.
        let mut git = process::git(&path);
        status.push(measure::seconds(git.args(["--no-optional-locks", "status"]))?);
        if tree.is_committed() {
            // A commit of the ten edits, which is what a push can carry.
            let start = std::time::Instant::now();
            let stash = process::ok(process::git(&path).args(["stash", "create"]))?;
            let made = start.elapsed().as_secs_f64();
            let what = format!("{}:refs/heads/edits", stash.trim());
            push.push(made + ssh.push(&path, &what, bare.path())?);
        }
    }
    let what = format!("10 files changed, until the command runs ({})", tree.name());
    let target = Target::Times { at_most: 0.3, rival: "rsync", sample: rsync };
    let mut line = Line::new(what, ours, target);
    if tree.is_committed() {
        line = line.beside("git stash create, push", push);
    }
    Ok(vec![line.beside("git status", status)])
}

//! The result of a run that changed ten files of (c), pulled, against `git fetch` and
//! `git checkout` of the same change in a clone.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};
use tempfile::TempDir;

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
    trees::{Import, Tree, pick},
};

pub(super) fn measure(bench: &Bench) -> Result<Vec<Line>> {
    let (_guard, path) = bench.copy(Tree::Files)?;
    let handoff = Ours::start(bench, Between::Nothing)?;
    let ssh = Ssh::start(bench, &Ends::loopback())?;
    let rival = Rival::new(bench, &ssh, &path)?;
    handoff.until_it_runs(&path)?;
    let mut ours = Sample::seconds();
    let mut git = Sample::seconds();
    for repetition in 0..REPETITIONS {
        let files = pick(&path, repetition)?;
        let handed = handoff.hand_off(&path, &["sh", "-c", &change(&files, repetition)?])?;
        handoff.finish(&path, &handed.run)?;
        bench.settle()?;
        let mut pull = handoff.client(&[], &path, &["pull", &handed.run, "--yes"]);
        ours.push(measure::seconds(&mut pull)?);
        rival.offer(&path, &files)?;
        bench.settle()?;
        git.push(rival.take(&ssh)?);
    }
    let target = Target::Times { at_most: 1.5, rival: "git fetch, git checkout", sample: git };
    Ok(vec![Line::new("pull of 10 changed files (c)", ours, target)])
}

/// A shell script that adds a line to each of these files.
fn change(files: &[PathBuf], repetition: u64) -> Result<String> {
    let mut script = String::from("set -e\n");
    for file in files {
        writeln!(script, "echo 'line {repetition}' >> '{}'", file.display())?;
    }
    Ok(script)
}

/// A bare repository and a clone of it that fetches over ssh.
struct Rival {
    directory: TempDir,
}

impl Rival {
    fn new(bench: &Bench, ssh: &Ssh, tree: &Path) -> Result<Self> {
        let directory = bench.scratch("fetch-")?;
        let rival = Self { directory };
        let clone = |args: &[&str], from: &Path, to: &Path| -> Result<()> {
            let mut git: Command = process::git(Path::new("/"));
            process::ok(git.args(["clone", "-q"]).args(args).arg(from).arg(to)).map(drop)
        };
        clone(&["--bare"], tree, &rival.bare())?;
        clone(&[], &rival.bare(), &rival.clone())?;
        let url = ssh.url(&rival.bare());
        process::ok(process::git(&rival.clone()).args(["remote", "set-url", "origin", &url]))?;
        Ok(rival)
    }

    fn bare(&self) -> PathBuf {
        self.directory.path().join("bare.git")
    }

    fn clone(&self) -> PathBuf {
        self.directory.path().join("clone")
    }

    /// Commits these files, as they are in the tree now, on `main` of the bare repository.
    fn offer(&self, tree: &Path, files: &[PathBuf]) -> Result<()> {
        let mut import = Import::into(&self.bare(), 6)?;
        import.commit("main", Some("refs/heads/main^0"))?;
        for file in files {
            let name = file.strip_prefix(tree)?.to_str().context("a name in UTF-8")?;
            import.file(name, &fs::read(file)?)?;
        }
        import.finish()
    }

    /// Seconds that the clone needs to have that commit checked out.
    fn take(&self, ssh: &Ssh) -> Result<f64> {
        let mut fetch = ssh.git(&self.clone());
        let fetched = measure::seconds(fetch.args(["fetch", "-q", "origin", "main"]))?;
        let mut checkout = process::git(&self.clone());
        Ok(fetched + measure::seconds(checkout.args(["checkout", "-q", "FETCH_HEAD"]))?)
    }
}

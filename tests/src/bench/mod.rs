//! The benchmarks: `handoff` and what one would use instead, in the same run, on the same trees.
//!
//! Real daemons, real clients, real OpenSSH; loopback, or a slow link made of network namespaces.
//! Each row is a file below `rows`. The page cache is warm for everybody; "cold" means that the
//! receiving side has nothing and that the client remembers nothing. Never judges by a single
//! figure: ours and the rival alternate, and medians are compared.

mod ends;
mod link;
mod machine;
mod measure;
mod options;
mod ours;
mod process;
mod readme;
mod rows;
mod sample;
mod scale;
mod ssh;
mod table;
mod trees;

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;

pub use options::Options;

use self::{
    scale::Scale,
    trees::{Tree, Trees},
};

/// What every row needs to know.
#[derive(Debug)]
struct Bench {
    scale: Scale,
    /// Where `handoff` and `handoffd` are, built for release.
    binaries: PathBuf,
    trees: Trees,
    /// Everything that only lives as long as a row.
    work: PathBuf,
}

/// Measures what the options select and prints the table.
///
/// # Errors
///
/// Where nothing can be measured at all; a row that could not be is told on standard error and in
/// the exit code.
pub fn run(options: &Options) -> Result<ExitCode> {
    let bench = Bench::new(options)?;
    let mut lines = Vec::new();
    let mut unmeasured = Vec::new();
    for row in rows::selected(&options.only)? {
        measure::say(format_args!("== {}", row.name));
        match (row.measure)(&bench) {
            Ok(measured) => {
                for line in &measured {
                    measure::say(format_args!("{line}"));
                }
                lines.extend(measured);
            }
            Err(error) => {
                measure::say(format_args!("error: cannot measure {}: {error:#}", row.name));
                unmeasured.push(row.name);
            }
        }
    }
    let text = table::markdown(bench.scale, &machine::facts(&bench.work)?, &lines);
    write!(std::io::stdout(), "{text}").context("write the table")?;
    if options.write_readme {
        ensure!(
            unmeasured.is_empty() && options.only.is_empty(),
            "the README's table needs every row; not measured: {unmeasured:?}",
        );
        readme::write(&text)?;
    }
    let missed = lines.iter().any(|line| !line.passes());
    let failed = !unmeasured.is_empty() || (options.check && missed);
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

impl Bench {
    fn new(options: &Options) -> Result<Self> {
        ensure!(rustix::process::geteuid().is_root(), "namespaces and sshd need root");
        let own = std::env::current_exe().context("find this program")?;
        let binaries = own.parent().context("this program's directory")?.to_owned();
        for name in ["handoff", "handoffd"] {
            let path = binaries.join(name);
            ensure!(path.exists(), "{} is missing: start this by tests/bench", path.display());
        }
        let default = || binaries.parent().map(|target| target.join("bench"));
        let directory = std::env::var_os("HANDOFF_BENCH_DIR").map(PathBuf::from).or_else(default);
        let directory = directory.context("no target directory: set HANDOFF_BENCH_DIR")?;
        let all_work = directory.join("work");
        let work = all_work.join(std::process::id().to_string());
        fs::create_dir_all(&work).with_context(|| format!("create {}", work.display()))?;
        let (work, directory) = (work.canonicalize()?, directory.canonicalize()?);
        let scale = options.scale();
        let trees = Trees::below(&directory.join(scale.name()), scale)?;
        link::remove_left_behind()?;
        remove_left_behind(&all_work)?;
        Ok(Self { scale, binaries, trees, work })
    }

    /// A directory on the disk of the trees; goes away with its guard.
    fn scratch(&self, prefix: &str) -> Result<TempDir> {
        let made = tempfile::Builder::new().prefix(prefix).tempdir_in(&self.work);
        made.with_context(|| format!("create a directory in {}", self.work.display()))
    }

    /// A tree that only may be read.
    fn tree(&self, tree: Tree) -> Result<PathBuf> {
        self.trees.pristine(tree)
    }

    /// A copy of a tree that may be changed, its index refreshed; goes away with its guard.
    fn copy(&self, tree: Tree) -> Result<(TempDir, PathBuf)> {
        let pristine = self.tree(tree)?;
        let guard = self.scratch(tree.name())?;
        let copy = guard.path().join("tree");
        process::ok(
            process::command("cp").args(["-a", "--reflink=auto"]).arg(pristine).arg(&copy),
        )?;
        process::ok(process::git(&copy).arg("status"))?;
        Ok((guard, copy))
    }

    /// Writes out what earlier work left in memory, so that nobody pays for it in a measurement.
    fn settle(&self) -> Result<()> {
        sync(&self.work)
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        // What stays is removed by the next benchmark.
        drop(fs::remove_dir_all(&self.work));
    }
}

/// Removes what benchmarks that were killed had in use.
fn remove_left_behind(work: &Path) -> Result<()> {
    for entry in fs::read_dir(work)? {
        let path = entry?.path();
        let owner = path.file_name().map(|name| Path::new("/proc").join(name));
        if owner.is_some_and(|owner| !owner.exists()) {
            fs::remove_dir_all(&path).with_context(|| format!("remove {}", path.display()))?;
        }
    }
    Ok(())
}

fn sync(directory: &Path) -> Result<()> {
    let opened = fs::File::open(directory).with_context(|| directory.display().to_string())?;
    rustix::fs::syncfs(opened).context("write out the file system")
}

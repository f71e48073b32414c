//! Ten changed files.

use std::{
    fs,
    io::{Read as _, Seek as _, SeekFrom, Write as _},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};

use super::{
    super::process,
    content::{Text, below, noise, stream},
};

/// How many files are changed between two handoffs.
pub(in super::super) const EDITED: usize = 10;

/// From this size on a file is changed in its middle and keeps its size, as media and images are.
const LARGE: u64 = 1 << 20;

/// Changes ten seeded files of a repository's working tree; returns them.
pub(in super::super) fn edit(tree: &Path, seed: u64) -> Result<Vec<PathBuf>> {
    let mut random = stream("edit", seed);
    let text = Text::new();
    let files = pick(tree, seed)?;
    for path in &files {
        let mut file = fs::OpenOptions::new().read(true).write(true).open(path)?;
        let length = file.metadata()?.len();
        if length < LARGE {
            file.seek(SeekFrom::End(0))?;
            file.write_all(&text.of(&mut random, 80))?;
            file.write_all(b"\n")?;
        } else {
            let offset = below(&mut random, length - 4096);
            file.write_all_at(&noise(&mut random, 4096), offset)?;
        }
    }
    Ok(files)
}

/// Ten seeded files of a repository's working tree, tracked or not.
pub(in super::super) fn pick(tree: &Path, seed: u64) -> Result<Vec<PathBuf>> {
    let list = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"];
    let listed = process::ok(process::git(tree).args(list))?;
    let mut left: Vec<PathBuf> = listed
        .split_terminator('\0')
        .map(|path| tree.join(path))
        .filter(|path| path.symlink_metadata().is_ok_and(|found| found.is_file()))
        .collect();
    ensure!(left.len() >= EDITED, "{} has fewer than {EDITED} files", tree.display());
    left.sort();
    let mut random = stream("pick", seed);
    let mut next = || -> Result<PathBuf> {
        let at = below(&mut random, left.len() as u64);
        Ok(left.swap_remove(usize::try_from(at)?))
    };
    (0..EDITED).map(|_| next()).collect()
}

/// How many bytes zstd -3 makes of these files together.
pub(in super::super) fn compressed_bytes(files: &[PathBuf]) -> Result<u64> {
    let mut content = Vec::new();
    for path in files {
        fs::File::open(path)?.read_to_end(&mut content)?;
    }
    let all = tempfile::NamedTempFile::new().context("create a file")?;
    fs::write(all.path(), content)?;
    let output =
        process::output(process::command("zstd").args(["-3", "-q", "-c"]).arg(all.path()))?;
    ensure!(output.status.success(), "zstd failed");
    Ok(output.stdout.len() as u64)
}

/// So many different seeded points within this many bytes, in ascending order.
pub(in super::super) fn seeded_points(count: usize, bytes: u64) -> impl Iterator<Item = u64> {
    let mut random = stream("points", 0);
    let mut points = std::collections::BTreeSet::new();
    while points.len() < count {
        points.insert(below(&mut random, bytes));
    }
    points.into_iter()
}

//! The trees: seeded, made once, kept while their stamp matches. Nobody may change one; rows that
//! need to, copy it.

mod content;
mod edit;
mod import;

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    thread,
};

use anyhow::{Context as _, Result};

pub(super) use edit::{EDITED, compressed_bytes, edit, pick, seeded_points};
pub(super) use import::Import;

use self::content::{Text, below, noise, stream};
use super::{measure, process, scale::Scale};

/// Changes whenever what is made below does.
const VERSION: u32 = 1;

const MB: u64 = 1_000_000;

/// What can be handed off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tree {
    /// (a) This repository, freshly cloned.
    Own,
    /// (b) 500 MB, nearly all of it one pack of random blobs that the working tree has no more.
    Pack,
    /// (c) 100,000 committed text files of 1 GB.
    Files,
    /// (d) 2 GB of untracked data in 20 files, every other one of them text, the rest random.
    Data,
    /// 100 committed text files.
    Few,
    /// 20 MB of Rust sources, untracked.
    Sources,
    /// 20 MB of random bytes in 20 files, untracked.
    Noise,
}

impl Tree {
    /// Its directory, and its name in the table.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Own => "a",
            Self::Pack => "b",
            Self::Files => "c",
            Self::Data => "d",
            Self::Few => "few",
            Self::Sources => "sources",
            Self::Noise => "noise",
        }
    }

    /// Whether a push carries it: git knows nothing of untracked data.
    pub(super) const fn is_committed(self) -> bool {
        matches!(self, Self::Own | Self::Pack | Self::Files | Self::Few)
    }
}

/// Where the trees are.
#[derive(Debug)]
pub(super) struct Trees {
    directory: PathBuf,
    scale: Scale,
}

impl Trees {
    pub(super) fn below(directory: &Path, scale: Scale) -> Result<Self> {
        fs::create_dir_all(directory).with_context(|| format!("create {}", directory.display()))?;
        Ok(Self { directory: directory.to_owned(), scale })
    }

    /// The tree, made if it is not there as it should be.
    pub(super) fn pristine(&self, tree: Tree) -> Result<PathBuf> {
        let path = self.directory.join(tree.name());
        let stamp = self.directory.join(format!("{}.stamp", tree.name()));
        let expected = format!("{VERSION} {}\n", self.version_of(tree)?);
        if fs::read_to_string(&stamp).is_ok_and(|found| found == expected) {
            return Ok(path);
        }
        measure::say(format_args!("making tree {}", tree.name()));
        if path.exists() {
            fs::remove_dir_all(&path).with_context(|| format!("remove {}", path.display()))?;
        }
        self.make(tree, &path).with_context(|| format!("make tree {}", tree.name()))?;
        process::ok(process::git(&path).arg("status"))?;
        fs::write(&stamp, expected).context("write the tree's stamp")?;
        Ok(path)
    }

    /// What else a tree depends on.
    fn version_of(&self, tree: Tree) -> Result<String> {
        match tree {
            Tree::Own => process::ok(process::git(source()).args(["rev-parse", "HEAD"])),
            _ => Ok(self.scale.name().to_owned()),
        }
    }

    fn make(&self, tree: Tree, path: &Path) -> Result<()> {
        match tree {
            Tree::Own => own(path),
            Tree::Pack => pack(path, self.scale.of(500 * MB)),
            Tree::Files => text_files(path, self.scale.of(100_000)),
            Tree::Data => untracked(path, self.scale.of(2000 * MB), |index| index % 2 == 0),
            Tree::Few => text_files(path, 100),
            Tree::Sources => sources(path, self.scale.of(20 * MB)),
            Tree::Noise => untracked(path, self.scale.of(20 * MB), |_| false),
        }
    }
}

/// The sources of this program.
fn source() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

fn own(path: &Path) -> Result<()> {
    let clone = ["clone", "-q", "--no-local"];
    process::ok(process::git(Path::new("/")).args(clone).arg(source()).arg(path))?;
    Ok(())
}

/// Random blobs of 8 to 200 KB in commits of a hundred, deleted by the last commit, which adds
/// fifty small files.
fn pack(path: &Path, bytes: u64) -> Result<()> {
    let mut import = Import::into_new(path, 0)?;
    let mut random = stream("pack", 0);
    let (mut made, mut blob) = (0, 0);
    while made < bytes {
        if blob % 100 == 0 {
            import.commit("main", None)?;
        }
        let size = 8_000 + below(&mut random, 192_000);
        import
            .file(&format!("media/{blob:05}.bin"), &noise(&mut random, usize::try_from(size)?))?;
        made += size;
        blob += 1;
    }
    import.commit("main", None)?;
    import.remove("media")?;
    let text = Text::new();
    for file in 0..50 {
        import.file(&format!("src/{file:02}.txt"), &text.of(&mut random, 4_000))?;
    }
    import.finish()?;
    checkout(path)
}

/// Committed files of 2 to 18 KB, fifty a directory.
fn text_files(path: &Path, count: u64) -> Result<()> {
    let mut import = Import::into_new(path, 1)?;
    import.commit("main", None)?;
    let mut random = stream("files", 0);
    let text = Text::new();
    for file in 0..count {
        let size = usize::try_from(2_000 + below(&mut random, 16_000))?;
        let name = format!("d{:03}/s{:02}/f{file:06}.txt", file / 1000, file / 50 % 20);
        import.file(&name, &text.of(&mut random, size))?;
    }
    import.finish()?;
    checkout(path)
}

fn checkout(path: &Path) -> Result<()> {
    let checkout = ["-c", "checkout.workers=0", "reset", "-q", "--hard", "main"];
    process::ok(process::git(path).args(checkout))?;
    Ok(())
}

/// Twenty files of equal size in a repository that has a single commit and knows none of them.
fn untracked(path: &Path, bytes: u64, is_text: fn(u64) -> bool) -> Result<()> {
    const FILES: u64 = 20;
    process::ok(process::git(Path::new("/")).args(["init", "-q"]).arg(path))?;
    process::ok(process::git(path).args(["commit", "-q", "--allow-empty", "-m", "begin"]))?;
    let text = Text::new();
    let write = |index: u64| -> Result<()> {
        let mut random = stream("data", index);
        let mut file = fs::File::create(path.join(format!("data{index:02}.bin")))?;
        let (mut left, part) = (bytes / FILES, MB);
        while left > 0 {
            let size = usize::try_from(left.min(part))?;
            let made =
                if is_text(index) { text.of(&mut random, size) } else { noise(&mut random, size) };
            file.write_all(&made)?;
            left -= size as u64;
        }
        Ok(())
    };
    let cores = thread::available_parallelism()?.get();
    thread::scope(|scope| {
        let write = &write;
        let of_core = |core| move || (0..FILES).skip(core).step_by(cores).try_for_each(write);
        let workers: Vec<_> = (0..cores).map(|core| scope.spawn(of_core(core))).collect();
        workers.into_iter().try_for_each(|worker| worker.join().expect("a writer panicked"))
    })
}

/// The sources of our dependencies, package by package, until there are enough.
fn sources(path: &Path, bytes: u64) -> Result<()> {
    process::ok(process::git(Path::new("/")).args(["init", "-q"]).arg(path))?;
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut metadata = std::process::Command::new(cargo);
    metadata.args(["metadata", "--format-version=1", "--locked", "--offline"]);
    let text = process::ok(metadata.current_dir(source()))?;
    let parsed: serde_json::Value = serde_json::from_str(&text)?;
    let packages = parsed["packages"].as_array().context("no packages")?;
    let mut left = bytes;
    for package in packages.iter().filter(|package| package["source"].is_string()) {
        let manifest = Path::new(package["manifest_path"].as_str().context("no path")?);
        let from = manifest.parent().context("no directory")?;
        let name = from.file_name().context("no name")?;
        copy_sources(from, &path.join(name), &mut left)?;
        if left == 0 {
            return Ok(());
        }
    }
    anyhow::bail!("the dependencies have {left} bytes of sources too few")
}

/// Copies Rust files, and of the last one what still fits.
fn copy_sources(from: &Path, to: &Path, left: &mut u64) -> Result<()> {
    let mut entries = fs::read_dir(from)?.collect::<Result<Vec<_>, _>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type()?.is_dir() {
            copy_sources(&path, &target, left)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") && *left > 0 {
            let mut content = fs::read(&path)?;
            content.truncate(usize::try_from(*left)?);
            *left -= content.len() as u64;
            fs::create_dir_all(to)?;
            fs::write(target, content)?;
        }
    }
    Ok(())
}

//! Makes a pack of exactly these objects, in a directory of our own.
//!
//! git reads the objects through an empty repository, so that nothing of the user's settings or
//! hooks is in force. A pack that was made before for the same objects is used again: the same
//! tree then has the same snapshot, and an upload that was cut off goes on.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write as _};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use handoff_proto::manifest::{ObjectFormat, Oid};

use crate::settings::create_private_directory;

/// Settings that keep git from packing for ever or into several packs.
const SETTINGS: [&str; 3] = ["pack.windowMemory=256m", "pack.packSizeLimit=0", "gc.auto=0"];

/// How old a pack may get that no upload has finished with.
const AGE_MAX: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Makes the pack beneath `home` and returns the directory that holds it with its index.
///
/// `stores` are the object directories in which the objects are, `ids` sorted.
///
/// # Errors
///
/// Where git fails, among others because the objects are gone, or a file cannot be written.
pub(super) fn pack(
    home: &Path,
    stores: &[PathBuf],
    format: ObjectFormat,
    ids: &[Oid],
) -> io::Result<PathBuf> {
    let mut hasher = blake3::Hasher::new();
    for id in ids {
        hasher.update(id.as_bytes());
    }
    let made = home.join(hasher.finalize().to_hex().as_str());
    if made.exists() {
        return Ok(made);
    }
    create_private_directory(home)?;
    remove_old(home);
    let scratch = tempfile::Builder::new().prefix(".making-").tempdir_in(home)?;
    let repository = scratch.path().join("repository");
    let mut init = git();
    init.args(["init", "-q", "--bare", "--template="])
        .arg(format!("--object-format={}", format.name()))
        .arg(&repository);
    run(&mut init, Stdio::null())?;
    lend(&repository.join("objects"), stores)?;
    let list = scratch.path().join("objects");
    write_lines(&list, ids)?;
    let packs = scratch.path().join("packs");
    fs::create_dir(&packs)?;
    let mut pack = git();
    pack.arg("--git-dir").arg(&repository);
    pack.args(["pack-objects", "-q", "--delta-base-offset"]).arg(packs.join("pack"));
    run(&mut pack, File::open(&list)?.into())?;
    match fs::rename(&packs, &made) {
        // Another process was faster with the same.
        Err(_) if made.exists() => Ok(made),
        renamed => renamed.map(|()| made),
    }
}

/// Removes what uploads left that were given up, and processes that died while they packed.
fn remove_old(home: &Path) {
    for entry in fs::read_dir(home).into_iter().flatten().flatten() {
        let modified = entry.metadata().and_then(|meta| meta.modified());
        let age = modified.ok().and_then(|modified| modified.elapsed().ok());
        if age.is_some_and(|age| age > AGE_MAX) {
            // It only takes up room.
            drop(fs::remove_dir_all(entry.path()));
        }
    }
}

/// Makes objects elsewhere readable. Through links: a list of alternates knows no odd path.
fn lend(objects: &Path, stores: &[PathBuf]) -> io::Result<()> {
    let mut list = String::new();
    for (number, store) in stores.iter().enumerate() {
        symlink(store, objects.join(format!("lender-{number}")))?;
        list.push_str(&format!("lender-{number}\n"));
    }
    fs::create_dir_all(objects.join("info"))?;
    fs::write(objects.join("info/alternates"), list)
}

fn write_lines(path: &Path, ids: &[Oid]) -> io::Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    for id in ids {
        writeln!(file, "{id}")?;
    }
    file.flush()
}

fn git() -> Command {
    let mut git = Command::new("git");
    git.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    for (name, value) in [
        ("LC_ALL", "C"),
        ("HOME", "/nonexistent"),
        ("GIT_CONFIG_GLOBAL", "/dev/null"),
        ("GIT_CONFIG_NOSYSTEM", "1"),
        ("GIT_NO_LAZY_FETCH", "1"),
        ("GIT_NO_REPLACE_OBJECTS", "1"),
        ("GIT_TERMINAL_PROMPT", "0"),
    ] {
        git.env(name, value);
    }
    for setting in SETTINGS {
        git.args(["-c", setting]);
    }
    git
}

fn run(git: &mut Command, input: Stdio) -> io::Result<()> {
    let output = git.stdin(input).output()?;
    if output.status.success() {
        return Ok(());
    }
    let said = handoff_proto::path::escaped(output.stderr.trim_ascii());
    Err(io::Error::other(format!("{}: {said}", output.status)))
}

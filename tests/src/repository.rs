//! A repository that has everything at once: what a snapshot must carry without a loss.

use std::{
    ffi::OsStr,
    fs,
    os::unix::{ffi::OsStrExt as _, fs::PermissionsExt as _, fs::symlink},
    path::{Path, PathBuf},
    process::Command,
};

use crate::world::{World, said};

/// Makes `~/src/project`, a clone of this repository in the middle of work: staged and unstaged
/// changes in one file, untracked and ignored files, a stash, an unpushed commit, an unfinished
/// merge, a dirty submodule, odd names and links, and a large file of `large_bytes`.
#[must_use]
pub fn busy(world: &World, large_bytes: usize) -> PathBuf {
    let project = clone_of_this_one(world);
    let git = |args: &[&str]| world.git(&project, args);

    // A stash.
    append(world, &project.join("CHANGELOG.md"), "stashed\n");
    git(&["stash", "push", "-m", "for later"]);
    // A submodule with a change of its own.
    let library = library(world);
    git(&["submodule", "add", "-q", &library.display().to_string(), "vendor/library"]);
    git(&["commit", "-qm", "add a submodule"]);
    append(world, &project.join("vendor/library/lib.txt"), "dirty\n");
    // An unfinished merge, which leaves a conflict.
    git(&["checkout", "-qb", "side"]);
    world.write(&project.join("conflict.txt"), "theirs\n");
    git(&["add", "conflict.txt"]);
    git(&["commit", "-qm", "side"]);
    git(&["checkout", "-q", "main"]);
    world.write(&project.join("conflict.txt"), "ours\n");
    git(&["add", "conflict.txt"]);
    git(&["commit", "-qm", "an unpushed commit"]);
    let merge = world.run(
        &project,
        "git",
        ["-c", "user.name=Test Er", "-c", "user.email=test@example.com", "merge", "side"],
    );
    assert_eq!(merge.code, 1, "the merge must conflict: {merge}");
    // Staged and unstaged changes in one file.
    append(world, &project.join("deny.toml"), "# staged\n");
    git(&["add", "deny.toml"]);
    append(world, &project.join("deny.toml"), "# unstaged\n");
    // Untracked and ignored files.
    world.write(&project.join("untracked.txt"), "untracked\n");
    fs::create_dir_all(project.join("target")).expect("directory");
    world.give(&project.join("target"));
    world.write(&project.join("target/built"), "ignored\n");
    world.write(&project.join(".git/info/exclude"), ".env\n");
    world.write(&project.join(".env"), "SECRET=1\n");
    odd_names(world, &project);
    large(world, &project, large_bytes);
    project
}

/// Makes `~/plain`, a directory without git.
#[must_use]
pub fn plain(world: &World) -> PathBuf {
    let plain = world.directory("plain");
    world.write(&plain.join("notes.txt"), "notes\n");
    world.write(&plain.join(".hidden"), "hidden\n");
    odd_names(world, &plain);
    plain
}

/// What must print the same on both sides, as one shell script.
pub const PARITY: &str = r#"
set -eu
pwd
umask
if git rev-parse --git-dir >/dev/null 2>&1; then
    git status --porcelain=v2 --branch --show-stash
    git stash list
    git log --graph --all --format='%H %an %ae %ad %s'
    git diff
    git diff --cached
    git submodule status --recursive || true
fi
find . -path ./target -prune -o -name .env -prune -o -path ./.git -prune \
    -o -path './vendor/library/.git' -prune -o -printf '%p %y %m %T@ %l\n' | LC_ALL=C sort
find . -path ./target -prune -o -name .env -prune -o -path ./.git -prune \
    -o -path './vendor/library/.git' -prune -o -type f -print0 | LC_ALL=C sort -z | xargs -0 cksum
"#;

fn clone_of_this_one(world: &World) -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("root");
    let origin = world.home().join("origin.git");
    let project = world.home().join("src/project");
    // By the tests' own user: git trusts no repository of another one.
    let mut clone = Command::new("git");
    clone.args(["clone", "-q", "--bare", "--no-local"]).arg(here).arg(&origin);
    drop(said(&mut clone).ok());
    world.give_all(&origin);
    let head = world.ok(&origin, "git", ["rev-parse", "HEAD"]);
    world.ok(&origin, "git", ["update-ref", "refs/heads/main", head.trim()]);
    world.ok(&origin, "git", ["symbolic-ref", "HEAD", "refs/heads/main"]);
    world.ok(
        &world.home(),
        "git",
        ["clone".as_ref(), "-q".as_ref(), origin.as_os_str(), project.as_os_str()],
    );
    world.git(&project, &["config", "user.name", "Test Er"]);
    world.git(&project, &["config", "user.email", "test@example.com"]);
    project
}

fn library(world: &World) -> PathBuf {
    let library = world.directory("library");
    world.git(&library, &["init", "-q"]);
    world.write(&library.join("lib.txt"), "library\n");
    world.git(&library, &["add", "."]);
    world.git(&library, &["commit", "-qm", "library"]);
    library
}

fn odd_names(world: &World, directory: &Path) {
    symlink("nowhere/at/all", directory.join("dangling")).expect("link");
    symlink("/etc/hostname", directory.join("leaving")).expect("link");
    symlink("../..", directory.join("upwards")).expect("link");
    let script = directory.join("run me.sh");
    world.write(&script, "#!/bin/sh\necho ran\n");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("mode");
    fs::create_dir(directory.join("empty")).expect("directory");
    let name = directory.join(OsStr::from_bytes(b"caf\xe9 \x1b[31m"));
    world.write(&name, "not UTF-8\n");
    world.write(&directory.join("line\nbreak"), "newline\n");
    for name in ["dangling", "leaving", "upwards", "empty"] {
        world.give(&directory.join(name));
    }
}

/// Content that does not compress, the same each time.
fn large(world: &World, directory: &Path, bytes: usize) {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut content = Vec::with_capacity(bytes);
    while content.len() < bytes {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        content.extend_from_slice(&state.to_le_bytes());
    }
    content.truncate(bytes);
    world.write(&directory.join("large.bin"), content);
}

fn append(world: &World, path: &Path, line: &str) {
    let mut content = fs::read(path).expect("read");
    content.extend_from_slice(line.as_bytes());
    world.write(path, content);
}

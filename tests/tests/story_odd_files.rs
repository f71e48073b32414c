//! Renames in git's index, hard links, sparse files and names of any bytes go to the run and come
//! back.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use handoff_tests::world::World;

/// Much more than is written of the sparse files.
const SPARSE_BYTES: u64 = 96 << 20;

/// All that git says about the tree, whatever the names, and what files hold.
const LOOK: &str = "git status --porcelain=v2 -z | cksum; \
                    git diff --cached -M --name-status -z | cksum; \
                    find . -path ./.git -prune -o -type f -print0 | sort -z | xargs -0 cksum";

/// What the run does to each kind.
const CHANGE: &str = r#"
    set -e
    git mv dir/second.txt dir/'moved there'
    echo changed >> moved.txt
    echo more >> linked-1
    ln linked-2 linked-there
    printf middle | dd of=sparse bs=1 seek=1000000 conv=notrunc 2> /dev/null
    truncate -s 96M sparse-there
    printf end >> sparse-there
    mv "$(printf 'caf\351')" "$(printf 'th\351')"
    printf 'new\n' > "$(printf 'two\nlines\377')"
    printf 'changed\n' > "$(printf 'dir\n\376/file')"
"#;

fn name(bytes: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(bytes))
}

fn project(world: &World) -> PathBuf {
    let project = world.directory("app");
    world.git(&project, &["init", "-q"]);
    fs::create_dir(project.join("dir")).expect("directory");
    for (file, content) in [("first.txt", "first\nfile\n"), ("dir/second.txt", "second\nfile\n")] {
        world.write(&project.join(file), content);
    }
    world.git(&project, &["add", "."]);
    world.git(&project, &["commit", "-qm", "first"]);
    world.git(&project, &["mv", "first.txt", "moved.txt"]);
    world.write(&project.join("linked-1"), "linked\n");
    fs::hard_link(project.join("linked-1"), project.join("linked-2")).expect("link");
    let sparse = File::create(project.join("sparse")).expect("create");
    sparse.set_len(SPARSE_BYTES).expect("size");
    sparse.write_all_at(b"end", SPARSE_BYTES - 3).expect("write");
    world.write(&project.join(name(b"caf\xe9")), "not UTF-8\n");
    fs::create_dir(project.join(name(b"dir\n\xfe"))).expect("directory");
    world.write(&project.join(name(b"dir\n\xfe/file")), "line break\n");
    world.git(&project, &["add", "-N", "linked-2"]);
    world.give_all(&project);
    project
}

fn there_and_back(world: &World) {
    let project = project(world);
    let plan = world.handoff(&project, ["plan"]).ok();
    assert!(plan.contains("hard links: each name becomes a file of its own"), "{plan}");

    let here = world.ok(&project, "sh", ["-c", LOOK]);
    let script = format!("{LOOK}; {CHANGE} {LOOK}");
    let run = world.handoff(&project, ["-f", "-n", "odd", "--", "sh", "-c", &script]);
    assert_eq!(run.code, 0, "{run}");
    let seen = String::from_utf8_lossy(&run.stdout).into_owned();
    let changed = seen.strip_prefix(&here).expect("the run sees what is here");
    world.handoff(&project, ["pull", "odd", "--yes"]).ok();
    assert_eq!(world.ok(&project, "sh", ["-c", LOOK]), changed, "what the run had is here");

    let renames = world.git(&project, &["diff", "--cached", "-M", "--name-status"]);
    assert!(renames.contains("first.txt\tmoved.txt"), "{renames}");
    assert!(renames.contains("dir/second.txt\tdir/moved there"), "{renames}");
    let read = |file: &str| fs::read_to_string(project.join(file)).expect("read");
    assert_eq!(read("linked-1"), "linked\nmore\n");
    assert_eq!([read("linked-2"), read("linked-there")], ["linked\n", "linked\n"], "apart there");
    assert_eq!(fs::metadata(project.join("linked-there")).expect("look").nlink(), 1);
    assert_eq!(fs::metadata(project.join("sparse")).expect("look").len(), SPARSE_BYTES);
    assert_eq!(fs::metadata(project.join("sparse-there")).expect("look").len(), SPARSE_BYTES + 3);
    for (there, content) in [
        (b"th\xe9".as_slice(), "not UTF-8\n"),
        (b"two\nlines\xff", "new\n"),
        (b"dir\n\xfe/file", "changed\n"),
    ] {
        assert_eq!(fs::read_to_string(project.join(name(there))).expect("there"), content);
    }
    assert!(!project.join(name(b"caf\xe9")).exists());
}

#[test]
fn there_and_back_as_root() {
    there_and_back(&World::new());
}

#[test]
fn there_and_back_as_an_ordinary_user() {
    there_and_back(&World::ordinary());
}

#[test]
fn there_and_back_as_an_ordinary_user_with_subordinate_ids() {
    there_and_back(&World::with_subordinate_ids());
}

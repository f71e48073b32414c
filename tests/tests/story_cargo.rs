//! A toolchain in the user's home works in the jail: this project's own tests, without network.

use std::{os::unix::fs::symlink, path::Path, process::Command};

use handoff_tests::world::{World, said};

#[test]
fn cargo_tests_a_crate_of_this_repository_in_a_run() {
    let mut world = World::new();
    let real_home = std::env::var("HOME").expect("HOME");
    // The user's toolchain, in the user's home, as rustup leaves it.
    for name in [".cargo", ".rustup"] {
        let target = Path::new(&real_home).join(name);
        assert!(target.is_dir(), "{} is needed: install Rust with rustup", target.display());
        symlink(target, world.home().join(name)).expect("link");
    }
    world.set(
        "PATH",
        format!(
            "{}:{}/.cargo/bin:/usr/local/bin:/usr/bin:/bin",
            world.bin().display(),
            world.home().display()
        ),
    );
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("root");
    let project = world.directory("project");
    let mut copy = Command::new("git");
    copy.args(["-c", &format!("safe.directory={}", here.display()), "-C"]).arg(here).args([
        "ls-files",
        "-z",
        "--cached",
        "--others",
        "--exclude-standard",
    ]);
    let listed = said(&mut copy).ok();
    for name in listed.split('\0').filter(|name| !name.is_empty()) {
        let (from, to) = (here.join(name), project.join(name));
        if from.is_file() {
            std::fs::create_dir_all(to.parent().expect("parent")).expect("directory");
            std::fs::copy(from, to).expect("copy");
        }
    }
    world.git(&project, &["init", "-q"]);
    world.git(&project, &["add", "."]);
    world.git(&project, &["commit", "-qm", "all"]);
    let run = world.handoff(
        &project,
        ["-f", "--", "cargo", "test", "-p", "handoff-proto", "--lib", "--", "run::"],
    );
    assert_eq!(run.code, 0, "{run}");
    assert!(String::from_utf8_lossy(&run.stdout).contains("test result: ok"), "{run}");
}

//! Attempt: leave symlinks in the home directory, so that setting up the next turn writes on the
//! host.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use handoff_sandbox::{Access, Step};
use handoff_tests::escape::{Lab, bash};

fn attempt(lab: &Lab) {
    let canary = lab.directory_of_run("canary");
    let file = lab.directory_of_run("files").join("settings");
    fs::write(&file, "ours").expect("write");
    // An honest home works, and what is made in it is made in it.
    let jail = lab.jail("honest").mount(&file, "/home/alice/.gitconfig", Access::ReadOnly);
    assert_eq!(jail.run(&bash("cat ~/.gitconfig; pwd")).succeeded(), "ours/home/alice/src/app\n");
    assert!(lab.path("honest-home").join("src/app").is_dir());

    let seen_by_bubblewrap =
        Path::new("/oldroot").join(canary.strip_prefix("/").expect("absolute"));
    for (index, goal) in [canary.clone(), seen_by_bubblewrap].into_iter().enumerate() {
        plant(lab, &format!("directory-{index}"), "src", &goal);
        plant(lab, &format!("file-{index}"), ".gitconfig", &goal.join("made"));
    }
    // The control: whoever follows the link does write there.
    fs::create_dir(lab.path("directory-0-home").join("src/app")).expect("mkdir");
    assert!(canary.join("app").is_dir(), "the link leads to the canary");
}

fn plant(lab: &Lab, name: &str, link: &str, goal: &PathBuf) {
    let file = lab.path("files").join("settings");
    let jail = lab.jail(name).mount(&file, "/home/alice/.gitconfig", Access::ReadOnly);
    symlink(goal, lab.path(&format!("{name}-home")).join(link)).expect("plant");
    let outcome = jail.run(&bash("echo ran"));
    let refusal = outcome.refusal();
    assert_eq!(refusal.step, Step::Target, "{refusal}");
    assert_eq!(refusal.errno, Some(libc::ELOOP), "{refusal}");
    assert_eq!(outcome.stdout, "");
    assert_eq!(fs::read_dir(lab.path("canary")).expect("list").count(), 0, "{name} wrote");
}

handoff_tests::attempt!(attempt);

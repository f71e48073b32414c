//! A pull or an undo that dies at any step leaves the old state or the new one, never a third.
//!
//! Each attempt is a process of its own that aborts right before the step.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};

use handoff_client::pull::apply::Step;
use handoff_client::pull::plan::Decision;
use handoff_client::pull::undo::undo;

use crate::world::{Picture, World, assert_same, make_writable, set_mode, write};

/// What a child process is asked to do: `pull` or `undo`, the step to die at, and the home.
const VARIABLE: &str = "HANDOFF_TEST_DIE";

/// More steps than any scenario has.
const STEPS_MAX: usize = 60;

#[test]
fn a_pull_that_dies_at_any_step_can_be_put_back() {
    let template = scenario();
    let mut steps = 0;
    for step in 0..STEPS_MAX {
        let world = copy(&template);
        let old = world.notice(&world.local());
        if run_child("pull", step, &world) {
            steps = step;
            break;
        }
        world.recover().unwrap();
        assert_eq!(world.notice(&world.local()), old, "after step {step}");
        assert_clean(&world, step);

        // What was cut off can be done again, and undone.
        let returned = world.harvest(&world.capture());
        world.pull(&returned);
        let (here, there) = (world.notice(&world.local()), world.notice(&world.remote()));
        // A file that the run's git wrote again is the same file, only newer.
        assert_same(&without_times(here.0), &without_times(there.0), "files");
        // The first tells the references, of which some are kept under other names.
        assert_eq!(here.1[1..], there.1[1..]);
        assert_eq!(world.decide(&returned).unwrap(), Decision::UpToDate);
        world.undo().unwrap();
        assert_eq!(world.notice(&world.local()), old, "after step {step} and undo");
    }
    assert!(steps > 15, "the scenario has only {steps} steps");
}

#[test]
fn an_undo_that_dies_at_any_step_can_be_ended() {
    let template = scenario();
    let old = template.notice(&template.local());
    let returned = template.harvest(&template.capture());
    template.pull(&returned);
    let mut steps = 0;
    for step in 0..STEPS_MAX {
        // The journal knows a tree by its path, so that the same home has to do.
        let saved = template.home().join("saved");
        if step == 0 {
            copy_all(&template.local(), &saved.join("project"));
            copy_all(&template.state(), &saved.join("state"));
        } else {
            restore(&saved.join("project"), &template.local());
            restore(&saved.join("state"), &template.state());
        }
        if run_child("undo", step, &template) {
            steps = step;
            break;
        }
        // It may have come to nothing so far, or to nearly everything.
        if !template.recover().unwrap() {
            template.undo().unwrap();
        }
        assert_eq!(template.notice(&template.local()), old, "after step {step}");
        assert_clean(&template, step);
    }
    assert!(steps > 15, "the scenario has only {steps} steps");
}

/// Does nothing unless another test starts it as a process of its own.
#[test]
fn child_process() {
    let Ok(asked) = std::env::var(VARIABLE) else { return };
    let mut words = asked.splitn(3, ' ');
    let mut next = || words.next().unwrap();
    let (verb, die_at, world) =
        (next(), next().parse::<usize>().unwrap(), World::at(Path::new(next())));
    let mut step = 0;
    let mut watch = |_: &Step| {
        if step == die_at {
            std::process::abort();
        }
        step += 1;
    };
    match verb {
        "pull" => {
            let returned = world.harvest(&world.capture());
            let plan = world.plan(&returned);
            world.apply(&returned, &plan, &mut watch).unwrap();
        }
        _ => drop(undo(&world.root(), &world.journal(), &mut watch).unwrap()),
    }
}

/// Whether the child got to the end.
fn run_child(verb: &str, step: usize, world: &World) -> bool {
    Command::new(std::env::current_exe().unwrap())
        .args(["crash::child_process", "--exact"])
        .env(VARIABLE, format!("{verb} {step} {}", world.home().display()))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap()
        .success()
}

/// A tree, and what a run made of it: a bit of everything.
fn scenario() -> World {
    let world = World::with_repository();
    let local = world.local();
    world.write("gone.txt", "gone\n");
    world.write("old/a.txt", "a\n");
    world.write("old/b.txt", "b\n");
    world.write("tool.sh", "#!/bin/sh\n");
    world.write("locked/in.txt", "in\n");
    set_mode(&local.join("locked"), 0o555);
    symlink("README.md", local.join("link")).unwrap();
    world.git(&local, &["add", "."]);
    world.git(&local, &["commit", "-q", "-m", "more"]);
    world.write("README.md", "not committed\n");
    world.hand_off();
    let run = world.remote();
    world.git(&run, &["checkout", "-q", "-b", "side"]);
    write(&run.join("src/main.rs"), b"// side\n");
    world.git(&run, &["commit", "-q", "-m", "side", "src"]);
    world.git(&run, &["checkout", "-q", "-b", "topic", "main"]);
    fs::remove_file(run.join("gone.txt")).unwrap();
    fs::remove_dir_all(run.join("old")).unwrap();
    write(&run.join("old"), b"now a file\n");
    fs::remove_file(run.join("link")).unwrap();
    write(&run.join("link/inside.txt"), b"now a directory\n");
    symlink("src", run.join("new-link")).unwrap();
    set_mode(&run.join("tool.sh"), 0o755);
    set_mode(&run.join("locked"), 0o755);
    write(&run.join("locked/in.txt"), b"changed\n");
    set_mode(&run.join("locked"), 0o555);
    world.git(&run, &["add", "-A", "."]);
    world.git(&run, &["commit", "-q", "-m", "topic"]);
    write(&run.join("README.md"), b"staged\n");
    world.git(&run, &["add", "."]);
    write(&run.join("README.md"), b"changed again\n");
    write(&run.join(".git/MERGE_HEAD"), world.git(&run, &["rev-parse", "side"]).as_bytes());
    world
}

fn copy(template: &World) -> World {
    let world = World::new();
    for name in ["project", "run"] {
        restore(&template.home().join(name), &world.home().join(name));
    }
    world
}

fn copy_all(from: &Path, to: &Path) {
    fs::create_dir_all(to.parent().unwrap()).unwrap();
    assert!(Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap().success());
}

fn restore(from: &Path, to: &Path) {
    if to.exists() {
        make_writable(to);
        fs::remove_dir_all(to).unwrap();
    }
    copy_all(from, to);
}

fn without_times(picture: Picture) -> Picture {
    let timeless = |(path, (mode, content, _))| (path, (mode, content, None));
    picture.into_iter().map(timeless).collect()
}

/// No lock, temporary file or quarantine is left.
fn assert_clean(world: &World, step: usize) {
    let found = world.picture(&|path| !path.starts_with("project"));
    let leftover = |path: &&Vec<u8>| {
        let text = String::from_utf8_lossy(path);
        text.ends_with(".lock") || text.contains(".handoff-new-") || text.contains("tmp_objdir")
    };
    assert_eq!(found.keys().find(leftover), None, "after step {step}");
}

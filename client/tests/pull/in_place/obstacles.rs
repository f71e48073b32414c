//! What stands in the way of a pull or of its undoing.

use std::fs;

use handoff_client::pull::apply::Step;

use crate::world::{World, path, write};

#[test]
fn what_changed_since_the_pull_is_named_and_kept() {
    let world = World::with_repository();
    let base = world.hand_off();
    let run = world.remote();
    write(&run.join("README.md"), b"theirs\n");
    write(&run.join("src/main.rs"), b"// theirs\n");
    world.git(&run, &["commit", "-q", "-a", "-m", "theirs"]);
    let returned = world.harvest(&base);
    world.pull(&returned);
    world.write("README.md", "mine\n");
    world.git(&world.local(), &["commit", "-q", "-a", "-m", "mine"]);
    let before = world.notice(&world.local());
    let error = world.undo().unwrap_err();
    assert!(error.is_conflict());
    let text = error.to_string();
    for what in ["`README.md`", "refs/heads/main of `.`", "the index of `.`"] {
        assert!(text.contains(what), "{text}");
    }
    assert!(!text.contains("main.rs"), "{text}");
    assert_eq!(world.notice(&world.local()), before);
}

#[test]
fn a_refreshed_index_does_not_keep_undo_from_working() {
    let world = World::with_repository();
    let base = world.hand_off();
    let before = world.notice(&world.local());
    write(&world.remote().join("README.md"), b"theirs\n");
    let returned = world.harvest(&base);
    world.pull(&returned);
    world.git(&world.local(), &["update-index", "--refresh"]);
    world.git(&world.local(), &["status"]);
    world.undo().unwrap();
    assert_eq!(world.notice(&world.local()), before);
}

#[test]
fn a_failure_on_the_way_puts_everything_back() {
    let world = World::with_repository();
    let base = world.hand_off();
    let run = world.remote();
    write(&run.join("README.md"), b"theirs\n");
    write(&run.join("zzz.txt"), b"last\n");
    world.git(&run, &["add", "."]);
    world.git(&run, &["commit", "-q", "-m", "theirs"]);
    let returned = world.harvest(&base);
    let plan = world.plan(&returned);
    let before = world.notice(&world.local());
    let obstacle = world.local().join("zzz.txt");
    let error = world
        .apply(&returned, &plan, &mut |step| {
            if *step == Step::Path(path("zzz.txt")) {
                fs::create_dir_all(obstacle.join("mine")).unwrap();
            }
        })
        .unwrap_err();
    // The obstacle is not ours to remove; everything else is as it was.
    assert!(obstacle.join("mine").exists(), "{error}");
    fs::remove_dir_all(&obstacle).unwrap();
    assert_eq!(world.notice(&world.local()), before);
    assert!(!world.local().join(".git/index.lock").exists());
}

#[test]
fn a_held_lock_stops_the_pull_before_it_changes_anything() {
    let world = World::with_repository();
    let base = world.hand_off();
    write(&world.remote().join("README.md"), b"theirs\n");
    let returned = world.harvest(&base);
    let plan = world.plan(&returned);
    let before = world.notice(&world.local());
    let lock = world.local().join(".git/index.lock");
    fs::write(&lock, "another git is at work").unwrap();
    let error = world.apply(&returned, &plan, &mut |_| {}).unwrap_err();
    assert!(error.is_conflict(), "{error}");
    assert!(error.to_string().contains("index.lock"), "{error}");
    assert_eq!(fs::read_to_string(&lock).unwrap(), "another git is at work");
    fs::remove_file(&lock).unwrap();
    assert_eq!(world.notice(&world.local()), before);
}

//! A result is put in place exactly, and undone bit for bit.

mod entries;
mod history;
mod layouts;
mod obstacles;

use handoff_client::pull::plan::Decision;
use handoff_client::pull::undo::UndoError;

use crate::world::{Returned, World, assert_same};

/// Runs the changes in the run's copy, pulls them, and expects the same here as there; then undoes
/// the pull and expects what was before.
fn check(prepare: impl FnOnce(&World), change: impl FnOnce(&World)) -> (World, Returned) {
    let world = World::with_repository();
    prepare(&world);
    let base = world.hand_off();
    let before = world.notice(&world.local());
    change(&world);
    let returned = world.harvest(&base);

    world.pull(&returned);
    let there = world.notice(&world.remote());
    let here = world.notice(&world.local());
    assert_same(&here.0, &there.0, "files");
    assert_eq!(here.1, there.1, "git");
    assert_eq!(world.decide(&returned).unwrap(), Decision::UpToDate);
    assert_eq!(world.git(&world.local(), &["fsck", "--full", "--strict", "--no-dangling"]), "");

    world.undo().unwrap();
    assert_eq!(world.notice(&world.local()), before);
    assert!(matches!(world.undo(), Err(UndoError::Nothing)));

    // And once more, so that what undo left behind does no harm.
    world.pull(&returned);
    assert_eq!(world.notice(&world.local()), here);
    (world, returned)
}

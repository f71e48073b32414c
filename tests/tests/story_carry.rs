//! What `--include`, `--exclude`, `.handoff.toml` and `.handoffignore` decide holds on the way there
//! and on the way back.

use std::{fs, path::Path};

use handoff_tests::world::World;

/// A repository that ignores `*.log` and `/build/`.
fn project(world: &World) -> std::path::PathBuf {
    let project = world.directory("app");
    world.git(&project, &["init", "-q"]);
    for (name, content) in [
        (".gitignore", "*.log\n/build/\n"),
        (".handoffignore", "private.txt\n/scratch/\n"),
        (".handoff.toml", "[carry]\ninclude = [\"*.log\"]\nexclude = [\"*.mp4\"]\n"),
        ("a.txt", "a\n"),
        ("film.mp4", "tracked and large\n"),
    ] {
        world.write(&project.join(name), content);
    }
    world.git(&project, &["add", "."]);
    world.git(&project, &["commit", "-qm", "first"]);
    for name in ["build/report", "build/object", "scratch/note"] {
        let path = project.join(name);
        fs::create_dir_all(path.parent().expect("parent")).expect("directory");
        world.write(&path, "local\n");
    }
    world.write(&project.join("old.log"), "old\n");
    world.write(&project.join("private.txt"), "private\n");
    world.give_all(&project);
    project
}

fn read(project: &Path, name: &str) -> Option<String> {
    fs::read_to_string(project.join(name)).ok()
}

#[test]
fn what_is_included_returns_and_what_is_left_out_stays() {
    let world = World::new();
    let project = project(&world);
    let script = "ls > seen.txt; ls build >> seen.txt; echo changed > old.log; echo new > new.log; \
                  echo changed > build/report; echo new > build/other; echo theirs > film.mp4; \
                  echo theirs > private.txt; echo b > a.txt";
    let id = world.hand_off(&project, ["--include", "/build/report", "--", "sh", "-c", script]);
    assert_eq!(world.finished(&project, &id)["outcome"], "succeeded");
    world.handoff(&project, ["pull", &id, "--yes"]).ok();

    assert_eq!(
        read(&project, "seen.txt").expect("seen"),
        "a.txt\nbuild\nold.log\nseen.txt\nreport\n"
    );
    assert_eq!(read(&project, "a.txt").as_deref(), Some("b\n"));
    assert_eq!(read(&project, "old.log").as_deref(), Some("changed\n"), "included, modified");
    assert_eq!(read(&project, "new.log").as_deref(), Some("new\n"), "a new file that is included");
    assert_eq!(read(&project, "build/report").as_deref(), Some("changed\n"));
    assert_eq!(read(&project, "build/object").as_deref(), Some("local\n"), "never left");
    assert_eq!(read(&project, "build/other"), None, "ignored there as here");
    assert_eq!(read(&project, "film.mp4").as_deref(), Some("tracked and large\n"));
    assert_eq!(read(&project, "private.txt").as_deref(), Some("private\n"));
    assert_eq!(read(&project, "scratch/note").as_deref(), Some("local\n"));
}

#[test]
fn a_plan_names_what_stays_and_what_travels() {
    let world = World::new();
    let project = project(&world);
    let args = ["plan", "--json", "--include", "/build/report", "--", "true"];
    let plan = world.handoff(&project, args).json();
    let left_out: Vec<(&str, &str)> = plan["left_out"]
        .as_array()
        .expect("left out")
        .iter()
        .filter_map(|left| Some((left["path"].as_str()?, left["reason"].as_str()?)))
        .collect();
    for expected in [
        ("film.mp4", "excluded"),
        ("private.txt", "handoffignore"),
        ("scratch", "handoffignore"),
        ("build", "ignored"),
    ] {
        assert!(left_out.contains(&expected), "no {expected:?} in {left_out:?}");
    }
    assert_eq!(plan["included"]["files"], 2, "{plan:#}");
}

//! What `--include`, `--exclude`, `.handoff.toml` and `.handoffignore` decide holds on the way there
//! and on the way back.

use std::{fs, path::Path};

use handoff_tests::{remote::Remote, world::World};

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

#[test]
fn a_secret_stops_the_handoff_until_it_is_allowed() {
    let world = World::new();
    let project = project(&world);
    let token = ["ghp_zQWBuTSOoRi4A9spHcVY5ncn", "sDkxkJ0mLq17"].concat();
    world.write(&project.join("notes.md"), format!("one\ntwo: {token}\n"));
    let said = world.handoff(&project, ["--", "true"]);
    assert!(!said.stderr.contains(&token), "{said}");
    said.fails(7, &["notes.md:2: github-token", "--allow-secrets"]);

    let plan = world.handoff(&project, ["plan", "--json"]);
    assert_eq!(plan.code, 7, "{plan}");
    let plan: serde_json::Value = serde_json::from_slice(&plan.stdout).expect("JSON");
    assert_eq!(plan["secrets"]["found"][0]["path"], "notes.md");
    assert_eq!(plan["secrets"]["found"][0]["line"], 2);

    let id = world.hand_off(&project, ["--allow-secrets", "--", "grep", "-q", "ghp_", "notes.md"]);
    assert_eq!(world.finished(&project, &id)["outcome"], "succeeded");
    world.write(&project.join("notes.md"), format!("{token} <!-- handoff:allow-secret -->\n"));
    drop(world.hand_off(&project, ["--", "true"]));
}

#[test]
fn a_plan_lists_what_would_be_refused_and_what_the_remote_says() {
    let world = World::new();
    let remote = Remote::start();
    let project = project(&world);
    let plan = |args: &[&str]| {
        let said = world.handoff(&project, [&["plan", "--json"], args].concat());
        let plan: serde_json::Value = serde_json::from_slice(&said.stdout).expect("JSON");
        (said.code, plan)
    };
    let (code, alone) = plan(&[]);
    assert_eq!((code, &alone["lacking"]), (0, &serde_json::Value::Null));
    let sent = alone["sends"]["bytes"].as_u64();
    assert!(sent > Some(0) && sent <= alone["bytes"].as_u64(), "every content once: {alone:#}");
    assert_eq!(alone["sends"]["compressed_is"], "exact");

    world.handoff(&project, ["remote", "add", "box", &remote.invite("ada", &[])]).ok();
    drop(world.hand_off(&project, ["--", "true"]));
    let (code, known) = plan(&["--", "true"]);
    assert_eq!((code, known["lacking"]["chunks"].as_u64()), (0, Some(0)), "{known:#}");
    assert_eq!(known["command_on_remote"]["is"], "accepted");
    assert!(known["quota"]["bytes"].as_u64() > Some(0), "{known:#}");

    let (code, unknown) = plan(&["--", "no-such-program-anywhere"]);
    assert_eq!((code, unknown["command_on_remote"]["is"].as_str()), (7, Some("refused")));

    for number in 0..25 {
        let socket = project.join(format!("socket {number}"));
        drop(std::os::unix::net::UnixListener::bind(socket).expect("socket"));
    }
    let (code, refused) = plan(&[]);
    assert_eq!((code, refused["refused"].as_array().map(Vec::len)), (7, Some(25)));
    assert_eq!(refused["entries"], known["entries"], "the rest is shown as it is");
    let text = world.handoff(&project, ["plan"]);
    assert!(String::from_utf8_lossy(&text.stdout).contains("socket 0 is a socket"), "{text}");
}

#[test]
fn a_quota_refuses_before_anything_is_sent() {
    let world = World::new();
    let remote = Remote::with_config("[store]\nquota = \"2MiB\"\nfiles = 1000\n");
    let project = world.directory("data");
    world.handoff(&project, ["remote", "add", "box", &remote.invite("ada", &[])]).ok();
    world.write(&project.join("fits"), vec![7; 1 << 20]);
    let id = world.hand_off(&project, ["--", "true"]);
    drop(world.finished(&project, &id));
    let used = |plan: &serde_json::Value| plan["quota"]["bytes"].as_u64().expect("bytes");
    let before = used(&world.handoff(&project, ["plan", "--json"]).json());

    let large: Vec<u8> = (0..2_000_000_u32)
        .map(|number| (number.wrapping_mul(number) >> 7).to_le_bytes()[0])
        .collect();
    world.write(&project.join("large"), large);
    let plan = world.handoff(&project, ["plan", "--json"]);
    assert_eq!(plan.code, 7, "{plan}");
    let plan: serde_json::Value = serde_json::from_slice(&plan.stdout).expect("JSON");
    assert_eq!((plan["quota"]["fits"].as_bool(), used(&plan)), (Some(false), before));
    let said = world.handoff(&project, ["--", "true"]);
    said.fails(7, &["of 2.0 MiB you have", "handoff rm", "operator"]);
    fs::remove_file(project.join("large")).expect("remove");
    let after = used(&world.handoff(&project, ["plan", "--json"]).json());
    assert_eq!(after, before, "nothing was stored");

    for number in 0..1001 {
        world.write(&project.join(format!("{number}")), format!("{number}"));
    }
    world.handoff(&project, ["--", "true"]).fails(7, &["limit of 1000 files"]);
}

#[test]
fn one_users_content_is_asked_of_another_again() {
    let (ada, eve) = (World::new(), World::new());
    let remote = Remote::start();
    for (world, name) in [(&ada, "ada"), (&eve, "eve")] {
        let project = world.directory("data");
        world.write(&project.join("same"), vec![3; 300_000]);
        world.handoff(&project, ["remote", "add", "box", &remote.invite(name, &[])]).ok();
        let plan = world.handoff(&project, ["plan", "--json"]).json();
        assert_eq!(plan["lacking"]["bytes"], plan["bytes"], "all of it, for {name}");
        assert_eq!(plan["quota"]["bytes"], 0);
        drop(world.hand_off(&project, ["--", "true"]));
        let plan = world.handoff(&project, ["plan", "--json"]).json();
        assert_eq!(plan["lacking"]["chunks"], 0);
        assert!(plan["quota"]["bytes"].as_u64() >= Some(1), "{plan:#}");
    }
}

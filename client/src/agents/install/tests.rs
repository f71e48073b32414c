//! What is installed is taken away to the byte, whatever was there.

use std::os::unix::fs::PermissionsExt as _;

use super::*;

struct Home {
    directory: tempfile::TempDir,
}

impl Home {
    fn new(files: &[(&str, &str)]) -> Self {
        let home = Self { directory: tempfile::tempdir().unwrap() };
        std::fs::create_dir(home.agent()).unwrap();
        for (name, text) in files {
            std::fs::write(home.agent().join(name), text).unwrap();
        }
        home
    }

    fn agent(&self) -> PathBuf {
        self.directory.path().join("agent")
    }

    fn installation(&self, interface: Kind, program: &str) -> Installation {
        let places = Places::beneath(self.directory.path());
        Installation::new(interface, &self.agent(), Path::new(program), &places).unwrap()
    }

    /// Everything beneath the agent's directory.
    fn listing(&self) -> Vec<(PathBuf, Option<String>)> {
        let mut found = Vec::new();
        let mut directories = vec![self.agent()];
        while let Some(directory) = directories.pop() {
            for entry in std::fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    directories.push(path.clone());
                    found.push((path, None));
                } else {
                    let text = std::fs::read_to_string(&path).unwrap();
                    found.push((path, Some(text)));
                }
            }
        }
        found.sort();
        found
    }
}

/// Uninstalls all of it; returns what was done.
fn uninstalled(installation: &Installation) -> Vec<String> {
    let Uninstalled { done, stuck } = installation.uninstall().unwrap();
    assert!(stuck.is_empty(), "{stuck:?}");
    done
}

const PROGRAM: &str = "/opt/it's here/handoff";

const SETTINGS: [Option<&str>; 6] = [
    None,
    Some(""),
    Some("{}\n"),
    Some("{\n\t\"model\": \"opus\",\n\t\"env\": {}\n}"),
    Some(
        "{\"hooks\":{\"UserPromptSubmit\":[{\"hooks\":[{\"type\":\"command\",\"command\":\"x\"}]}]}}",
    ),
    Some("{\r\n  \"hooks\": {\r\n    \"Stop\": []\r\n  }\r\n}\r\n"),
];

const CONFIGS: [Option<&str>; 4] = [
    None,
    Some("# mine\nmodel = \"x\""),
    Some("[projects.\"/w\"]\ntrust_level = \"trusted\"\n"),
    Some("[hooks.state.\"/x\"]\r\ntrusted_hash = \"y\"\r\n"),
];

fn files<'a>(names: &[(&'a str, Option<&'a str>)]) -> Vec<(&'a str, &'a str)> {
    names.iter().filter_map(|(name, text)| Some((*name, (*text)?))).collect()
}

fn check(interface: Kind, files: &[(&str, &str)]) {
    let home = Home::new(files);
    let before = home.listing();
    let installation = home.installation(interface, PROGRAM);
    assert!(!installation.install().unwrap().is_empty());
    let installed = home.listing();
    assert_ne!(installed, before);
    assert_eq!(installation.install().unwrap(), [""; 0], "again it changes nothing: {files:?}");
    assert_eq!(home.listing(), installed);
    // The program has moved.
    let moved = home.installation(interface, "/usr/bin/handoff");
    assert!(!moved.install().unwrap().is_empty());
    let text = format!("{:?}", home.listing());
    assert!(text.contains("/usr/bin/handoff hook") && !text.contains("here/handoff"), "{text}");
    assert!(!uninstalled(&moved).is_empty());
    assert_eq!(home.listing(), before, "{files:?}");
    assert_eq!(uninstalled(&moved), [""; 0]);
}

#[test]
fn what_is_installed_is_taken_away_to_the_byte() {
    for settings in SETTINGS {
        check(Kind::Claude, &files(&[("settings.json", settings)]));
        for config in CONFIGS {
            check(Kind::Codex, &files(&[("hooks.json", settings), ("config.toml", config)]));
        }
    }
}

#[test]
fn what_was_changed_since_stays_and_only_ours_goes() {
    let home = Home::new(&[("settings.json", "{\n  \"a\": 1\n}\n")]);
    let installation = home.installation(Kind::Claude, PROGRAM);
    installation.install().unwrap();
    let settings = home.agent().join("settings.json");
    let text = std::fs::read_to_string(&settings).unwrap();
    std::fs::write(&settings, text.replace("\"a\": 1", "\"a\": 2")).unwrap();
    std::fs::write(home.agent().join("commands/mine.md"), "mine").unwrap();
    uninstalled(&installation);
    assert_eq!(std::fs::read_to_string(&settings).unwrap(), "{\n  \"a\": 2\n}\n");
    let left: Vec<PathBuf> = home.listing().into_iter().map(|(path, _)| path).collect();
    assert_eq!(left.len(), 3, "{left:?}");
}

#[test]
fn the_users_own_words_for_it_stay() {
    let home = Home::new(&[]);
    let installation = home.installation(Kind::Codex, PROGRAM);
    installation.install().unwrap();
    let skill = home.agent().join("skills/handoff/SKILL.md");
    std::fs::write(&skill, "mine").unwrap();
    assert_eq!(installation.install().unwrap(), [""; 0]);
    let done = uninstalled(&installation);
    assert!(done.iter().any(|line| line.contains("left") && line.contains("SKILL.md")), "{done:?}");
    assert_eq!(std::fs::read_to_string(&skill).unwrap(), "mine");
    let error = installation.install().unwrap_err();
    assert!(matches!(error, InstallError::Taken { .. }), "{error}");
}

#[test]
fn what_cannot_be_read_is_refused_and_nothing_is_changed() {
    for (interface, name, text) in [
        (Kind::Claude, "settings.json", "{ // why\n}"),
        (Kind::Claude, "settings.json", "{\"hooks\": []}"),
        (Kind::Codex, "config.toml", "hooks = {}\n"),
        (Kind::Codex, "config.toml", "a ="),
    ] {
        let home = Home::new(&[(name, text)]);
        let before = home.listing();
        let error = home.installation(interface, PROGRAM).install().unwrap_err();
        assert!(matches!(error, InstallError::Unfit { .. }), "{error}");
        assert!(error.to_string().contains(name), "{error}");
        assert_eq!(home.listing(), before);
    }
    let home = Home::new(&[]);
    let nowhere = home.agent().join("none");
    let places = Places::beneath(home.directory.path());
    let error = Installation::new(Kind::Codex, &nowhere, Path::new("/h"), &places);
    assert!(matches!(error, Err(InstallError::NoDirectory { .. })), "{error:?}");
}

#[test]
fn a_linked_file_is_written_where_it_is_and_keeps_its_mode() {
    let home = Home::new(&[]);
    let real = home.directory.path().join("dotfiles.json");
    std::fs::write(&real, "{}").unwrap();
    std::fs::set_permissions(&real, std::fs::Permissions::from_mode(0o640)).unwrap();
    let settings = home.agent().join("settings.json");
    std::os::unix::fs::symlink(&real, &settings).unwrap();
    let installation = home.installation(Kind::Claude, PROGRAM);
    installation.install().unwrap();
    assert!(settings.is_symlink());
    assert!(std::fs::read_to_string(&real).unwrap().contains("hook claude"));
    assert_eq!(real.metadata().unwrap().permissions().mode() & 0o777, 0o640);
    uninstalled(&installation);
    assert_eq!(std::fs::read_to_string(&real).unwrap(), "{}");
    std::fs::remove_file(&real).unwrap();
    assert!(matches!(installation.install(), Err(InstallError::Read { .. })));
}

#[test]
fn a_path_is_one_word_for_a_shell() {
    assert_eq!(quoted("/usr/bin/handoff"), "/usr/bin/handoff");
    assert_eq!(quoted(PROGRAM), r"'/opt/it'\''s here/handoff'");
}

#[test]
fn what_cannot_be_taken_away_stays_on_record_and_the_next_time_takes_it_away() {
    for (name, kind, damaged) in [
        ("settings.json", Kind::Claude, &b"{ // why\n"[..]),
        ("settings.json", Kind::Claude, b"\xff"),
        ("hooks.json", Kind::Codex, b"{\"hooks\": 1,"),
        ("config.toml", Kind::Codex, b"a = "),
    ] {
        let home = Home::new(&[(name, if kind == Kind::Claude { "{}" } else { "" })]);
        let before = home.listing();
        let installation = home.installation(kind, PROGRAM);
        installation.install().unwrap();
        let path = home.agent().join(name);
        let installed = std::fs::read(&path).unwrap();
        std::fs::write(&path, damaged).unwrap();
        for _ in 0..2 {
            let Uninstalled { stuck, .. } = installation.uninstall().unwrap();
            let error = InstallError::Stuck(stuck);
            assert!(error.to_string().contains(name), "{error}");
            // A hook whose trust cannot go is there still, and works.
            for other in ["settings.json", "hooks.json", "config.toml"] {
                let path = home.agent().join(other);
                let is_there = path.exists() && other != name;
                let waits = format!("left the hook in {} until that is mended", path.display());
                assert_eq!(error.to_string().contains(&waits), is_there, "{error}");
            }
            assert_eq!(error.exit(), crate::exit::Exit::Conflict);
            assert_eq!(std::fs::read(&path).unwrap(), damaged);
        }
        std::fs::write(&path, installed).unwrap();
        assert!(!uninstalled(&installation).is_empty());
        assert_eq!(home.listing(), before, "{name}");
        assert_eq!(uninstalled(&installation), [""; 0]);
    }
}

#[test]
fn what_cannot_be_written_stays_on_record_too() {
    let home = Home::new(&[]);
    let installation = home.installation(Kind::Claude, PROGRAM);
    installation.install().unwrap();
    let settings = home.agent().join("settings.json");
    let installed = std::fs::read(&settings).unwrap();
    // A link that leads nowhere is no file of ours to replace; it keeps root from writing, too.
    std::fs::remove_file(&settings).unwrap();
    std::os::unix::fs::symlink(home.agent().join("none"), &settings).unwrap();
    let Uninstalled { stuck, .. } = installation.uninstall().unwrap();
    assert!(matches!(&stuck[..], [InstallError::Read { path, .. }] if *path == settings));
    assert!(!home.agent().join("commands").exists(), "the rest is gone");
    std::fs::remove_file(&settings).unwrap();
    std::fs::write(&settings, installed).unwrap();
    assert!(!uninstalled(&installation).is_empty());
    assert_eq!(home.listing(), []);
}

#[test]
fn hooks_behind_ours_keep_the_trust_that_was_given_to_them() {
    let home = Home::new(&[]);
    let installation = home.installation(Kind::Codex, PROGRAM);
    installation.install().unwrap();
    let (hooks, config) = (home.agent().join("hooks.json"), home.agent().join("config.toml"));
    let mut document: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(&hooks).unwrap()).unwrap();
    let groups = document["hooks"]["UserPromptSubmit"].as_array_mut().unwrap();
    for commands in [&["untrusted"][..], &["a", "b"]] {
        let of = |command: &&str| serde_json::json!({ "type": "command", "command": command });
        groups.push(serde_json::json!({ "hooks": commands.iter().map(of).collect::<Vec<_>>() }));
    }
    std::fs::write(&hooks, document.to_string()).unwrap();
    let section = |place: &str, hash: &str| {
        let key = format!("{}:user_prompt_submit:{place}", hooks.display());
        format!("[hooks.state.{key:?}]\ntrusted_hash = \"sha256:{hash}\"\n")
    };
    let trusted = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, format!("{trusted}\n{}{}", section("2:0", "a"), section("2:1", "b")))
        .unwrap();
    uninstalled(&installation);
    let left = std::fs::read_to_string(&config).unwrap();
    assert_eq!(left.trim_start(), format!("{}{}", section("1:0", "a"), section("1:1", "b")));
    // Installed again it comes behind them, and moves nothing.
    installation.install().unwrap();
    let with = std::fs::read_to_string(&config).unwrap();
    assert!(with.starts_with(&left) && with.contains(":user_prompt_submit:2:0"), "{with}");
}

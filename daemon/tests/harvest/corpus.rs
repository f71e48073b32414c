//! More of what a run can leave behind: git data that lies, settings in every place where git looks
//! for them, and a tree that does not hold still.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use handoff_daemon::harvest;

use crate::program;
use crate::world::{Harvested, World, commit, git, git_command, write};

const CANARY: &[u8] = b"canary-52d80e: nobody may ever return this";

/// No content, no note and no pack holds the canary.
fn assert_no_canary(world: &World, harvested: &Harvested) {
    let holds = |bytes: &[u8]| bytes.windows(CANARY.len()).any(|window| window == CANARY);
    assert!(!holds(&harvested.bytes));
    for entry in &harvested.manifest.entries {
        assert!(!holds(&world.content(entry)), "{}", entry.path);
    }
    for repository in &harvested.manifest.repositories {
        assert!(!holds(&world.chunks(&repository.pack)));
    }
    assert!(!harvested.notes.iter().any(|note| holds(note.as_bytes())));
}

#[test]
fn no_place_for_settings_makes_git_run_anything() {
    let world = World::with_repository();
    let base = world.hand_off();
    let tree = world.tree();
    let (script, mark) = (world.path("trap.sh"), world.path("mark"));
    program::write(&script, &format!("#!/bin/sh\ntouch '{}'\ncat\n", mark.display()));
    let trap = script.display();
    let settings = format!(
        "[core]\n\tfsmonitor = {trap}\n\tgitProxy = {trap}\n\taskPass = {trap}\n\
         \talternateRefsCommand = {trap}\n\tsshCommand = {trap}\n\
         [diff]\n\texternal = {trap}\n[diff \"trap\"]\n\tcommand = {trap}\n\ttextconv = {trap}\n\
         [filter \"trap\"]\n\tclean = {trap}\n\tsmudge = {trap}\n\tprocess = {trap}\n\trequired = true\n\
         [gpg]\n\tprogram = {trap}\n[gpg \"ssh\"]\n\tprogram = {trap}\n[commit]\n\tgpgSign = true\n\
         [log]\n\tshowSignature = true\n[sequence]\n\teditor = {trap}\n[interactive]\n\tdiffFilter = {trap}\n\
         [pager]\n\tls-files = {trap}\n\trev-list = {trap}\n\tcat-file = {trap}\n[trailer \"x\"]\n\tcommand = {trap}\n\
         [pack]\n\tpackSizeLimit = 1\n[uploadpack]\n\tpackObjectsHook = {trap}\n\
         [alias]\n\tls-files = !{trap}\n\trev-list = !{trap}\n[safe]\n\tdirectory = *\n"
    );
    // A second file that the first one includes, the file of a worktree, and those of a home.
    write(&tree.join(".git/included"), &settings);
    write(&tree.join(".git/config.worktree"), &settings);
    let config = fs::read_to_string(tree.join(".git/config")).expect("config");
    let include = "[include]\n\tpath = included\n[includeIf \"gitdir:/\"]\n\tpath = included\n[extensions]\n\tworktreeConfig = true\n";
    write(&tree.join(".git/config"), format!("{config}{include}"));
    for home in [".gitconfig", ".config/git/config", "etc/gitconfig"] {
        write(&tree.join(home), &settings);
    }
    for hooks in [".git/hooks", ".githooks", "hooks"] {
        for hook in [
            "pre-commit",
            "post-commit",
            "pre-push",
            "post-checkout",
            "post-merge",
            "post-rewrite",
            "reference-transaction",
            "post-index-change",
            "fsmonitor-watchman",
            "pre-auto-gc",
            "push-to-checkout",
            "proc-receive",
            "sendemail-validate",
            "p4-pre-submit",
            "update",
        ] {
            write(&tree.join(hooks).join(hook), fs::read(&script).expect("script"));
            let mode = fs::Permissions::from_mode(0o755);
            fs::set_permissions(tree.join(hooks).join(hook), mode).expect("mode");
        }
    }
    write(&tree.join(".git/info/attributes"), "* filter=trap diff=trap\n");
    write(&tree.join(".gitattributes"), "* filter=trap diff=trap\n");
    write(&tree.join("a.txt"), "changed\n");
    // The trap is set: git itself falls into it.
    drop(git_command(&tree).args(["status"]).output().expect("git"));
    assert!(mark.exists(), "git status runs the script");
    fs::remove_file(&mark).expect("remove");

    let harvested = world.harvest(&base);
    assert!(!mark.exists(), "something ran the script");
    assert_eq!(harvested.manifest.repositories.len(), 1, "{:?}", harvested.notes);
    assert_eq!(world.content(harvested.entry("a.txt").expect("file")), b"changed\n");
}

#[test]
fn links_in_the_place_of_any_file_of_git_lead_nowhere() {
    for name in [
        "HEAD",
        "index",
        "packed-refs",
        "shallow",
        "info",
        "info/exclude",
        "refs/heads",
        "refs/heads/main",
        "refs/heads/other",
        "refs/tags/t",
        "objects/pack",
        "objects/info",
        "objects/info/alternates",
        "MERGE_HEAD",
        "CHERRY_PICK_HEAD",
        "sharedindex.1234567890123456789012345678901234567890",
    ] {
        for target in ["canary", "."] {
            let world = World::with_repository();
            let base = world.hand_off();
            let outside = world.path("outside");
            write(&outside.join("canary"), CANARY);
            git(&outside, &["init", "-q", "-b", "canary"]);
            commit(&outside, "canary");
            let path = world.tree().join(".git").join(name);
            fs::create_dir_all(path.parent().expect("parent")).expect("directory");
            drop(fs::remove_dir_all(&path));
            drop(fs::remove_file(&path));
            symlink(outside.join(target), &path).expect("link");
            let harvested = world.harvest(&base);
            assert_no_canary(&world, &harvested);
            assert!(harvested.entry("a.txt").is_some(), "{name}");
            let refs = harvested.manifest.repositories.iter().flat_map(|r| &r.refs);
            assert!(refs.clone().all(|(name, _)| !name.to_string().contains("canary")), "{name}");
        }
    }
}

#[test]
fn packed_references_that_lie_are_left_out_or_refused_by_name() {
    let tip = |world: &World| git(&world.tree(), &["rev-parse", "HEAD"]).trim_end().to_owned();
    let missing = "0123456789012345678901234567890123456789";
    for (line, noted) in [
        (format!("{missing} refs/heads/missing"), "refs/heads/missing"),
        ("TIP refs/heads/../../../etc/passwd".to_owned(), "git does not allow its name"),
        ("TIP refs/heads/\x1b]0;x\x07".to_owned(), r"\x1b]0;x\x07"),
        ("TIP refs/heads/x.lock".to_owned(), "x.lock"),
        ("abc refs/heads/short".to_owned(), "refs/heads/short"),
        (format!("{} refs/heads/long", "a".repeat(64)), "refs/heads/long"),
        ("TIP".to_owned(), "git does not allow its name"),
        ("\0\0\0".to_owned(), "git does not allow its name"),
        (format!("TIP refs/heads/{}", "n".repeat(5000)), "git does not allow its name"),
    ] {
        let world = World::with_repository();
        let base = world.hand_off();
        let line = line.replace("TIP", &tip(&world));
        write(
            &world.tree().join(".git/packed-refs"),
            format!("# pack-refs with: peeled\n{line}\n"),
        );
        let harvested = world.harvest(&base);
        assert!(harvested.has_note(noted), "{noted:?} is not noted: {:?}", harvested.notes);
        assert!(harvested.notes.iter().all(|note| !note.contains(['\x1b', '\n', '\0'])));
        let [repository] = &harvested.manifest.repositories[..] else {
            panic!("{:?}", harvested.notes);
        };
        assert_eq!(repository.refs.len(), 1, "{:?}", repository.refs);
    }
}

/// What becomes of an index.
type Change<'a> = &'a dyn Fn(&mut Vec<u8>);

#[test]
fn an_index_whose_lengths_lie_costs_only_the_state_of_its_repository() {
    let whole = |world: &World| fs::read(world.tree().join(".git/index")).expect("index");
    let changes: [(&str, Change); 9] = [
        ("empty", &Vec::clear),
        ("cut in an entry", &|index| index.truncate(60)),
        ("without its sum", &|index| index.truncate(index.len() - 20)),
        ("too many entries", &|index| index[8..12].copy_from_slice(&[0xff; 4])),
        ("too few entries", &|index| index[8..12].copy_from_slice(&[0; 4])),
        ("another version", &|index| index[7] = 9),
        ("a path of another length", &|index| {
            index[12 + 60..12 + 62].copy_from_slice(&[0x0f, 0xff]);
        }),
        ("an extension beyond its end", &|index| {
            let at = index.len() - 20;
            index.splice(at..at, *b"TREE\xff\xff\xff\xff");
        }),
        ("an extension that must be known", &|index| {
            let at = index.len() - 20;
            index.splice(at..at, *b"evil\0\0\0\x01x");
        }),
    ];
    for (what, change) in changes {
        let world = World::with_repository();
        let base = world.hand_off();
        let mut index = whole(&world);
        change(&mut index);
        write(&world.tree().join(".git/index"), index);
        let harvested = world.harvest(&base);
        // The files return in any case; the state does where git makes sense of the index.
        assert!(harvested.entry("a.txt").is_some(), "{what}");
        let state = &harvested.manifest.repositories;
        assert!(state.len() == 1 || !harvested.notes.is_empty(), "{what}: nothing is said");
    }
}

/// Sets a flag when it goes, however that comes.
struct SetAtEnd<'a>(&'a AtomicBool);

impl Drop for SetAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_file_that_changes_while_it_is_read_is_whole_or_refused_by_name() {
    const SIZE: usize = 300_000;
    let world = World::with_repository();
    let base = world.hand_off();
    let moving = world.tree().join("moving");
    write(&moving, vec![0; SIZE]);
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let _end = SetAtEnd(&ended);
        scope.spawn(|| {
            for round in 1_u32.. {
                if ended.load(Ordering::Relaxed) {
                    break;
                }
                let size = SIZE / 2 + (round as usize * 7919) % SIZE;
                // Anew, shorter, longer, gone, a directory.
                match round % 4 {
                    0 => drop(fs::remove_file(&moving)),
                    1 => drop(fs::create_dir(&moving)),
                    2 => drop(fs::remove_dir(&moving)),
                    _ => drop(fs::write(&moving, size.to_le_bytes().repeat(size / 8))),
                }
            }
        });
        for _ in 0..20 {
            let collection = match world.try_collect(Vec::new()) {
                Ok(collection) => collection,
                Err(error) => {
                    assert!(format!("{error:?}").contains("moving"), "{error:?}");
                    continue;
                }
            };
            let mut bytes = Vec::new();
            match harvest::write(&collection, &mut bytes) {
                // What is returned is whole, which taking it in checks.
                Ok(()) => drop(world.ingest(&bytes, &base).expect("taken in")),
                Err(error) => assert!(error.to_string().contains("moving"), "{error}"),
            }
        }
    });
}

#[test]
fn submodules_and_gitlinks_that_lie_are_only_files() {
    let world = World::with_repository();
    let base = world.hand_off();
    let tree = world.tree();
    write(&world.path("outside/canary"), CANARY);
    let outside = world.path("outside");
    git(&outside, &["init", "-q"]);
    commit(&outside, "canary");
    let modules = "[submodule \"x\"]\n\tpath = \"sub\r\"\n\turl = ext::touch mark\n[submodule \"../..\"]\n\tpath = ../..\n";
    write(&tree.join(".gitmodules"), modules);
    write(&tree.join("sub\r/.git"), format!("gitdir: {}/.git\n", outside.display()));
    write(&tree.join("sub\r/file"), "x");
    symlink(&outside, tree.join("link")).expect("link");
    for at in ["sub\r", "link", "nothing", "a.txt/x"] {
        let head = git(&tree, &["rev-parse", "HEAD"]);
        let entry = format!("160000,{},{at}", head.trim_end());
        drop(
            git_command(&tree)
                .args(["update-index", "--add", "--replace", "--cacheinfo", &entry])
                .output(),
        );
    }
    let harvested = world.harvest(&base);
    assert_no_canary(&world, &harvested);
    assert!(harvested.entry(".gitmodules").is_some());
    assert_eq!(harvested.manifest.repositories.len(), 1, "{:?}", harvested.notes);
}

#[test]
fn borrowed_objects_come_from_nowhere() {
    for alternates in [
        "/etc\n",
        "../../../../../../etc\n",
        "/proc/self/root/etc\n",
        "\"\\057etc\"\n",
        "OUTSIDE\n",
    ] {
        let world = World::with_repository();
        let base = world.hand_off();
        let outside = world.path("outside");
        write(&outside.join("canary"), CANARY);
        git(&outside, &["init", "-q"]);
        commit(&outside, "canary");
        let foreign = git(&outside, &["rev-parse", "HEAD"]).trim_end().to_owned();
        let objects = outside.join(".git/objects");
        let text = alternates.replace("OUTSIDE", &objects.display().to_string());
        write(&world.tree().join(".git/objects/info/alternates"), &text);
        write(&world.tree().join(".git/objects/info/http-alternates"), &text);
        write(&world.tree().join(".git/refs/heads/borrowed"), format!("{foreign}\n"));
        let harvested = world.harvest(&base);
        assert_no_canary(&world, &harvested);
        assert!(harvested.has_note("refs/heads/borrowed"), "{:?}", harvested.notes);
    }
}

#[test]
fn an_embedded_bare_repository_returns_as_the_files_that_it_is() {
    let world = World::with_repository();
    let base = world.hand_off();
    let bare = world.tree().join("vendor/lib");
    fs::create_dir_all(&bare).expect("directory");
    git(&bare, &["init", "-q", "--bare"]);
    write(&bare.join("config"), "[core]\n\tbare = true\n\tfsmonitor = touch mark\n");
    let harvested = world.harvest(&base);
    assert!(harvested.entry("vendor/lib/config").is_some());
    assert!(!world.tree().join("mark").exists() && !Path::new("mark").exists());
    assert!(harvested.manifest.new_repositories.is_empty());
}

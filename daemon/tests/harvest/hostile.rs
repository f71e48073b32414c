//! Trees that a run has made to harm whoever looks at them. No marker may appear, no content from
//! outside the tree may be returned, and it must come to an end.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, OFlags, mkdirat, mknodat, openat};

use crate::program;
use crate::world::{Harvested, World, commit, git, git_command, write};

const CANARY: &[u8] = b"canary-7f3a91: nobody may ever return this";

/// A script that leaves a mark when anything runs it.
struct Trap {
    script: PathBuf,
    mark: PathBuf,
}

impl Trap {
    fn new(world: &World) -> Self {
        let (script, mark) = (world.path("trap.sh"), world.path("mark"));
        let text = format!("#!/bin/sh\ntouch '{}'\ncat\n", mark.display());
        program::write(&script, &text);
        Self { script, mark }
    }

    /// Puts the script wherever git would run it.
    fn set(&self, git_dir: &Path) {
        let script = self.script.display();
        let config = format!(
            "[core]\n\tfsmonitor = {script}\n\thooksPath = {hooks}\n\tsshCommand = {script}\n\
             \tpager = {script}\n\teditor = {script}\n\tattributesFile = {attributes}\n\
             [filter \"trap\"]\n\tclean = {script}\n\tsmudge = {script}\n\tprocess = {script}\n\trequired = true\n\
             [diff]\n\texternal = {script}\n[diff \"trap\"]\n\ttextconv = {script}\n\
             [merge \"trap\"]\n\tdriver = {script}\n[uploadpack]\n\tpackObjectsHook = {script}\n\
             [credential]\n\thelper = {script}\n[extensions]\n\tpartialClone = origin\n\
             [remote \"origin\"]\n\turl = ext::{script}\n\tpromisor = true\n\tuploadpack = {script}\n",
            hooks = git_dir.join("hooks").display(),
            attributes = git_dir.join("info/attributes").display(),
        );
        let mut known = fs::read_to_string(git_dir.join("config")).expect("config");
        known.push_str(&config);
        write(&git_dir.join("config"), known);
        write(&git_dir.join("info/attributes"), "* filter=trap diff=trap merge=trap\n");
        for hook in ["post-index-change", "reference-transaction", "post-checkout", "pre-auto-gc"] {
            fs::create_dir_all(git_dir.join("hooks")).expect("hooks");
            fs::copy(&self.script, git_dir.join("hooks").join(hook)).expect("hook");
        }
    }

    /// The positive control: ordinary git does run it.
    fn assert_armed(&self, tree: &Path) {
        // It may fail after that: only the mark counts.
        drop(git_command(tree).args(["status", "--porcelain"]).output());
        assert!(self.mark.exists(), "git status runs the script");
        fs::remove_file(&self.mark).expect("remove");
    }

    fn assert_untouched(&self) {
        assert!(!self.mark.exists(), "something ran the script");
    }
}

fn assert_no_canary(world: &World, harvested: &Harvested) {
    let found = |bytes: &[u8]| bytes.windows(CANARY.len()).any(|window| window == CANARY);
    for entry in &harvested.manifest.entries {
        assert!(!found(&world.content(entry)), "{}", entry.path);
    }
    assert!(!harvested.notes.iter().any(|note| found(note.as_bytes())));
    for repository in &harvested.manifest.repositories {
        assert!(!found(&world.chunks(&repository.pack)));
        assert!(!repository.refs.iter().any(|(name, _)| name.to_string().contains("canary")));
    }
}

#[test]
fn settings_hooks_filters_and_drivers_never_run() {
    let world = World::with_repository();
    let base = world.hand_off();
    let tree = world.tree();
    let trap = Trap::new(&world);
    write(&tree.join("a.txt"), "changed\n");
    write(&tree.join("staged"), "staged\n");
    git(&tree, &["add", "staged"]);
    write(&tree.join(".gitattributes"), "* filter=trap diff=trap merge=trap\n");
    let nested = tree.join("nested");
    fs::create_dir(&nested).expect("directory");
    git(&nested, &["init", "-q"]);
    write(&nested.join("file"), "x");
    commit(&nested, "nested");
    trap.set(&nested.join(".git"));
    trap.assert_armed(&nested);
    trap.set(&tree.join(".git"));
    trap.assert_armed(&tree);
    // A bare repository in the tree, which git would use if it looked there.
    fs::create_dir(tree.join("bare")).expect("directory");
    git(&tree.join("bare"), &["init", "-q", "--bare"]);
    trap.set(&tree.join("bare"));
    fs::remove_file(&trap.mark).unwrap_or_default();
    let harvested = world.harvest(&base);
    trap.assert_untouched();
    assert_eq!(harvested.manifest.repositories.len(), 1);
    assert_eq!(world.content(harvested.entry("a.txt").expect("file")), b"changed\n");
    assert_eq!(harvested.manifest.new_repositories.len(), 1);
}

#[test]
fn links_and_borrowed_objects_lead_nowhere() {
    let world = World::with_repository();
    let base = world.hand_off();
    let tree = world.tree();
    write(&world.path("outside/canary"), CANARY);
    let outside = world.path("outside");
    // An object that only another repository has, which the alternates point to.
    git(&outside, &["init", "-q"]);
    commit(&outside, "canary");
    let foreign = git(&outside, &["rev-parse", "HEAD:canary"]).trim_end().to_owned();
    let foreign_commit = git(&outside, &["rev-parse", "HEAD"]).trim_end().to_owned();
    symlink(outside.join("canary"), tree.join("link-to-file")).expect("link");
    symlink(&outside, tree.join("link-to-directory")).expect("link");
    fs::remove_file(tree.join("b.txt")).expect("remove");
    symlink(outside.join("canary"), tree.join("b.txt")).expect("link");
    fs::remove_dir_all(tree.join("dir")).expect("remove");
    symlink(&outside, tree.join("dir")).expect("link");
    symlink(outside.join("canary"), tree.join(".gitignore")).expect("link");
    write(&tree.join(".git/objects/info/alternates"), "/etc\n../../../../../etc\n");
    symlink(outside.join("canary"), tree.join(".git/MERGE_HEAD")).expect("link");
    let harvested = world.harvest(&base);
    assert_no_canary(&world, &harvested);
    assert!(harvested.manifest.repositories.is_empty(), "MERGE_HEAD is a link");
    assert!(harvested.entry("dir/c.txt").is_none(), "what is behind a link is not in the tree");
    fs::remove_file(tree.join(".git/MERGE_HEAD")).expect("remove");
    write(
        &tree.join(".git/objects/info/alternates"),
        format!("{}/.git/objects\n", outside.display()),
    );
    git(&tree, &["update-ref", "refs/heads/borrowed", &foreign_commit]);
    let harvested = world.harvest(&base);
    assert_no_canary(&world, &harvested);
    assert_eq!(harvested.manifest.repositories.len(), 1, "{:?}", harvested.notes);
    assert!(harvested.has_note("refs/heads/borrowed"), "{:?}", harvested.notes);
    assert!(!harvested.bytes.windows(foreign.len()).any(|w| w == foreign.as_bytes()));
    for name in ["objects", "refs", "index", "packed-refs"] {
        let path = tree.join(".git").join(name);
        let aside = world.path("aside");
        if path.exists() {
            fs::rename(&path, &aside).expect("rename");
        }
        symlink(outside.join("canary"), &path).expect("link");
        let harvested = world.harvest(&base);
        assert_no_canary(&world, &harvested);
        assert!(harvested.manifest.repositories.is_empty(), "{name} is a link");
        fs::remove_file(&path).expect("remove");
        if aside.exists() {
            fs::rename(&aside, &path).expect("rename");
        }
    }
}

#[test]
fn a_git_directory_elsewhere_is_not_looked_into() {
    let world = World::with_repository();
    let base = world.hand_off();
    let tree = world.tree();
    let outside = world.path("outside");
    write(&outside.join("canary"), CANARY);
    git(&outside, &["init", "-q", "-b", "canary"]);
    commit(&outside, "canary");
    let trap = Trap::new(&world);
    trap.set(&outside.join(".git"));
    fs::rename(tree.join(".git"), tree.join("moved")).expect("rename");
    let pointers: [&dyn Fn(); 3] = [
        &|| symlink(outside.join(".git"), tree.join(".git")).expect("link"),
        &|| write(&tree.join(".git"), format!("gitdir: {}/.git\n", outside.display())),
        &|| write(&tree.join(".git"), "gitdir: ../../outside/.git\n"),
    ];
    for point in pointers {
        point();
        let harvested = world.harvest(&base);
        assert!(harvested.manifest.repositories.is_empty());
        assert_no_canary(&world, &harvested);
        assert!(harvested.entry("a.txt").is_some());
        fs::remove_file(tree.join(".git")).expect("remove");
    }
    trap.assert_untouched();
}

#[test]
fn what_is_no_file_is_left_out_by_name_and_the_rest_returns() {
    let world = World::with_repository();
    let base = world.hand_off();
    let tree = world.tree();
    mknodat(CWD, tree.join("a pipe [*]"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)
        .expect("fifo");
    fs::remove_file(tree.join("a.txt")).expect("remove");
    mknodat(CWD, tree.join("a.txt"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("fifo");
    let _listener = UnixListener::bind(tree.join("dir/socket")).expect("socket");
    mknodat(CWD, tree.join(".git/HEAD.pipe"), FileType::Fifo, Mode::RUSR, 0).expect("fifo");
    for number in 0..40 {
        let path = tree.join(format!("pipes/{number}"));
        write(&path, "");
        fs::remove_file(&path).expect("remove");
        mknodat(CWD, &path, FileType::Fifo, Mode::RUSR, 0).expect("fifo");
    }
    write(&tree.join("kept"), "x");
    let harvested = world.harvest(&base);
    assert!(harvested.entry("kept").is_some());
    assert!(harvested.entry("a.txt").is_none());
    assert!(harvested.has_note("left out `a pipe [*]`: is a named pipe"), "{:?}", harvested.notes);
    assert!(harvested.has_note("left out `dir/socket`: is a socket"));
    assert_eq!(harvested.notes.iter().filter(|note| note.contains("named pipe")).count(), 42);
    assert_eq!(harvested.manifest.repositories.len(), 1);
}

#[test]
fn pipes_in_the_git_directory_block_nobody() {
    for name in [
        "HEAD",
        "index",
        "packed-refs",
        "MERGE_HEAD",
        "refs/heads/x",
        "shallow",
        "info/exclude",
        "objects/info/alternates",
        "objects/pack/pack-1234567890123456789012345678901234567890.idx",
        "objects/00/34567890123456789012345678901234567890",
    ] {
        let world = World::with_repository();
        let base = world.hand_off();
        let path = world.tree().join(".git").join(name);
        fs::create_dir_all(path.parent().expect("parent")).expect("directory");
        fs::remove_file(&path).unwrap_or_default();
        mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("fifo");
        let harvested = world.harvest(&base);
        assert!(harvested.entry("a.txt").is_some(), "{name}");
        drop(world);
    }
}

#[test]
fn names_of_any_bytes_return_and_no_note_acts_on_a_terminal() {
    let world = World::with_repository();
    let base = world.hand_off();
    let odd = OsStr::from_bytes(b"odd\xff\x1b]0;x\x07\n*");
    write(&world.tree().join(odd), "odd");
    let pipe = OsStr::from_bytes(b"pipe\xfe\x1b[2J\n");
    mknodat(CWD, world.tree().join(pipe), FileType::Fifo, Mode::RUSR, 0).expect("fifo");
    write(&world.tree().join("GIT~1/x"), "some file system takes this for .git");
    let harvested = world.harvest(&base);
    assert!(harvested.manifest.entries.iter().any(|e| e.path.as_bytes() == odd.as_bytes()));
    assert!(harvested.has_note(r"left out `pipe\xfe\x1b[2J\n`"), "{:?}", harvested.notes);
    assert!(harvested.has_note("GIT~1"));
    assert!(harvested.notes.iter().all(|note| !note.contains(['\x1b', '\n'])));
}

#[test]
fn a_tree_too_deep_for_a_path_is_cut_off_where_paths_end() {
    let world = World::in_memory().initialised();
    let base = world.hand_off();
    let flags = OFlags::RDONLY | OFlags::DIRECTORY;
    let mut at = openat(CWD, world.tree(), flags, Mode::empty()).expect("open");
    for _ in 0..10_000 {
        mkdirat(&at, "d", Mode::RWXU).expect("mkdir");
        at = openat(&at, "d", flags, Mode::empty()).expect("open");
    }
    let harvested = world.harvest(&base);
    assert!(harvested.entry("a.txt").is_some());
    assert!(harvested.manifest.entries.len() > 1000);
    assert!(harvested.has_note("is longer than 4095 bytes"), "{:?}", harvested.notes.len());
    assert_eq!(harvested.manifest.repositories.len(), 1);
}

#[test]
fn closed_directories_cost_only_what_is_in_them() {
    if rustix::process::geteuid().is_root() {
        eprintln!(
            "skipped: nothing is closed to root; in the jail the harvester is an ordinary user"
        );
        return;
    }
    let world = World::with_repository();
    let base = world.hand_off();
    for (name, mode) in [("shut", 0o000), ("listed", 0o444), ("entered", 0o111)] {
        write(&world.tree().join(name).join("file"), "x");
        fs::set_permissions(world.tree().join(name), fs::Permissions::from_mode(mode))
            .expect("chmod");
    }
    write(&world.tree().join("unreadable"), "x");
    fs::set_permissions(world.tree().join("unreadable"), fs::Permissions::from_mode(0o000))
        .expect("chmod");
    let harvested = world.harvest(&base);
    assert!(harvested.entry("a.txt").is_some());
    for name in ["shut", "listed", "entered", "unreadable"] {
        assert!(harvested.has_note(name), "{name}: {:?}", harvested.notes);
    }
}

#[test]
fn a_sparse_file_of_the_largest_kind_is_a_limit_and_not_a_hang() {
    // Hashing holes is slow, so this is a small one; the limit is what ends a large one.
    let world = World::with_repository();
    let base = world.hand_off();
    let file = fs::File::create(world.tree().join("sparse")).expect("create");
    file.set_len(64 << 20).expect("length");
    let collection = world.collect();
    let bytes = crate::world::bundle(&collection);
    let limits = handoff_daemon::harvest::IngestLimits::of_run(&base, 32 << 20);
    let known = world.blobs.len();
    handoff_daemon::harvest::ingest(
        bytes.as_slice(),
        &world.blobs,
        &world.user,
        &base,
        None,
        &limits,
    )
    .expect_err("over the limit");
    assert_eq!(world.blobs.len(), known);
}

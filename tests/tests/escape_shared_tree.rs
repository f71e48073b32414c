//! Attempt: change, through a run's tree, what other runs get theirs from.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use handoff_sandbox::{Access, Overlay, Step};
use handoff_tests::escape::{Act, Caller, Jail, Lab, Live, USER, bash, call, doing};

/// Where the tree appears inside.
const TREE: &str = "/home/alice/src/app";

/// What a run may do with its own tree, and what would change the base if it could be reached by
/// this path.
fn changes(tree: &str) -> Vec<Act> {
    let at = |name: &str| format!("{tree}/{name}");
    vec![
        ("append", format!("open($a, '>>', '{}') && syswrite($a, 'x')", at("append"))),
        ("truncate", format!("truncate('{}', 1)", at("truncate"))),
        ("chmod", format!("chmod(0777, '{}')", at("chmod"))),
        ("chmod-directory", format!("chmod(0700, '{}')", at("directory"))),
        ("time", format!("utime(1, 1, '{}')", at("time"))),
        ("unlink", format!("unlink('{}')", at("unlink"))),
        ("rename", format!("rename('{}', '{}')", at("rename"), at("renamed"))),
        ("replace", format!("rename('{}', '{}')", at("renamed"), at("replace"))),
        ("rename-directory", format!("rename('{}', '{}')", at("directory"), at("moved"))),
        ("beneath", format!("open($b, '>', '{}')", at("moved/deep/file"))),
        ("new", format!("open($c, '>', '{}')", at("moved/new"))),
        ("link", format!("link('{}', '{}')", at("link"), at("linked"))),
        ("through-link", format!("open($d, '>>', '{}') && syswrite($d, 'x')", at("linked"))),
        ("symlink", format!("unlink('{0}') && symlink('append', '{0}')", at("symlink"))),
        // A descriptor that was for reading, made one for writing.
        (
            "reopen",
            format!(
                "open($r, '<', '{}') && open($w, '+<', '/proc/self/fd/' . fileno($r)) \
                 && syswrite($w, 'x')",
                at("reopen")
            ),
        ),
        (
            "chmod-descriptor",
            format!("open($s, '<', '{}') && chmod(0777, '/proc/self/fd/' . fileno($s))", at("fd")),
        ),
    ]
}

const FILES: [&str; 10] =
    ["append", "truncate", "chmod", "time", "unlink", "rename", "replace", "link", "reopen", "fd"];

/// Lays out a tree as a daemon does: nobody but its user gets at it.
fn lay_out(top: &Path, owner: u32) {
    fs::create_dir_all(top.join("tree/directory/deep")).expect("directories");
    for name in FILES.iter().copied().chain(["directory/deep/file"]) {
        fs::write(top.join("tree").join(name), format!("content of {name}\n")).expect("write");
    }
    symlink("append", top.join("tree/symlink")).expect("link");
    for path in found(top) {
        std::os::unix::fs::lchown(path, Some(owner), Some(owner)).expect("own");
    }
    fs::set_permissions(top, fs::Permissions::from_mode(0o700)).expect("mode");
}

/// Everything at and beneath a path, parents first.
fn found(top: &Path) -> Vec<PathBuf> {
    let mut all = vec![top.to_owned()];
    if top.symlink_metadata().expect("exists").is_dir() {
        let mut names: Vec<_> =
            fs::read_dir(top).expect("list").map(|entry| entry.expect("entry").path()).collect();
        names.sort();
        all.extend(names.iter().flat_map(|path| found(path)));
    }
    all
}

/// All that is known of a tree, to the last bit: no attribute changes without the change time.
fn state(top: &Path) -> String {
    let mut state = String::new();
    for path in found(top) {
        let meta = path.symlink_metadata().expect("look");
        let content = if meta.is_file() { fs::read(&path).expect("read") } else { Vec::new() };
        writeln!(
            state,
            "{path:?} {:o} {}:{} ino {} links {} size {} mtime {}.{} ctime {}.{} {content:?} {:?}",
            meta.mode(),
            meta.uid(),
            meta.gid(),
            meta.ino(),
            meta.nlink(),
            meta.size(),
            meta.mtime(),
            meta.mtime_nsec(),
            meta.ctime(),
            meta.ctime_nsec(),
            fs::read_link(&path).ok(),
        )
        .expect("write to a string");
    }
    state
}

/// A jail whose tree is an overlay on a base.
fn on_base<'a>(lab: &'a Lab, name: &str, base: &Path) -> Jail<'a> {
    let changes = lab.directory_of_run(&format!("{name}-changes"));
    for part in [Overlay::UPPER, Overlay::WORK] {
        let path = changes.join(part);
        fs::create_dir(&path).expect("directory");
        // The kernel's own is root's.
        let owner = if part == Overlay::UPPER { lab.host_uid() } else { 0 };
        chown(&path, Some(owner), Some(owner)).expect("own");
    }
    let mut jail = lab.jail(name);
    jail.spec.mounts.retain(|mount| mount.target != Path::new(TREE));
    jail.spec.overlays.push(Overlay {
        lowers: vec![base.join("tree")],
        changes,
        target: TREE.into(),
        access: Access::ReadWrite,
    });
    jail
}

/// Prints names and contents, sorted.
const SHOW: &str = "find . -mindepth 1 | sort; find . -type f | sort | xargs cat";

#[test]
fn as_root() {
    let lab = Lab::new(env!("CARGO_BIN_EXE_jail"), Caller::Root);
    let (base, control) = (lab.path("base"), lab.path("control"));
    lay_out(&base, 0);
    lay_out(&control, 0);
    let before = state(&base);
    // Outside, each of these changes a tree like the base.
    let (tree, was) = (control.join("tree"), state(&control));
    let acts = changes(tree.to_str().expect("text"));
    let outside = lab.outside(&doing(&acts));
    acts.iter().for_each(|(name, _)| outside.says(name, "ok"));
    assert_ne!(state(&control), was);
    let original = on_base(&lab, "before", &base).run(&bash(SHOW)).succeeded().to_owned();

    // Inside, the run changes its own tree in every one of these ways, and only that.
    let acts = changes(TREE);
    let inside = on_base(&lab, "changes", &base).run(&doing(&acts));
    acts.iter().for_each(|(name, _)| inside.says(name, "ok"));
    assert_eq!(state(&base), before, "bit for bit");
    let upper = lab.path("changes-changes").join(Overlay::UPPER);
    assert!(upper.join("moved/new").is_file(), "what it did is beside the base");

    around(&lab, &base, &tree);
    assert_eq!(state(&base), before, "bit for bit");
    let later = on_base(&lab, "later", &base).run(&bash(SHOW));
    assert_eq!(later.succeeded(), original, "a later run sees the original");
    assert!(original.contains("content of directory/deep/file"), "{original}");
}

/// Ways around the overlay; outside each of them works.
fn around(lab: &Lab, base: &Path, control: &Path) {
    let append = |name, path: &str| (name, format!("open($f, '>>', '{path}/tree/append')"));
    let whiteout = |tree: &str| {
        call("whiteout", libc::SYS_mknod, &format!("text('{tree}/white'), {}, 0", libc::S_IFCHR))
    };
    // Lets a directory of the layer on top show another one of those below.
    let redirect = |directory: &str| {
        let name = "text('trusted.overlay.redirect')";
        let arguments = format!("text('{directory}'), {name}, text('/'), 1, 0");
        call("redirect", libc::SYS_setxattr, &arguments)
    };
    let [host, tree] = [base, control].map(|path| path.to_str().expect("text"));
    let outside = lab.outside(&doing(&[
        append("path", host),
        append("root", &format!("/proc/self/root{host}")),
        ("link-out", format!("link('{tree}/link', '{tree}/../out')")),
        whiteout(tree),
        redirect(&format!("{tree}/moved")),
    ]));
    for name in ["path", "root", "link-out", "whiteout", "redirect"] {
        outside.says(name, "ok");
    }
    // The kernel tells where it found the layers, which is nowhere any more.
    let layer = on_base(lab, "told", base).run(&bash(
        "grep -o 'lowerdir[+]*=[^,: ]*' /proc/self/mountinfo | head -n 1 | cut -d= -f2",
    ));
    let layer = layer.succeeded().trim_end();
    assert!(layer.starts_with('/'), "{layer:?}");
    let inside = on_base(lab, "around", base).run(&doing(&[
        append("path", host),
        append("root", &format!("/proc/self/root{host}")),
        append("root-of-init", &format!("/proc/1/root{host}")),
        append("parent", &format!("/proc/self/cwd/../../../..{host}")),
        ("layer", format!("open($f, '>>', '{layer}/append')")),
        ("link-out", format!("link('{TREE}/link', '/home/alice/out')")),
        whiteout(TREE),
        redirect(&format!("{TREE}/directory")),
    ]));
    for (name, errno) in [
        ("path", "ENOENT"),
        ("root", "ENOENT"),
        ("root-of-init", "EACCES"),
        ("parent", "ENOENT"),
        ("layer", "ENOENT"),
        ("link-out", "EXDEV"),
        // Landlock is asked before the overlay, which would say EPERM.
        ("whiteout", "EACCES"),
        ("redirect", "EPERM"),
    ] {
        inside.says(name, errno);
    }
}

#[test]
fn two_runs_at_once_see_their_own_changes_only() {
    let lab = Lab::new(env!("CARGO_BIN_EXE_jail"), Caller::Root);
    let base = lab.path("base");
    lay_out(&base, 0);
    let before = state(&base);
    let start = |name: &'static str, script: &str| {
        let gate = lab.directory_of_run(&format!("{name}-gate"));
        let made = Command::new("mkfifo").arg("-m").arg("666").arg(gate.join("go")).status();
        assert!(made.expect("mkfifo").success());
        let jail = on_base(&lab, name, &base).mount(&gate, "/opt/gate", Access::ReadOnly);
        let script =
            format!("set -e; {script}; echo wrote; read go < /opt/gate/go; {SHOW}; echo end");
        (jail.start(&bash(&script)), gate.join("go"))
    };
    let mut first = start("first", "echo first > append; mv directory moved; rm link");
    let mut second = start("second", "echo second > append; echo more > directory/deep/file");
    // Both have written before either looks.
    assert_eq!([first.0.line(), second.0.line()], ["wrote", "wrote"]);
    let see = |(run, gate): &mut (Live, PathBuf)| {
        fs::write(gate, "go\n").expect("let it look");
        let lines: Vec<String> =
            std::iter::from_fn(|| Some(run.line()).filter(|line| line != "end")).collect();
        lines.join("\n")
    };
    let [seen_by_first, seen_by_second] = [see(&mut first), see(&mut second)];
    let all = ["first", "second", "more", "./moved", "./directory", "./link", "content of link"];
    for (seen, expected) in [
        (&seen_by_first, ["first", "./moved"].as_slice()),
        (&seen_by_second, &["second", "more", "./directory", "./link", "content of link"]),
    ] {
        let lines: Vec<&str> = seen.lines().collect();
        let found: Vec<_> = all.into_iter().filter(|line| lines.contains(line)).collect();
        assert_eq!(found, expected, "{seen}");
    }
    for (run, _) in [first, second] {
        drop(run.kill());
    }
    assert_eq!(state(&base), before, "bit for bit");
}

#[test]
fn as_an_ordinary_user() {
    let lab = Lab::new(env!("CARGO_BIN_EXE_jail"), Caller::User);
    // No overlay, so nothing is shared by one.
    let base = lab.path("base");
    lay_out(&base, USER);
    let outcome = on_base(&lab, "refused", &base).run(&bash("echo ran"));
    assert_eq!(outcome.refusal().step, Step::Source);
    assert_eq!(outcome.stdout, "");

    // What its trees share blocks with is beside them and has the run's own uid: only what the run
    // sees keeps it from there.
    let original = lab.directory_of_run("originals").join("original");
    fs::write(&original, "original").expect("write");
    chown(&original, Some(USER), Some(USER)).expect("own");
    let reach = |name, path: &str| -> Act {
        // Either would do.
        (name, format!("chmod(0600, '{path}') || open($f, '>>', '{path}')"))
    };
    let host = original.to_str().expect("text");
    let jail = lab.jail("ways");
    let outside = lab.outside(&doing(&[
        reach("path", host),
        reach("root", &format!("/proc/self/root{host}")),
        reach("parent", &format!("/proc/self/cwd/../../../..{host}")),
        reach("beside", &format!("{}/../originals/original", lab.path("ways-ws").display())),
    ]));
    let before = state(&original);
    let inside = jail.run(&doing(&[
        reach("path", host),
        reach("root", &format!("/proc/self/root{host}")),
        reach("parent", &format!("/proc/self/cwd/../../../..{host}")),
        reach("beside", "../originals/original"),
    ]));
    for way in ["path", "root", "parent", "beside"] {
        outside.says(way, "ok");
        inside.says(way, "ENOENT");
    }
    assert_eq!(state(&original), before, "bit for bit");
}

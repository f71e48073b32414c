//! Attempt: take over the terminal of whoever looks at a run, through everything that is shown.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

use handoff_tests::terminal::{acts, on_terminal};
use handoff_tests::world::World;

/// Escape sequences, C1 controls as UTF-8 and as bytes, a new title, the clipboard, backspaces,
/// direction overrides, a second line.
const HOSTILE: &[u8] =
    b"x\x1b[2J\xc2\x9b31m\x9b1m\x1b]0;t\x07\x1b]52;c;aA==\x1b\\\x08\x08\xe2\x80\xaey\xe2\x81\xa6\r\nerror: z\xff";

fn hostile(prefix: &str) -> Vec<u8> {
    [prefix.as_bytes(), HOSTILE].concat()
}

#[test]
fn nothing_that_a_run_chose_acts_upon_a_terminal() {
    let world = World::new();
    let parent = world.directory("projects");
    let directory = parent.join(OsStr::from_bytes(&hostile("app")));
    std::fs::create_dir(&directory).expect("directory");
    world.git(&directory, &["init", "-q"]);
    world.write(&directory.join("file"), "before\n");
    world.write(&directory.join(OsStr::from_bytes(&hostile("carried"))), "before\n");
    world.git(&directory, &["add", "."]);
    world.git(&directory, &["commit", "-q", "-m", "first"]);

    // What the run leaves has such names and such content, and it says such things.
    let script = b"printf \"$1\"; printf \"$1\" >&2; printf \"$1\" > file; \
        for name in new carried; do echo x > \"$name$0\"; done; \
        ln -s \"$0\" \"link$0\"; mkfifo \"pipe$0\"; chmod +x file; \
        git branch \"$(printf 'b\\342\\200\\256x')\"; exit 3";
    let format: Vec<u8> =
        HOSTILE.iter().flat_map(|byte| format!("\\{byte:03o}").into_bytes()).collect();
    let words: Vec<&OsStr> = [b"bash".as_slice(), b"-c", script, HOSTILE, &format]
        .into_iter()
        .map(OsStr::from_bytes)
        .collect();
    let mut command = vec![OsStr::new("--")];
    command.extend(words);
    let id = world.hand_off(&directory, &command);
    let run = world.finished(&directory, &id);
    assert_eq!(run["exit_code"], 3, "{run:#}");

    let show = |args: &[&[u8]]| {
        let mut command = world.command(&directory, "handoff");
        command.args(args.iter().map(|arg| OsStr::from_bytes(arg)));
        on_terminal(&mut command)
    };
    // The control: a terminal that is told all of it acts.
    let raw = on_terminal(world.command(&directory, "printf").arg(OsStr::from_bytes(&format)));
    assert!(!acts(&raw).is_empty(), "the search finds them");

    let id = id.as_bytes();
    let doors: [&[&[u8]]; 26] = [
        &[b"ls"],
        &[b"ls", b"--all"],
        &[b"ls", b"--json"],
        &[b"show", id],
        &[b"show", id, b"--json"],
        &[b"watch", id],
        &[b"watch", id, b"--json"],
        &[b"logs", id],
        &[b"logs", b"-f", id],
        &[b"logs", id, b"--json"],
        &[b"diff", id],
        &[b"diff", id, b"--stat"],
        &[b"diff", id, b"--json"],
        &[b"plan"],
        &[b"plan", b"--json"],
        &[b"plan", b"--", HOSTILE],
        &[b"doctor"],
        &[b"doctor", b"--json"],
        &[b"show", HOSTILE],
        &[b"show", HOSTILE, b"--json"],
        &[b"logs", HOSTILE],
        &[HOSTILE],
        &[b"-f", b"--", b"printf", &format],
        &[b"pull", id],
        &[b"pull", id, b"--json"],
        &[b"undo"],
    ];
    for door in doors {
        let shown = show(door);
        let words: Vec<_> = door.iter().map(|word| String::from_utf8_lossy(word)).collect();
        let found = acts(&shown);
        assert!(found.is_empty(), "{words:?}: {found:?} in {:?}", String::from_utf8_lossy(&shown));
        assert!(!shown.is_empty(), "{words:?} says something");
    }
    let mut doctor = world.command(&directory, "handoffd");
    doctor.arg("doctor").env("HANDOFFD_STATE", world.local_daemon());
    let shown = on_terminal(&mut doctor);
    assert!(acts(&shown).is_empty() && !shown.is_empty(), "{:?}", String::from_utf8_lossy(&shown));
}

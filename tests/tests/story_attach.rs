//! A terminal on a run: typed at, left, come back to, looked at by several.

use handoff_tests::{remote::Remote, terminal::Seat, world::World};

/// Keys that detach.
const DETACH: &str = "\x1cd";

fn shell(world: &World, name: &str) -> std::path::PathBuf {
    let tree = world.directory(name);
    let id = world.hand_off(&tree, ["--tty", "-n", name, "bash", "--norc", "-i"]);
    assert!(!id.is_empty());
    tree
}

fn attach(world: &World, tree: &std::path::Path, args: &[&str]) -> Seat {
    Seat::handoff(world, tree, &[&["attach"], args].concat())
}

#[test]
fn a_shell_is_typed_at_left_and_come_back_to() {
    let world = World::new();
    let tree = shell(&world, "sh");
    let mut seat = attach(&world, &tree, &["sh"]);
    seat.until("attached to sh");
    // What is typed is shown, too: the quotes tell it from what a command prints.
    seat.types("tty; stty size\r");
    seat.until("/dev/pts/0\r\n24 80\r\n");
    seat.resize(31, 99);
    seat.types("while [ \"$(stty size)\" != '31 99' ]; do :; done; echo lar''ger\r");
    seat.until("larger");
    // What is interrupted has begun to be the terminal's foreground when it says so.
    seat.types("sh -c \"echo be''gun; exec sleep 1000\"; echo not''hing\r");
    seat.until("begun");
    seat.types("\x03");
    seat.types("echo st''ill here $?\r");
    seat.until("still here 130");
    assert!(!seat.is_cooked());
    assert!(!seat.shown().contains("nothing"));
    seat.types(DETACH);
    seat.until("detached from sh, which goes on; `handoff attach sh` comes back");
    assert_eq!(seat.ends(), 0);

    let mut again = attach(&world, &tree, &["sh"]);
    // The last screens are there again.
    again.until("still here 130");
    again.types("stty size; exit 3\r");
    again.until("24 80\r\n");
    again.until("command of sh has ended");
    again.until("run sh: failed");
    assert_eq!(again.ends(), 3);

    let watched = world.handoff(&tree, ["watch", "sh"]);
    let events = String::from_utf8(watched.stdout).expect("text");
    for event in ["sits at its terminal", "left its terminal", "finished: failed"] {
        assert!(events.contains(event), "{events}");
    }
    let logs = world.handoff(&tree, ["logs", "sh"]).ok();
    assert!(logs.contains("still here 130\r\n"), "raw to a pipe: {logs:?}");
    world.handoff(&tree, ["attach", "sh"]).fails(2, &["needs a terminal", "handoff logs -f"]);
    let mut late = attach(&world, &tree, &["sh"]);
    late.until("command of run sh has ended");
    late.until("handoff logs");
    assert_eq!(late.ends(), 5);
}

#[test]
fn several_look_and_one_types() {
    let world = World::new();
    let tree = shell(&world, "shared");
    let mut writer = attach(&world, &tree, &["shared"]);
    writer.until("attached to shared");
    let mut looker = attach(&world, &tree, &["--watch", "shared"]);
    looker.until("looking at shared");
    looker.types("echo not''hing\r");
    writer.types("echo for''both\r");
    writer.until("forboth");
    looker.until("forboth");

    let mut second = attach(&world, &tree, &["shared"]);
    second.until("somebody else sits at the terminal of run shared");
    second.until("--take-over");
    assert_eq!(second.ends(), 5);
    let mut second = attach(&world, &tree, &["--take-over", "shared"]);
    second.until("attached to shared");
    writer.until("somebody else has taken the keyboard");
    second.types("echo from''second\r");
    second.until("fromsecond");
    writer.until("fromsecond");
    looker.until("fromsecond");
    // Whoever only looks leaves like this, too.
    for looks in [&mut looker, &mut writer] {
        looks.types("\x03");
        looks.until("detached from shared");
        assert_eq!(looks.ends(), 0);
        assert!(!looks.shown().contains("nothing"));
    }
    second.types("exit\r");
    second.until("run shared: succeeded");
    assert_eq!(second.ends(), 0);
}

#[test]
fn a_daemon_that_is_killed_takes_no_terminal_with_it() {
    let world = World::new();
    let tree = shell(&world, "kept");
    let mut seat = attach(&world, &tree, &["kept"]);
    seat.until("attached to kept");
    seat.types("x=sur''vived\r");
    seat.types("echo rea''dy\r");
    seat.until("ready");
    world.kill_daemon();
    seat.until("trying again");
    seat.until("what was typed meanwhile is lost");
    seat.until("attached to kept");
    seat.types("echo it $x\r");
    seat.until("it survived");
    seat.types("exit\r");
    seat.until("run kept: succeeded");
    assert_eq!(seat.ends(), 0);
    // Two connections of one attachment are nobody's coming and going.
    let events = world.handoff(&tree, ["watch", "kept"]).ok();
    assert_eq!(events.matches("sits at its terminal").count(), 1, "{events}");
}

#[test]
fn programs_that_draw_work_and_the_terminal_is_put_back() {
    let mut world = World::new();
    world.set("TERM", "xterm-256color");
    let tree = world.directory("drawn");
    let lines: String = (1..=500).map(|line| format!("line {line}.\n")).collect();
    world.write(&tree.join("text"), lines);
    let id = world.hand_off(&tree, ["--tty", "-n", "drawn", "less", "text"]);
    let mut seat = attach(&world, &tree, &[&id]);
    // It asks with the file's name, or draws once more for the size of the window and asks then.
    seat.until("line 23.\r\n");
    seat.types_until("G", "line 500.");
    seat.types(DETACH);
    seat.until("\x1b[?1049l");
    seat.until("detached from drawn");
    assert_eq!(seat.ends(), 0);
    let mut seat = attach(&world, &tree, &[&id]);
    seat.until("line 500.");
    seat.types_until("q", "run drawn: succeeded");
    assert_eq!(seat.ends(), 0);
}

#[test]
fn our_terminal_is_put_back_when_we_are_ended() {
    let world = World::new();
    let tree = shell(&world, "ended");
    let mut seat = attach(&world, &tree, &["ended"]);
    seat.until("attached to ended");
    seat.types("printf '\\033[?25lhid''den'\r");
    seat.until("hidden");
    assert!(!seat.is_cooked());
    let process = i32::try_from(seat.process()).ok().and_then(rustix::process::Pid::from_raw);
    rustix::process::kill_process(process.expect("pid"), rustix::process::Signal::TERM)
        .expect("signal");
    seat.until("\x1b[?25h");
    seat.until("detached from ended");
    assert!(seat.is_cooked());
    assert_eq!(seat.ends(), 130);
    // A shell at a terminal does not care for being asked to end, only for its terminal.
    world.handoff(&tree, ["stop", "ended"]).ok();
    assert_eq!(world.finished(&tree, "ended")["outcome"], "cancelled");
}

#[test]
fn what_would_reach_beyond_the_screen_does_not() {
    let world = World::new();
    let tree = world.directory("hostile");
    let script = "printf 'a\\033]52;c;aGVsbG8=\\007b\\033]0;title\\033\\\\c\\033[6nd\\033[>qe'; \
                  printf '\\033[31mred\\033[m\\n'; read -r line; echo \"got $line\"";
    let id = world.hand_off(&tree, ["--tty", "sh", "-c", script]);
    let mut seat = attach(&world, &tree, &[&id]);
    seat.until("abcde\x1b[31mred\x1b[m\r\n");
    seat.types("it\r");
    seat.until("got it");
    assert_eq!(seat.ends(), 0);
    assert!(!seat.shown().contains("\x1b]"), "{:?}", seat.shown());
    // Followed on a terminal, it is drawn by the same rules.
    let mut followed =
        Seat::handoff(&world, &tree, &["-f", "sh", "-c", "tty; printf 'a\\033[6nb\\033[2Kc\\n'"]);
    followed.until("/dev/pts/0");
    followed.until("ab\x1b[2Kc");
    assert_eq!(followed.ends(), 0);
    let mut plain = Seat::handoff(&world, &tree, &["-f", "--no-tty", "sh", "-c", "tty; echo end"]);
    plain.until("not a tty");
    assert_eq!(plain.ends(), 0);
}

#[test]
fn runs_without_a_terminal_and_of_others_are_nobodys_to_attach_to() {
    let world = World::new();
    let tree = world.directory("plain");
    let id = world.hand_off(&tree, ["-n", "plain", "sleep", "1000"]);
    let mut seat = attach(&world, &tree, &["plain"]);
    seat.until("run plain has no terminal");
    seat.until("handoff logs -f");
    assert_eq!(seat.ends(), 2);
    world.handoff(&tree, ["stop", &id]).ok();
    let mut seat = attach(&world, &tree, &["nobody"]);
    assert_eq!(seat.ends(), 8);
    world.handoff(&tree, ["--tty", "--no-tty", "true"]).fails(2, &["--no-tty"]);
    world.handoff(&tree, ["--tty", "claude", "fix it"]).fails(2, &["has no terminal"]);
}

#[test]
fn other_users_and_those_who_were_shut_out_have_no_terminal() {
    let (ada, bob, remote) = (World::new(), World::new(), Remote::start());
    for (world, user) in [(&ada, "ada"), (&bob, "bob")] {
        let invitation = remote.invite(user, &[]);
        world.handoff(&world.home(), ["remote", "add", "box", &invitation]).ok();
    }
    let tree = ada.directory("hers");
    let shell = ["-r", "box", "-n", "hers", "--tty", "bash", "--norc", "-i"];
    let id = ada.hand_off(&tree, shell);
    let mut seat = attach(&ada, &tree, &["hers"]);
    seat.until("attached to hers");
    for args in [["-r", "box", &id], ["-r", "box", "hers"]] {
        let mut other = attach(&bob, &bob.home(), &args);
        assert_eq!(other.ends(), 8, "{}", other.shown());
    }
    remote.admin(&["user", "revoke", "ada"]).ok();
    seat.until("this device was revoked");
    assert!(seat.is_cooked());
    assert_eq!(seat.ends(), 7);
    let again = remote.invite("ada", &[]);
    ada.handoff(&tree, ["remote", "rm", "box"]).ok();
    ada.handoff(&tree, ["remote", "add", "box", &again]).ok();
    ada.handoff(&tree, ["stop", &id]).ok();
    assert_eq!(ada.finished(&tree, &id)["outcome"], "cancelled");
}

//! Commands on a terminal: typed at, resized and read by whoever is attached.

use handoff_daemon::supervisor::{AttachError, Ended, Found, Job, Terminal};
use handoff_sandbox::{ExitStatus, TerminalSize};

use crate::scene::{Scene, last, text, within};

fn on_terminal(scene: &Scene, script: &str) -> Job {
    let mut job = scene.job(script);
    for step in &mut job.steps {
        step.spec.terminal = Some(TerminalSize { rows: 24, columns: 80 });
    }
    job
}

async fn find(scene: &Scene, name: &str) -> Found {
    within(Terminal::find(&scene.job_dir, name)).await.expect("find")
}

async fn terminal(scene: &Scene) -> Terminal {
    find(scene, "ada").await.terminal
}

#[tokio::test]
async fn a_command_has_a_terminal_that_shows_what_is_typed() {
    let scene = Scene::new();
    let script = "tty; stty size; echo error >&2; read line; echo got $line; stty size; \
                  [ -t 0 ] && [ -t 1 ] && [ -t 2 ] && echo three > /dev/tty";
    let mut attached = scene.begin(&on_terminal(&scene, script)).await;
    scene.wait_for(&mut attached, "error").await;
    let mut terminal = terminal(&scene).await;
    terminal.resize(30, 100).await.expect("resize");
    terminal.type_keys(0, b"word\n").await.expect("type");
    assert_eq!(last(&mut attached).await.ended, Ended::Code { code: 0 });
    let output = scene.output().await;
    let shown = "/dev/pts/0\r\n24 80\r\nerror\r\nword\r\ngot word\r\n30 100\r\nthree\r\n";
    assert_eq!(text(&output.stdout), shown);
    assert_eq!(text(&output.stderr), "");
    scene.check_nothing_left();
}

#[tokio::test]
async fn ctrl_c_interrupts_what_runs_in_front() {
    let scene = Scene::new();
    let mut attached = scene.begin(&on_terminal(&scene, "echo up; exec sleep 1000")).await;
    scene.wait_for(&mut attached, "up").await;
    terminal(&scene).await.type_keys(0, b"\x03").await.expect("type");
    assert_eq!(last(&mut attached).await.ended, Ended::Signal { signal: 2 });
    scene.check_nothing_left();
}

#[tokio::test]
async fn a_command_that_ignores_being_asked_hears_that_its_terminal_goes() {
    let scene = Scene::new();
    let script = "trap '' TERM; echo up; while :; do sleep 0.1; done";
    let mut attached = scene.begin(&on_terminal(&scene, script)).await;
    scene.wait_for(&mut attached, "up").await;
    attached.stop(std::time::Duration::from_secs(60)).await.expect("stop");
    let ended = Ended::Cancelled { status: Some(ExitStatus::Signal(1)) };
    assert_eq!(last(&mut attached).await.ended, ended);
    scene.check_nothing_left();
}

#[tokio::test]
async fn a_command_may_let_go_of_its_terminal_and_come_back() {
    let scene = Scene::new();
    let script = "exec <&- >&- 2>&-; sleep 0.3; exec > /dev/tty; echo back; (sleep 1000 &)";
    let (exit, output) = scene.run(&on_terminal(&scene, script)).await;
    assert_eq!(exit.ended, Ended::Code { code: 0 });
    assert_eq!(text(&output.stdout), "back\r\n");
    scene.check_nothing_left();
}

#[tokio::test]
async fn who_comes_late_is_told_where_the_last_screens_begin() {
    let scene = Scene::new();
    let script = "head -c 1000000 /dev/zero | tr '\\0' x; echo; read end";
    let mut attached = scene.begin(&on_terminal(&scene, script)).await;
    scene.wait_for(&mut attached, "\r\n").await;
    let Found { mut terminal, tail, .. } = find(&scene, "ada").await;
    assert!((700_000..1_000_000).contains(&tail.get()), "{tail:?}");
    let mut reader = handoff_daemon::supervisor::output::Reader::new(&scene.job_dir, tail);
    reader.next().await.expect("a place between records").expect("output");
    terminal.type_keys(0, b"\n").await.expect("type");
    assert_eq!(last(&mut attached).await.ended, Ended::Code { code: 0 });
}

/// A command that reads raw keys, and says how many came and what they hash to.
fn reads(len: usize) -> String {
    format!("stty raw -echo; echo up; head -c {len} | sha256sum; echo read")
}

#[tokio::test]
async fn a_long_paste_arrives_whole_over_connections_that_break() {
    let scene = Scene::new();
    let keys: Vec<u8> = (0..3_u32 << 20).map(|number| (number % 251) as u8).collect();
    let mut attached = scene.begin(&on_terminal(&scene, &reads(keys.len()))).await;
    scene.wait_for(&mut attached, "up").await;
    let len = keys.len() as u64;
    let mut typed = 0;
    while typed < len {
        // Another connection each time, by which some is sent that was sent before.
        let mut terminal = terminal(&scene).await;
        assert!(terminal.typed() >= typed, "what was told is never forgotten");
        typed = terminal.typed();
        let mut at = typed.saturating_sub(3000);
        let until = len.min(typed + (500 << 10));
        while at < until {
            let piece = (len - at).min(7000);
            let range = usize::try_from(at).expect("index")..;
            let piece_len = usize::try_from(piece).expect("length");
            within(terminal.type_keys(at, &keys[range][..piece_len])).await.expect("type");
            at += piece;
            if at - terminal.typed() > 200 << 10 {
                typed = within(terminal.more_typed()).await.expect("typed");
            }
        }
        if at == len {
            while typed < len {
                typed = within(terminal.more_typed()).await.expect("typed");
            }
        }
    }
    scene.wait_for(&mut attached, "read").await;
    let sum = std::process::Command::new("sh")
        .args([
            "-c",
            "perl -e 'print pack(\"C*\", map { $_ % 251 } 0 .. (3 << 20) - 1)' | sha256sum",
        ])
        .output()
        .expect("sha256sum");
    let shown = text(&scene.output().await.stdout);
    assert!(shown.contains(text(&sum.stdout).trim_end()), "{shown} {sum:?}");
    assert_eq!(last(&mut attached).await.ended, Ended::Code { code: 0 });
}

#[tokio::test]
async fn keys_for_which_there_was_no_room_are_asked_for_again() {
    let scene = Scene::new();
    let (before, keys) = (1 << 20, [vec![b'y'; 1 << 18], b"end".to_vec()].concat());
    let script = format!(
        "stty raw -echo; echo up; until [ \"$(stty size)\" = '30 100' ]; do :; done; \
         head -c {} >/dev/null; head -c 3",
        before + keys.len() - 3
    );
    let mut attached = scene.begin(&on_terminal(&scene, &script)).await;
    scene.wait_for(&mut attached, "up").await;
    let mut former = terminal(&scene).await;
    // A little of it is the terminal's: there is no room for more than that.
    within(former.type_keys(0, &vec![b'x'; before])).await.expect("type");
    while find(&scene, "ada").await.terminal.typed() < before as u64 {}
    let mut other = find(&scene, "bob").await.terminal;
    within(other.type_keys(5, &keys)).await.expect("type");
    within(other.resize(30, 100)).await.expect("resize");
    let refused = loop {
        if let Err(refused) = within(other.more_typed()).await {
            break refused;
        }
    };
    assert!(matches!(refused, AttachError::KeysRefused { .. }), "{refused}");
    let mut again = find(&scene, "bob").await.terminal;
    let taken = usize::try_from(again.typed() - 5).expect("index");
    within(again.type_keys(again.typed(), &keys[taken..])).await.expect("type");
    assert_eq!(last(&mut attached).await.ended, Ended::Code { code: 0 });
    assert!(text(&scene.output().await.stdout).ends_with("end"));
}

#[tokio::test]
async fn no_number_of_keys_is_too_large() {
    let scene = Scene::new();
    let mut attached = scene.begin(&on_terminal(&scene, "echo up; read line")).await;
    scene.wait_for(&mut attached, "up").await;
    let mut strange = find(&scene, "strange").await.terminal;
    within(strange.type_keys(u64::MAX, b"lost")).await.expect("type");
    assert_eq!(strange.told(), u64::MAX);
    terminal(&scene).await.type_keys(0, b"\n").await.expect("type");
    assert_eq!(last(&mut attached).await.ended, Ended::Code { code: 0 });
}

#[tokio::test]
async fn what_is_past_the_limit_is_shown_to_those_who_look() {
    let scene = Scene::new();
    let script = "echo up; while read word; do echo \"got $word\"; done";
    let mut job = on_terminal(&scene, script);
    job.output_limit_bytes = 10;
    let mut attached = scene.begin(&job).await;
    scene.wait_for(&mut attached, "up").await;
    let Found { mut terminal, mut looking, .. } = find(&scene, "ada").await;
    terminal.type_keys(0, b"one\ntwo\n\x04").await.expect("type");
    let (mut shown, mut after) = (Vec::new(), None);
    while let Some(unkept) = within(looking.next()).await {
        shown.extend(unkept.bytes);
        assert_eq!(unkept.skipped, 0);
        assert!(after.is_none_or(|after| after == unkept.after));
        after = Some(unkept.after);
    }
    let exit = last(&mut attached).await;
    assert_eq!(exit.ended, Ended::Code { code: 0 });
    let kept = scene.output().await.stdout;
    assert_eq!(kept.len(), 10);
    assert_eq!(Some(exit.output.end), after, "it comes behind all that is kept");
    let whole = text(&[kept, shown].concat());
    assert!(whole.contains("got one\r\n") && whole.ends_with("got two\r\n"), "{whole:?}");
}

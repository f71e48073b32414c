//! Output is kept whole, in order and within its limit, whoever reads it.

use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::path::Path;

use handoff_daemon::supervisor::output::{Position, Reader};
use handoff_daemon::supervisor::{
    AttachError, Ended, JobEvent, Remains, attach, create, start_with,
};

use crate::scene::{HANDOFFD, Output, Scene, WAIT, events, last, text, within};

#[tokio::test]
async fn output_is_whole_and_in_order_however_often_its_reader_comes_back() {
    let scene = Scene::new();
    let (batches, lines) = (10, 2000);
    let script = format!(
        "b=0; while [ $b -lt {batches} ]; do until [ -e go$b ]; do read _ < /dev/null; done; \
         i=0; while [ $i -lt {lines} ]; do echo out $b $i; echo err $b $i >&2; i=$((i+1)); done; \
         b=$((b+1)); done"
    );
    let mut attached = scene.begin(&scene.job(&script)).await;
    scene.let_go("go0");
    let (mut output, mut position, mut comings) = (Output::default(), Position::START, 0);
    let exit = loop {
        match within(attached.next_event()).await.expect("event") {
            JobEvent::Exited(exit) => break exit,
            JobEvent::Vanished => panic!("vanished"),
            JobEvent::Started(_) | JobEvent::OutputLimited | JobEvent::Egress(_) => continue,
            JobEvent::Output(_) => comings += 1,
        }
        // A new daemon: it knows nothing but the position that the old one had stored.
        let mut reader = Reader::new(&scene.job_dir, position);
        output.read_on(&mut reader).await;
        position = reader.position();
        attached = match attach(&scene.job_dir).await {
            Ok(attached) => attached,
            Err(AttachError::NotRunning(Remains::Exited(exit))) => break *exit,
            Err(error) => panic!("attach: {error}"),
        };
        scene.let_go(&format!("go{comings}"));
    };
    let mut reader = Reader::new(&scene.job_dir, position);
    output.read_on(&mut reader).await;
    assert_eq!(reader.position(), exit.output.end);
    assert_eq!(exit.ended, Ended::Code { code: 0 });
    assert!(comings >= batches, "the reader came back {comings} times");
    for (stream, bytes) in [("out", &output.stdout), ("err", &output.stderr)] {
        let batch = |b| (0..lines).map(move |i| format!("{stream} {b} {i}\n"));
        let expected: String = (0..batches).flat_map(batch).collect();
        assert!(text(bytes) == expected, "{stream} has {} bytes", bytes.len());
    }
    let kept_bytes = (output.stdout.len() + output.stderr.len()) as u64;
    assert_eq!((exit.output.kept_bytes, exit.output.dropped_bytes), (kept_bytes, 0));
    scene.check_nothing_left();
}

#[tokio::test]
async fn output_past_the_limit_is_dropped_and_the_command_goes_on() {
    let scene = Scene::new();
    let mut job = scene.job(&format!("{WAIT} head -c 3000000 /dev/zero | tr '\\0' x; exit 5"));
    job.output_limit_bytes = 1_000_001;
    let mut attached = scene.begin(&job).await;
    scene.go();
    let events = events(&mut attached).await;
    let limited = events.iter().filter(|event| **event == JobEvent::OutputLimited).count();
    assert_eq!(limited, 1, "{events:?}");
    let Some(JobEvent::Exited(exit)) = events.last() else { panic!("{events:?}") };
    assert_eq!(exit.ended, Ended::Code { code: 5 });
    assert_eq!((exit.output.kept_bytes, exit.output.dropped_bytes), (1_000_001, 1_999_999));
    assert_eq!(scene.output().await.stdout, vec![b'x'; 1_000_001]);
    scene.check_nothing_left();
}

#[tokio::test]
async fn a_command_can_open_its_own_streams() {
    let scene = Scene::new();
    let (exit, output) =
        scene.run(&scene.job("echo out > /dev/stdout; echo err > /dev/stderr")).await;
    assert_eq!(exit.ended, Ended::Code { code: 0 }, "{output:?}");
    assert_eq!((text(&output.stdout), text(&output.stderr)), ("out\n".into(), "err\n".into()));
}

#[tokio::test]
async fn one_that_does_not_read_holds_up_nobody() {
    let scene = Scene::new();
    create(&scene.job_dir, &scene.job(&format!("{WAIT} seq 300000"))).await.expect("create");
    start_with(Path::new(HANDOFFD), &scene.job_dir).await.expect("start");
    let mut deaf = UnixStream::connect(scene.job_dir.join("supervisor.sock")).expect("connect");
    deaf.write_all(b"{\"type\":\"attach\"}\n").expect("attach");
    let (mut one, mut other) = (
        attach(&scene.job_dir).await.expect("attach"),
        attach(&scene.job_dir).await.expect("attach"),
    );
    scene.go();
    let (one, other) = tokio::join!(last(&mut one), last(&mut other));
    assert_eq!(one, other);
    assert_eq!(one.ended, Ended::Code { code: 0 });
    let expected: String = (1..=300_000).map(|i| format!("{i}\n")).collect();
    assert!(text(&scene.output().await.stdout) == expected);
    drop(deaf);
    scene.check_nothing_left();
}

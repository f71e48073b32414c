//! What is left of originals where whoever makes them is killed.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use handoff_daemon::workspace::Originals;
use handoff_proto::chunk::{ChunkId, chunk_reader};

use super::disk::{Format, Tester, on_disk};
use super::world::{World, write};
use super::{DISK_BYTES, kept, noise, start};

/// Set in a child process: the state directory that it fills until it is killed.
const FILL: &str = "HANDOFF_TEST_FILL";

/// Starts runs of ever new trees until it is killed, and says so each time.
fn fill_originals(state: &Path) {
    let world = World::new();
    let originals = Originals::new(state);
    for number in 0.. {
        for (file, size) in [20_000, 100_000, 300_000, 700_000].into_iter().enumerate() {
            write(&world.laptop().join(file.to_string()), noise(number, size));
        }
        let snapshot = world.capture(&world.laptop());
        start(&world, &snapshot, &originals, 0).expect("started");
        let mut out = std::io::stdout();
        writeln!(out, "started").and_then(|()| out.flush()).expect("said");
    }
}

#[test]
fn kill_nine_leaves_whole_originals_only() {
    let name = "kill_nine_leaves_whole_originals_only";
    let full_name = format!("killed::{name}");
    let disk = (Format::Xfs, DISK_BYTES);
    on_disk(disk, Tester::Ordinary, (module_path!(), name), |_disk| {
        if let Some(state) = std::env::var_os(FILL) {
            return fill_originals(Path::new(&state));
        }
        let world = World::new();
        let originals = Originals::new(&world.path(""));
        for round in 1..=5 {
            let mut child = Command::new(std::env::current_exe().expect("this program"))
                .args([&*full_name, "--exact", "--nocapture"])
                .env(FILL, world.path(""))
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .spawn()
                .expect("child");
            let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
            let mut started = lines.map_while(Result::ok).filter(|line| line.contains("started"));
            assert_eq!(started.by_ref().take(2 * round).count(), 2 * round, "it went on");
            // In the middle of whatever it does; it can still write what it says.
            child.kill().expect("kill");
            let killed = Some(rustix::process::Signal::KILL.as_raw());
            assert_eq!(child.wait().expect("wait").signal(), killed);
            drop(started);
            let left = kept(&world).into_iter().filter(|path| !is_new(path));
            let left: BTreeSet<PathBuf> = left.collect();
            assert!(left.len() >= 8 * round, "{left:?}");
            for original in &left {
                let mut ids = Vec::new();
                let content = fs::File::open(original).expect("open");
                chunk_reader(content, |chunk, _| {
                    ids.extend_from_slice(chunk.id.as_bytes());
                    Ok::<(), std::io::Error>(())
                })
                .expect("read");
                let called = original.file_name().expect("name").to_str().expect("text");
                assert_eq!(ChunkId::of(&ids).to_string(), called, "it holds what it is called");
            }
            originals.clean().expect("clean");
            assert_eq!(kept(&world).into_iter().collect::<BTreeSet<_>>(), left);
        }
    });
}

fn is_new(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b".new-"))
}

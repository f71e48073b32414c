//! The network goes away: in the middle of an upload, in the middle of watching.

use std::io::{BufRead as _, BufReader, Read as _};

use handoff_tests::{remote::Remote, wire::Wire, world::World};

fn paired() -> (World, Remote, Wire) {
    let (world, remote) = (World::new(), Remote::start());
    let wire = Wire::to(remote.address());
    let invitation = wire.through(&remote.invite("ada", &[]));
    world.handoff(&world.home(), ["remote", "add", "box", &invitation]).ok();
    (world, remote, wire)
}

/// Content that does not compress.
fn noise(bytes: u32) -> Vec<u8> {
    let mut noise = vec![0; bytes as usize];
    std::fs::File::open("/dev/urandom").expect("urandom").read_exact(&mut noise).expect("noise");
    noise
}

#[test]
fn an_upload_that_is_cut_goes_on_and_makes_one_run() {
    const SIZE: u32 = 96 << 20;
    let (world, remote, wire) = paired();
    let directory = world.directory("app");
    world.write(&directory.join("large"), noise(SIZE));
    let size = u64::from(SIZE);
    wire.cut_after(size * 3 / 4);
    let sum = world.ok(&directory, "cksum", ["large"]);
    let run = world.handoff(&directory, ["-f", "--", "cksum", "large"]);
    assert_eq!(run.code, 0, "{run}");
    assert_eq!(String::from_utf8_lossy(&run.stdout), sum);
    assert_eq!(remote.runs(), 1, "a retry never makes a second run");
    let again = wire.passed() - size;
    assert!(again < size / 2, "{again} bytes were sent twice");
}

#[test]
fn a_watcher_goes_on_without_a_gap_after_a_cut() {
    let (world, _remote, wire) = paired();
    let directory = world.directory("app");
    let script = "for i in $(seq 400); do echo line $i; sleep 0.01; done";
    let id = world.hand_off(&directory, ["--", "bash", "-c", script]);
    let mut following = world.spawn(&directory, "handoff", ["logs", "-f", &id]);
    let mut stdout = BufReader::new(following.stdout.take().expect("stdout"));
    let mut seen = String::new();
    while seen.lines().count() < 20 {
        stdout.read_line(&mut seen).expect("line");
    }
    wire.cut();
    stdout.read_to_string(&mut seen).expect("rest");
    assert!(following.wait().expect("wait").success());
    let expected: String = (1..=400).map(|i| format!("line {i}\n")).collect();
    assert!(seen == expected, "output has a gap or a repetition");
}

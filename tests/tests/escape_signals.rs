//! Attempt: end, trace or read another run, or the caller.

use handoff_tests::escape::{Lab, bash, call, doing};

fn attempt(lab: &Lab) {
    let mut victim = lab.jail("victim").start(&bash("echo up; exec sleep 1000"));
    assert_eq!(victim.line(), "up");
    let pid = victim.host_pid();
    let alive = format!("kill(0, {pid})");
    lab.outside(&doing(&[("alive", alive.clone())])).says("alive", "ok");

    // The attacker's own child shows that its kill reaches what it can see.
    let massacre = "do { my $pid = fork; if ($pid == 0) { sleep 1000; exit 0 } \
                    kill(9, -1); waitpid($pid, 0); $? == 9 }";
    let read = format!(
        "do {{ $b = ' ' x 8; $to = pack('PQ', $b, 8); $from = pack('QQ', 4096, 8); \
         syscall({}, {pid}, $to, 1, $from, 1, 0) != -1 }}",
        libc::SYS_process_vm_readv
    );
    let acts = [
        ("kill", format!("kill(9, {pid})")),
        call("attach", libc::SYS_ptrace, &format!("16, {pid}, 0, 0")),
        ("read", read),
        call("pidfd", libc::SYS_pidfd_open, &format!("{pid}, 0")),
        ("init", "kill(9, 1) && sleep(0) >= 0".into()),
        ("massacre", massacre.into()),
    ];
    let attack = lab.jail("attacker").run(&doing(&acts));
    for name in ["kill", "attach", "read", "pidfd"] {
        attack.says(name, "ESRCH");
    }
    attack.says("massacre", "ok");
    // Process 1 does not die of what its own children send.
    attack.says("init", "ok");
    assert_eq!(attack.code, 0, "{attack:?}");

    lab.outside(&doing(&[("alive", alive)])).says("alive", "ok");
    assert_eq!(victim.kill().code, 124, "it lived until it was killed from outside");
}

handoff_tests::attempt!(attempt);

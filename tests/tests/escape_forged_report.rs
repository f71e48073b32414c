//! Attempt: tell the caller something in init's name.

use handoff_tests::escape::{Act, Lab, call, doing, perl};

/// Looks for any descriptor of process 1 and writes a report to every one of its own.
fn acts() -> Vec<Act> {
    let find = "do { $! = 0; for my $n (0..30) { open($f, '>', \"/proc/1/fd/$n\") and last } !$! }";
    let write = "do { my $report = qq({\"exited\":{\"code\":0}}\\n); \
                 for my $n (3..30) { open($f, '>&=', $n) and syswrite($f, $report) and last } \
                 $!{EBADF} ? 0 : 1 }";
    let take = format!(
        "do {{ my $p = syscall({}, 1, 0); my $r = -1; \
         for my $n (0..30) {{ $r = syscall({}, $p, $n, 0); last if $r != -1 }} $r != -1 }}",
        libc::SYS_pidfd_open,
        libc::SYS_pidfd_getfd
    );
    vec![
        ("find", find.into()),
        ("write", write.into()),
        ("take", take),
        call("hold", libc::SYS_pidfd_open, "1, 0"),
    ]
}

fn attempt(lab: &Lab) {
    // Outside, a process does take a descriptor from another one of the same user.
    let control = "pipe(my $r, my $w); my $n = fileno($w); my $pid = $$; \
                   if (fork == 0) { open(my $f, '>', \"/proc/$pid/fd/$n\") or exit 1; \
                   syswrite($f, 'forged'); exit 0 } wait; sysread($r, my $x, 6); print $x";
    assert_eq!(lab.outside(&perl(control)).succeeded(), "forged");

    let mut command = doing(&acts());
    command[2].push_str("exit 3");
    let inside = lab.jail("forge").run(&command);
    inside.says("hold", "ok");
    inside.says("find", "EACCES");
    inside.says("take", "EPERM");
    inside.says("write", "EBADF");
    assert_eq!(inside.code, 3, "{inside:?}");
}

handoff_tests::attempt!(attempt);

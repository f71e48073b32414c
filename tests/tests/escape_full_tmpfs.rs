//! Attempt: fill the host's memory through file systems that live in it.

use handoff_tests::escape::{Lab, doing};

/// Writes up to 64 MiB and fails as the first write that does not fit does.
fn fill(path: &str) -> String {
    format!(
        "do {{ open($f, '>', '{path}') && do {{ my $ok = 1; my $block = 'x' x (1 << 20); \
         for (1..64) {{ my $n = syswrite($f, $block); \
         unless (defined $n && $n == 1 << 20) {{ $ok = 0; syswrite($f, $block); last }} }} \
         $ok }} }}"
    )
}

fn attempt(lab: &Lab) {
    let control = lab.directory_of_caller("control").join("x");
    let outside = lab.outside(&doing(&[("control", fill(control.to_str().expect("text")))]));
    outside.says("control", "ok");

    let acts = [
        ("tmp", fill("/tmp/x")),
        ("shm", fill("/dev/shm/x")),
        ("run", fill("/run/x")),
        ("root", fill("/x")),
        ("dev", fill("/dev/x")),
        ("workspace", fill("/home/alice/src/app/x")),
    ];
    let inside = lab.jail("fill").run(&doing(&acts));
    for name in ["tmp", "shm", "run"] {
        inside.says(name, "ENOSPC");
    }
    for name in ["root", "dev"] {
        inside.says(name, "EROFS");
    }
    inside.says("workspace", "ok");
}

handoff_tests::attempt!(attempt);

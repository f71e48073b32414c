//! Attempt: take more memory than the run has.

use handoff_tests::escape::{Caller, Lab, perl};

/// More than the 512 MiB of the policy.
const TAKE: &str =
    "$| = 1; print \"started\\n\"; my $n = 768; my $m = 'x' x ($n << 20); print \"took it\\n\"";

fn attempt(lab: &Lab) {
    assert_eq!(lab.outside(&perl(TAKE)).succeeded(), "started\ntook it\n");

    let inside = lab.jail("take").run(&perl(TAKE));
    assert_eq!(inside.stdout, "started\n", "{inside:?}");
    match lab.caller() {
        Caller::Root => {
            assert_eq!(inside.code, 128 + libc::SIGKILL, "{inside:?}");
            assert!(inside.oom_kills >= Some(1), "{inside:?}");
        }
        Caller::User | Caller::Subordinate => {
            assert!(inside.stderr.contains("Out of memory"), "{inside:?}");
            assert_eq!(inside.oom_kills, None);
        }
    }
}

handoff_tests::attempt!(attempt);

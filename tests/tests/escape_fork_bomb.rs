//! Attempt: start more processes than the run may have.

use handoff_tests::escape::{Lab, perl};

/// Starts up to 200 processes that wait for their parent's end, and tells how many there were.
const FORK: &str = "pipe(my $r, my $w); my $n = 0; \
    for (1..200) { my $pid = fork; last unless defined $pid; \
    if ($pid == 0) { close $w; <$r>; exit 0 } $n++ } \
    print $n == 200 ? \"all\" : \"$n \" . ($!{EAGAIN} ? 'EAGAIN' : $!), \"\\n\"";

fn attempt(lab: &Lab) {
    assert_eq!(lab.outside(&perl(FORK)).succeeded(), "all\n");

    let bomb = |name: &str| {
        let inside = lab.jail(name).run(&perl(FORK));
        let (count, errno) = inside.succeeded().trim().split_once(' ').expect("two words");
        assert_eq!(errno, "EAGAIN", "{inside:?}");
        let count: u32 = count.parse().expect("a number");
        // 128 by the policy, one of which is the bomb itself.
        assert_eq!(count, 127, "{inside:?}");
    };
    // The limit is each run's own, also where two runs share a uid.
    std::thread::scope(|scope| {
        scope.spawn(|| bomb("one"));
        scope.spawn(|| bomb("two"));
    });
}

handoff_tests::attempt!(attempt);

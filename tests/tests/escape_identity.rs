//! Attempt: be somebody. The command is nobody special inside, and never root or the daemon
//! outside.

use std::fs;

use handoff_sandbox::{LayerName, LayerState};
use handoff_tests::escape::{Caller, INSIDE, Lab, bash};

const ASK: &str = "id -u; id -g; grep -E '^(Cap|NoNewPrivs|Seccomp:|Groups)' /proc/self/status";

fn attempt(lab: &Lab) {
    let outside = lab.outside(&bash(ASK));
    assert!(outside.succeeded().contains("NoNewPrivs:\t0"), "{outside:?}");
    assert!(outside.stdout.contains("Seccomp:\t0"), "{outside:?}");

    let inside = lab.jail("status").run(&bash(ASK));
    let expected = format!(
        "{INSIDE}\n{INSIDE}\nGroups:\t \nCapInh:\t{none}\nCapPrm:\t{none}\nCapEff:\t{none}\n\
         CapBnd:\t{none}\nCapAmb:\t{none}\nNoNewPrivs:\t1\nSeccomp:\t2\n",
        none = "0000000000000000"
    );
    assert_eq!(inside.succeeded(), expected);

    let isolation = inside.isolation.expect("a report");
    for name in [
        LayerName::Namespaces,
        LayerName::Capabilities,
        LayerName::NoNewPrivs,
        LayerName::Seccomp,
        LayerName::Network,
        LayerName::Landlock,
    ] {
        assert!(isolation.in_force(name), "{name}: {isolation:?}");
    }
    let uid = isolation.layer(LayerName::Uid).expect("a layer");
    let expected = match lab.caller() {
        Caller::Root | Caller::Subordinate => LayerState::InForce,
        Caller::User => LayerState::Partial,
    };
    assert_eq!(uid.state, expected, "{uid:?}");

    let mut live = lab.jail("live").start(&bash("echo up; exec sleep 1000"));
    assert_eq!(live.line(), "up");
    let status = fs::read_to_string(format!("/proc/{}/status", live.host_pid())).expect("status");
    let uid = lab.host_uid();
    let seen = format!("Uid:\t{uid}\t{uid}\t{uid}\t{uid}\n");
    assert!(status.contains(&seen), "{status}");
    assert_eq!(live.kill().code, 124);
}

handoff_tests::attempt!(attempt);

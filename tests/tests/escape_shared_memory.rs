//! Attempt: leave a message for another run in the kernel's own places: shared memory, semaphores and
//! queues by number, queues by name, memory files by name.

use handoff_tests::escape::{Act, Lab, bash, call, doing};

/// Makes what is missing, for everybody.
const MAKE: i32 = libc::IPC_CREAT | 0o666;

/// What this attempt calls things, which no other one does at the same time.
struct Names {
    key: u32,
    name: String,
}

impl Names {
    fn acts(&self, flags: i32, open: i32) -> Vec<Act> {
        let Self { key, name } = self;
        vec![
            call("segment", libc::SYS_shmget, &format!("{key}, 4096, {flags}")),
            call("semaphore", libc::SYS_semget, &format!("{key}, 1, {flags}")),
            call("messages", libc::SYS_msgget, &format!("{key}, {flags}")),
            call("queue", libc::SYS_mq_open, &format!("text('{name}'), {open}, 0666, 0")),
            ("memory", format!("sysopen($f, '/dev/shm/{name}', {open}, 0666)")),
        ]
    }

    fn remove(&self) -> Vec<Act> {
        let Self { key, name } = self;
        let tool = format!("system('/usr/bin/ipcrm -M {key} -S {key} -Q {key}') == 0");
        vec![
            ("numbers", tool),
            call("queue", libc::SYS_mq_unlink, &format!("text('{name}')")),
            ("memory", format!("unlink('/dev/shm/{name}')")),
        ]
    }
}

fn attempt(lab: &Lab) {
    let key = 0x6861_0000 + std::process::id() % 0x1000 + lab.host_uid() % 0x1000 * 0x1000;
    let names = Names { key, name: format!("handoff-escape-{key}") };
    let make = names.acts(MAKE, libc::O_CREAT | libc::O_RDWR);
    let find = names.acts(0, libc::O_RDWR);
    let all = |acts: &[Act], outcome: &handoff_tests::escape::Outcome, expected: &str| {
        for (name, _) in acts {
            outcome.says(name, expected);
        }
    };

    // What the host has, the run does not find; what a run makes is its own.
    all(&make, &lab.outside(&doing(&make)), "ok");
    all(&find, &lab.outside(&doing(&find)), "ok");
    let inside = lab.jail("finds").run(&doing(&find));
    all(&names.remove(), &lab.outside(&doing(&names.remove())), "ok");
    all(&find, &inside, "ENOENT");

    let quoted = doing(&make)[2].replace('\'', "'\\''");
    let script = format!("{} -e '{quoted}'; echo up; exec sleep 1000", handoff_tests::escape::PERL);
    let mut first = lab.jail("first").start(&bash(&script));
    for (name, _) in &make {
        assert_eq!(first.line(), format!("{name} ok"));
    }
    assert_eq!(first.line(), "up");
    all(&find, &lab.jail("second").run(&doing(&find)), "ENOENT");
    all(&find, &lab.outside(&doing(&find)), "ENOENT");
    assert_eq!(first.kill().code, 124);
}

handoff_tests::attempt!(attempt);

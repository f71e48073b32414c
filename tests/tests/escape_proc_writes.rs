//! Attempt: change the kernel through `/proc`.

use std::process::Command;

use handoff_tests::escape::{Lab, doing};

const FILES: [(&str, &str); 5] = [
    ("/proc/sys/kernel/core_pattern", "EACCES"),
    ("/proc/sys/vm/drop_caches", "EACCES"),
    ("/proc/sys/user/max_user_namespaces", "EACCES"),
    ("/proc/self/uid_map", "EPERM"),
    ("/proc/1/oom_score_adj", "EACCES"),
];

fn attempt(lab: &Lab) {
    // Opening is enough to know; only files about the process itself are written.
    let open = |path: &str| format!("open($f, '>', '{path}')");
    let mut acts: Vec<_> = FILES.iter().map(|(path, _)| (*path, open(path))).collect();
    let write = "open($f, '>', '/proc/self/oom_score_adj') && syswrite($f, '-1000')";
    acts.push(("oom_score_adj", write.into()));
    acts.push(("oom_score_adj_up", write.replace("-1000", "500")));
    acts[3].1 = "open($f, '>', '/proc/self/uid_map') && syswrite($f, '0 0 1')".into();

    let command = doing(&acts);
    let outside = Command::new(&command[0]).args(&command[1..]).output().expect("run the control");
    let outside = String::from_utf8_lossy(&outside.stdout).into_owned();
    for name in ["/proc/sys/kernel/core_pattern", "/proc/sys/vm/drop_caches", "oom_score_adj_up"] {
        assert!(outside.contains(&format!("{name} ok\n")), "{outside}");
    }

    let inside = lab.jail("write").run(&command);
    for (path, errno) in FILES {
        inside.says(path, errno);
    }
    inside.says("oom_score_adj_up", "ok");
    inside.says("oom_score_adj", "EACCES");
}

handoff_tests::attempt!(attempt);

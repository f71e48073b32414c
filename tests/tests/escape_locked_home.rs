//! Attempt: have the next run held in less firmly, by locking one's own directories for whoever
//! looks at them.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use handoff_sandbox::{Access, LayerName};
use handoff_tests::escape::{Jail, Lab, bash};

fn attempt(lab: &Lab) {
    let [home, cache, work] = ["home", "cache", "work"].map(|name| lab.directory_of_run(name));
    let jail = |name: &str| -> Jail<'_> {
        let mut jail = lab.jail(name);
        jail.spec.mounts.clear();
        jail.spec.cwd = "/work".into();
        jail.spec.require = vec![LayerName::Landlock];
        jail.mount(&home, "/home/alice", Access::ReadWrite)
            .mount(&cache, "/home/alice/.cache", Access::ReadWrite)
            .mount(&work, "/work", Access::ReadWrite)
    };
    let first = jail("first").run(&bash("echo 1 > ~/.cache/f && cat ~/.cache/f && chmod 0 ~"));
    assert_eq!(first.succeeded(), "1\n");
    let mode = fs::metadata(&home).expect("look").permissions().mode();
    assert_eq!(mode & 0o777, 0, "the directory is locked");

    let second = jail("second").run(&bash("echo 2 > w; cat ~/.cache/f 2>/dev/null || echo locked"));
    assert_eq!(second.succeeded(), "locked\n");
    let isolation = second.isolation.expect("a report");
    assert!(isolation.in_force(LayerName::Landlock), "{isolation:?}");
}

handoff_tests::attempt!(attempt);

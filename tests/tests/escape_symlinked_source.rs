//! Attempt: turn what the daemon is about to show into a link to something else.

use std::fs;
use std::os::unix::fs::symlink;

use handoff_sandbox::{Access, Step};
use handoff_tests::escape::{Lab, bash};

fn attempt(lab: &Lab) {
    let real = lab.directory_of_run("real");
    fs::write(real.join("canary"), "canary").expect("write");
    let link = lab.path("link");
    symlink(&real, &link).expect("link");
    let show = bash("cat /shown/canary");
    let honest = lab.jail("real").mount(&real, "/shown", Access::ReadOnly).run(&show);
    assert_eq!(honest.succeeded(), "canary");

    let through = lab.directory_of_run("real/below");
    let through = link.join(through.file_name().expect("a name"));
    for (name, source) in [("link", &link), ("through", &through)] {
        assert!(source.exists(), "the host follows it");
        let outcome = lab.jail(name).mount(source, "/shown", Access::ReadOnly).run(&show);
        assert_eq!(outcome.refusal().step, Step::Source, "{outcome:?}");
        assert_eq!(outcome.refusal().errno, Some(libc::ELOOP), "{outcome:?}");
    }
}

handoff_tests::attempt!(attempt);

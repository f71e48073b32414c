//! Attempt: leave a device for whoever looks at the tree later. The one device that needs no rights
//! is the one by which overlays hide files.

use std::fs;

use handoff_tests::escape::{Lab, call, doing};

/// A character device that anybody may read, and the mode of a pipe.
const DEVICE: u32 = libc::S_IFCHR | 0o644;
const PIPE: u32 = libc::S_IFIFO | 0o644;

fn attempt(lab: &Lab) {
    let make = |name, path: &str, mode| {
        call(name, libc::SYS_mknodat, &format!("-100, text('{path}'), {mode}, 0"))
    };
    let outside = lab.directory_of_caller("outside").join("device");
    let path = outside.to_str().expect("text");
    lab.outside(&doing(&[make("device", path, DEVICE)])).says("device", "ok");

    let acts = [
        make("device", "device", DEVICE),
        make("elsewhere", "/tmp/device", DEVICE),
        make("pipe", "pipe", PIPE),
    ];
    let jail = lab.jail("devices");
    let workspace = jail.spec.mounts[1].source.clone();
    let inside = jail.run(&doing(&acts));
    inside.says("device", "EACCES");
    inside.says("elsewhere", "EACCES");
    inside.says("pipe", "ok");
    let names: Vec<_> =
        fs::read_dir(&workspace).expect("list").map(|e| e.expect("entry").file_name()).collect();
    assert_eq!(names, ["pipe"]);
}

handoff_tests::attempt!(attempt);

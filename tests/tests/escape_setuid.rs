//! Attempt: gain rights by executing a file that gives them.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use handoff_sandbox::Access;
use handoff_tests::escape::{Lab, bash};

fn attempt(lab: &Lab) {
    let tools = lab.directory_of_run("tools");
    let tool = tools.join("id");
    lab.install(Path::new("/usr/bin/id"), "tools/id", 0o4755);
    assert_eq!(fs::metadata(&tool).expect("look").uid(), 0, "the file is root's");
    let control = ["/usr/bin/setpriv", "--reuid=54999", "--regid=54999", "--clear-groups"];
    let control = std::process::Command::new(control[0])
        .args(&control[1..])
        .args([tool.as_os_str(), "-u".as_ref()])
        .output()
        .expect("run the control");
    assert_eq!(control.stdout, b"0\n", "anybody who runs it is root: {control:?}");

    let script = "/tools/id -u; /usr/bin/su --version >/dev/null && grep CapEff /proc/self/status; \
                  cp /usr/bin/id mine; chmod 4755 mine; ./mine -u";
    let inside = lab.jail("run").mount(&tools, "/tools", Access::ReadOnly).run(&bash(script));
    assert_eq!(inside.succeeded(), "1000\nCapEff:\t0000000000000000\n1000\n");
}

handoff_tests::attempt!(attempt);

//! The controls of all attempts: what a jail does let a command do, and how its end is told.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::MetadataExt as _;

use handoff_sandbox::{Access, LayerName, LayerState, Step};
use handoff_tests::escape::{Caller, Lab, PERL, bash, perl};

fn ends(lab: &Lab) {
    assert_eq!(lab.jail("zero").run(&["true"]).code, 0);
    assert_eq!(lab.jail("code").run(&bash("exit 42")).code, 42);
    assert_eq!(lab.jail("signal").run(&bash("kill -SEGV $$")).code, 128 + libc::SIGSEGV);
    // A writer whose reader has gone dies of it, as everywhere.
    let pipe = "yes | head -n1; echo ${PIPESTATUS[0]}";
    assert_eq!(lab.jail("pipe").run(&bash(pipe)).succeeded(), "y\n141\n");
    // Init takes in whatever loses its parent, and does not take it for the command.
    let orphans =
        "for i in 1 2 3; do (sh -c 'exit 3' & exec true); done; sh -c 'sleep 1000 &'; exit 5";
    assert_eq!(lab.jail("orphans").run(&bash(orphans)).code, 5);
}

fn not_run(lab: &Lab) {
    let check = |name: &str, command: &[&str], step, errno| {
        let outcome = lab.jail(name).run(command);
        let refusal = outcome.refusal();
        assert_eq!((refusal.step, refusal.errno), (step, Some(errno)), "{refusal}");
        assert_eq!(outcome.code, 125);
    };
    check("missing", &["no-such-program"], Step::Command, libc::ENOENT);
    check("directory", &["/usr"], Step::Command, libc::EACCES);
    let mut lost = lab.jail("lost");
    lost.spec.cwd = "/home/alice/nowhere".into();
    assert_eq!(lost.run(&["true"]).refusal().step, Step::Directory);
}

fn bytes(lab: &Lab) {
    let odd = OsString::from_vec(b"\xff\xfe odd".to_vec());
    let mut jail = lab.jail("bytes");
    jail.spec.env.push(("ODD".into(), odd.clone()));
    let print = "print unpack('H*', $ARGV[0]), ' ', unpack('H*', $ENV{ODD})";
    let command = [PERL.into(), "-e".into(), print.into(), odd];
    assert_eq!(jail.run(&command).succeeded(), "fffe206f6464 fffe206f6464");
    let script = "print join ' ', sort keys %ENV";
    assert_eq!(lab.jail("environment").run(&perl(script)).succeeded(), "HOME PATH");
}

fn places(lab: &Lab) {
    let workspace = lab.directory_of_run("places");
    fs::create_dir(workspace.join("sub")).expect("mkdir");
    let file = lab.directory_of_run("one").join("file");
    fs::write(&file, "text").expect("write");
    let targets =
        ["/tmp/deep/ws", "/opt/x/ws", "/Users/al/ws", "/root/ws", "/builds/ws", "/var/tmp/ws"];
    let mut jail = lab.jail("places").mount(&file, "/srv/one/file", Access::ReadOnly);
    for target in targets {
        jail = jail.mount(&workspace, target, Access::ReadWrite);
    }
    let script = "cat /srv/one/file; for d in /tmp/deep/ws /opt/x/ws /Users/al/ws /root/ws \
                  /builds/ws /var/tmp/ws; do echo $d > $d/last || exit 9; done; touch /tmp/mine \
                  /var/tmp/mine || exit 8; stat -c %u:%a /tmp/deep /opt/x; stat -c %a /tmp /var/tmp";
    let outcome = jail.run(&bash(script));
    let outside = match lab.caller() {
        Caller::Root | Caller::Subordinate => 65_534,
        Caller::User => 1000,
    };
    assert_eq!(outcome.succeeded(), format!("text1000:755\n{outside}:755\n1777\n1777\n"));
    let last = workspace.join("last");
    assert_eq!(fs::read_to_string(&last).expect("read"), "/var/tmp/ws\n");
    assert_eq!(fs::metadata(&last).expect("look").uid(), lab.host_uid());

    let mut whole = lab.jail("whole-tmp").mount(&workspace, "/tmp", Access::ReadWrite);
    whole.spec.cwd = "/tmp/sub".into();
    assert_eq!(whole.run(&bash("pwd; cat ../last")).succeeded(), "/tmp/sub\n/var/tmp/ws\n");

    let mut homeless = lab.jail("homeless");
    homeless.spec.mounts.clear();
    homeless.spec.cwd = "/home/alice".into();
    assert_eq!(homeless.run(&bash("touch ~/x && stat -c %U:%a ~")).succeeded(), "alice:700\n");
}

/// Init is our own executable, wherever that is and whatever has become of it since.
fn own_executable(lab: &Lab) {
    let private = "d=${3%/*}; install -m 0700 \"$1\" $d/jail; shift; exec $d/jail \"$@\"";
    let gone = "d=${3%/*}; cp \"$1\" $d/gone; exec 3<$d/gone; rm $d/gone; shift; \
                exec /proc/self/fd/3 \"$@\"";
    for (name, script) in [("private", private), ("gone", gone)] {
        let starter = ["/bin/bash", "-c", script, "bash"];
        let jail = lab.jail(name).caller_variable("PATH", "/usr/bin:/bin").started_by(starter);
        assert_eq!(jail.run(&bash("echo ran")).succeeded(), "ran\n");
    }
}

fn reserved(lab: &Lab) {
    let workspace = lab.directory_of_run("reserved");
    for target in ["/usr/local", "/etc/x", "/proc/x", "/dev/x", "/lib/x", "/handoff", "/run/x"] {
        let name = format!("at{}", target.replace('/', "-"));
        let outcome = lab.jail(&name).mount(&workspace, target, Access::ReadWrite).run(&["true"]);
        let refusal = outcome.refusal();
        assert_eq!(refusal.step, Step::Target);
        assert!(refusal.detail.contains(target), "{refusal}");
    }
}

fn probed(lab: &Lab) {
    let layers = lab.probe(("NONE", ""));
    for layer in &layers {
        let optional = match layer.name {
            LayerName::Disk => true,
            LayerName::Uid => lab.caller() == Caller::User,
            LayerName::Memory | LayerName::Processes => lab.caller() != Caller::Root,
            _ => false,
        };
        assert_eq!(layer.state == LayerState::InForce, !optional, "{layer:?}");
        assert_eq!(layer.fix.is_some(), optional, "{layer:?}");
    }
    assert_eq!(layers.len(), LayerName::ALL.len());

    let layers = lab.probe(("HANDOFF_BWRAP", "/no/such/bwrap"));
    assert_eq!(layers.len(), LayerName::MANDATORY.len());
    for layer in layers {
        assert_eq!(layer.state, LayerState::Absent);
        assert!(layer.fix.as_ref().is_some_and(|fix| fix.contains("bubblewrap")), "{layer:?}");
    }
}

fn control(lab: &Lab) {
    probed(lab);
    ends(lab);
    not_run(lab);
    bytes(lab);
    own_executable(lab);
    places(lab);
    reserved(lab);
}

handoff_tests::attempt!(control);

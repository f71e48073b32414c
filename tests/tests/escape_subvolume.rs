//! Attempt: make a subvolume, whose room no limit on the run's directory counts.

use handoff_tests::disk::{Format, Tester, on_disk};
use handoff_tests::escape::{Act, Caller, Lab, doing};

const DISK_BYTES: u64 = 256 << 20;

/// Asks btrfs, by each request that it knows, for something new in a directory; a snapshot is one of
/// what was made first. Both versions of the argument have a descriptor at first and end in a name.
fn acts(directory: &str) -> Vec<Act> {
    let make = |request: u32, source: &str, space: u32, name: &str| {
        format!(
            "open($d, '<', '{directory}') && (open($s, '<', '{directory}/{source}') || 1) \
             && ioctl($d, {request}, $a = pack('q x{space} a*', fileno($s) // 0, '{name}') \
             . \"\\0\" x (4088 - {space} - length('{name}')))"
        )
    };
    vec![
        ("directory", format!("mkdir('{directory}/directory')")),
        ("subvolume", make(0x5000_940e, "", 0, "first")),
        ("subvolume-2", make(0x5000_9418, "", 48, "second")),
        ("snapshot", make(0x5000_9401, "first", 0, "third")),
        ("snapshot-2", make(0x5000_9417, "first", 48, "fourth")),
        (
            "clone",
            format!(
                "open($f, '>', '{directory}/from') && syswrite($f, 'x' x 65536) \
             && open($f, '<', '{directory}/from') && open($t, '>', '{directory}/to') \
             && ioctl($t, 0x40049409, fileno($f) + 0)"
            ),
        ),
    ]
}

fn attempt(caller: Caller) {
    let lab = Lab::new(env!("CARGO_BIN_EXE_jail"), caller);
    let outside = lab.directory_of_caller("outside");
    let outside = lab.outside(&doing(&acts(outside.to_str().expect("text"))));
    let inside = lab.jail("subvolume").run(&doing(&acts("/home/alice")));
    for name in ["subvolume", "subvolume-2", "snapshot", "snapshot-2"] {
        outside.says(name, "ok");
        inside.says(name, "EPERM");
    }
    // What is no subvolume is as it was.
    for name in ["directory", "clone"] {
        outside.says(name, "ok");
        inside.says(name, "ok");
    }
}

#[test]
fn as_root() {
    let test = (module_path!(), "as_root");
    on_disk((Format::Btrfs, DISK_BYTES), Tester::Root, test, |_disk| attempt(Caller::Root));
}

#[test]
fn as_an_ordinary_user() {
    let test = (module_path!(), "as_an_ordinary_user");
    on_disk((Format::Btrfs, DISK_BYTES), Tester::Root, test, |_disk| attempt(Caller::User));
}

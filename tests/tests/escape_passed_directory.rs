//! Attempt: use a directory of the host that somebody passes in through a stream.

use std::fs::{self, File};
use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;

use handoff_tests::escape::{Act, Lab, call, doing};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

/// Returns a stream in which one directory waits for whoever reads it, and its other end.
fn stream_with(directory: &Path) -> (OwnedFd, UnixStream) {
    let (ours, theirs) = UnixStream::pair().expect("a pair of sockets");
    let directory = File::open(directory).expect("open");
    let passed = [directory.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut message = SendAncillaryBuffer::new(&mut space);
    assert!(message.push(SendAncillaryMessage::ScmRights(&passed)), "there is room");
    let text = [IoSlice::new(b"!")];
    sendmsg(&ours, &text, &mut message, SendFlags::empty()).expect("send");
    (theirs.into(), ours)
}

/// Takes what was passed out of standard input and opens a file in it.
fn acts() -> [Act; 3] {
    let receive = format!(
        "do {{ $b = ' ' x 8; $c = ' ' x 24; $iov = pack('PQ', $b, 8); \
         $h = pack('QLx4PQPQLx4', 0, 0, $iov, 1, $c, 24, 0); \
         syscall({}, 0, $h, 0) == 1 && ((undef, undef, undef, $fd) = unpack('QLLl', $c)) && $fd > 2 }}",
        libc::SYS_recvmsg
    );
    [
        ("receive", receive),
        call("read", libc::SYS_openat, "$fd, text('canary'), 0, 0"),
        call("make", libc::SYS_mkdirat, "$fd, text('made'), 0755"),
    ]
}

fn attempt(lab: &Lab) {
    let directory = lab.path("elsewhere");
    fs::create_dir(&directory).expect("mkdir");
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o777)).expect("chmod");
    fs::write(directory.join("canary"), "canary").expect("write");

    let (stream, _open) = stream_with(&directory);
    let outside = lab.outside_from(stream, &doing(&acts()));
    for name in ["receive", "read", "make"] {
        outside.says(name, "ok");
    }
    fs::remove_dir(directory.join("made")).expect("it was made");

    let (stream, _open) = stream_with(&directory);
    let inside = lab.jail("passed").run_from(stream, &doing(&acts()));
    inside.says("receive", "ok");
    inside.says("read", "EACCES");
    inside.says("make", "EACCES");
    assert!(!directory.join("made").exists(), "something was made");
}

handoff_tests::attempt!(attempt);

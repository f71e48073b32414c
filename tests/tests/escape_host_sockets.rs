//! Attempt: talk to a service of the host over a Unix socket, by path or by abstract name.

use std::fs;
use std::io::ErrorKind;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};

use handoff_tests::escape::{Act, Lab, doing};

fn connect(name: &'static str, address: &str) -> Act {
    let script = format!(
        "do {{ socket($s, AF_UNIX, SOCK_STREAM, 0) \
         && connect($s, pack_sockaddr_un(\"{address}\")) }}"
    );
    (name, script)
}

fn attempt(lab: &Lab) {
    let path = lab.path("service");
    let by_path = UnixListener::bind(&path).expect("listen");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).expect("chmod");
    let name = format!("handoff-escape-{}-{}", std::process::id(), lab.host_uid());
    let address = SocketAddr::from_abstract_name(&name).expect("address");
    let by_name = UnixListener::bind_addr(&address).expect("listen");
    let seen = |listener: &UnixListener| {
        listener.set_nonblocking(true).expect("set");
        match listener.accept() {
            Ok(_) => true,
            Err(error) if error.kind() == ErrorKind::WouldBlock => false,
            Err(error) => panic!("{error}"),
        }
    };

    let acts =
        [connect("path", path.to_str().expect("text")), connect("abstract", &format!("\\0{name}"))];
    let outside = lab.outside(&doing(&acts));
    outside.says("path", "ok");
    outside.says("abstract", "ok");
    assert!(seen(&by_path) && seen(&by_name), "the service is there");

    let inside = lab.jail("connect").run(&doing(&acts));
    inside.says("path", "ENOENT");
    inside.says("abstract", "ECONNREFUSED");
    assert!(!seen(&by_path) && !seen(&by_name), "nothing arrived");
}

handoff_tests::attempt!(attempt);

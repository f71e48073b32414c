//! Attempt: talk to a service of the host by abstract name where the run shares the host's network.

use std::io::ErrorKind;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};

use handoff_sandbox::Network;
use handoff_tests::escape::{Act, Lab, doing};

fn connect(name: &'static str, address: &str) -> Act {
    let script = format!(
        "do {{ socket($s, AF_UNIX, SOCK_STREAM, 0) \
         && connect($s, pack_sockaddr_un(\"\\0{address}\")) }}"
    );
    (name, script)
}

fn listen(address: &str) -> Act {
    let script = format!(
        "do {{ socket($l, AF_UNIX, SOCK_STREAM, 0) \
         && bind($l, pack_sockaddr_un(\"\\0{address}\")) && listen($l, 1) }}"
    );
    ("listen", script)
}

fn attempt(lab: &Lab) {
    let name = format!("handoff-escape-scope-{}-{}", std::process::id(), lab.host_uid());
    let address = SocketAddr::from_abstract_name(&name).expect("address");
    let service = UnixListener::bind_addr(&address).expect("listen");
    service.set_nonblocking(true).expect("set");

    lab.outside(&doing(&[connect("host", &name)])).says("host", "ok");
    service.accept().expect("the service is there");

    let own = format!("{name}-own");
    let acts = [listen(&own), connect("own", &own), connect("host", &name)];
    let mut jail = lab.jail("scope");
    jail.spec.network = Network::Host;
    let inside = jail.run(&doing(&acts));
    inside.says("listen", "ok");
    inside.says("own", "ok");
    inside.says("host", "EPERM");
    let nobody = service.accept().expect_err("nothing arrived");
    assert_eq!(nobody.kind(), ErrorKind::WouldBlock, "{nobody}");
}

handoff_tests::attempt!(attempt);

//! Attempt: reach any network, the host's loopback included.

use std::io::ErrorKind;
use std::net::TcpListener;

use handoff_sandbox::{LayerName, LayerState, Network};
use handoff_tests::escape::{Act, Lab, doing};

fn connect(name: &'static str, address: &str, port: u16) -> Act {
    let script = format!(
        "do {{ my $host = inet_pton(AF_INET, '{address}'); \
         socket($s, AF_INET, SOCK_STREAM, 0) && connect($s, pack_sockaddr_in({port}, $host)) }}"
    );
    (name, script)
}

fn acts(port: u16) -> Vec<Act> {
    let datagram = "do { socket($s, AF_INET, SOCK_DGRAM, 0) \
                    && send($s, 'x', 0, pack_sockaddr_in(53, inet_pton(AF_INET, '192.0.2.53'))) }";
    let six = "do { socket($s, AF_INET6, SOCK_STREAM, 0) \
               && connect($s, pack_sockaddr_in6(443, inet_pton(AF_INET6, '2001:db8::1'))) }";
    vec![
        connect("loopback", "127.0.0.1", port),
        connect("anywhere", "192.0.2.1", 443),
        connect("metadata", "169.254.169.254", 80),
        ("datagram", datagram.into()),
        ("six", six.into()),
    ]
}

fn attempt(lab: &Lab) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("listen");
    listener.set_nonblocking(true).expect("set");
    let port = listener.local_addr().expect("address").port();
    let seen = || match listener.accept() {
        Ok(_) => true,
        Err(error) if error.kind() == ErrorKind::WouldBlock => false,
        Err(error) => panic!("{error}"),
    };

    lab.outside(&doing(&acts(port)[..1])).says("loopback", "ok");
    assert!(seen(), "the listener listens");
    let mut jail = lab.jail("host");
    jail.spec.network = Network::Host;
    let with_network = jail.run(&doing(&acts(port)[..1]));
    with_network.says("loopback", "ok");
    assert!(seen(), "a run with the host's network reaches it");
    let isolation = with_network.isolation.expect("a report");
    assert_eq!(isolation.layer(LayerName::Network).expect("a layer").state, LayerState::Absent);

    let inside = lab.jail("none").run(&doing(&acts(port)));
    inside.says("loopback", "ECONNREFUSED");
    for name in ["anywhere", "metadata", "datagram", "six"] {
        inside.says(name, "ENETUNREACH");
    }
    assert!(!seen(), "nothing arrived");
}

handoff_tests::attempt!(attempt);

//! Attempt: leave a fenced network without asking at its doors, or tamper with what serves them.

use handoff_sandbox::Network;
use handoff_tests::escape::{Act, Lab, Listener, beyond, connect, doing};

fn attempt(lab: &Lab) {
    let listener = Listener::start();
    let ping = "socket($s, AF_INET, SOCK_RAW, 1)";
    let take = |port: u16| {
        format!(
            "do {{ socket($s, AF_INET, SOCK_STREAM, 0); setsockopt($s, SOL_SOCKET, SO_REUSEADDR, 1); \
             setsockopt($s, SOL_SOCKET, 15, 1); bind($s, pack_sockaddr_in({port}, inet_pton(AF_INET, '127.1.0.1'))) }}"
        )
    };
    let down = "do { socket($s, AF_INET, SOCK_DGRAM, 0); my $request = pack('a16 s x14', 'lo', 0); \
                ioctl($s, 0x8914, $request) }";
    let others = "scalar grep { readlink(\"/proc/$_/exe\") !~ /perl|init|^$/ } \
                  map { /(\\d+)/ } glob('/proc/[0-9]*')";
    let mut acts: Vec<Act> = vec![
        connect("host-loopback", "127.0.0.1", listener.port()),
        ("ping", ping.into()),
        ("take-tls", take(443)),
        ("take-proxy", take(3128)),
        ("down", down.into()),
        ("others", others.into()),
        connect("door", "127.1.0.1", 3128),
    ];
    acts.extend(beyond());
    lab.outside(&doing(&acts[..1])).says("host-loopback", "ok");
    listener.is_reached();

    let mut jail = lab.jail("fenced");
    jail.spec.network = Network::Fenced;
    let inside = jail.run(&doing(&acts));
    inside.says("host-loopback", "ECONNREFUSED");
    for (name, _) in beyond() {
        inside.says(name, "ENETUNREACH");
    }
    inside.says("ping", "EPERM");
    // Low ports are not the run's to take, and this one is taken.
    inside.says("take-tls", "EACCES");
    inside.says("take-proxy", "EADDRINUSE");
    inside.says("down", "EPERM");
    // The door is there, whether or not anybody answers; it is the only one.
    inside.says("door", "ok");
    assert!(!inside.stdout.contains("others ok"), "a process of somebody else is seen: {inside:?}");
    assert!(!listener.was_reached(), "nothing arrived");
}

handoff_tests::attempt!(attempt);

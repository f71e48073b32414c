//! Attempt: open sockets that a network namespace does not hold in, or that load kernel modules.

use std::process::Command;

use handoff_tests::escape::{Act, Lab, call, doing};

fn socket(name: &'static str, family: i32, kind: i32, protocol: i32) -> Act {
    call(name, libc::SYS_socket, &format!("{family}, {kind}, {protocol}"))
}

/// Families that exist on every kernel with a network.
fn common() -> Vec<Act> {
    vec![
        socket("packet", libc::AF_PACKET, libc::SOCK_RAW, 0),
        socket("raw", libc::AF_INET, libc::SOCK_RAW, libc::IPPROTO_TCP),
        socket("raw6", libc::AF_INET6, libc::SOCK_RAW, libc::IPPROTO_TCP),
        socket("audit", libc::AF_NETLINK, libc::SOCK_RAW, libc::NETLINK_AUDIT),
        socket("netfilter", libc::AF_NETLINK, libc::SOCK_RAW, libc::NETLINK_NETFILTER),
        socket("vsock", libc::AF_VSOCK, libc::SOCK_STREAM, 0),
    ]
}

/// Families that some kernels lack.
fn rare() -> Vec<Act> {
    vec![
        socket("alg", libc::AF_ALG, libc::SOCK_SEQPACKET, 0),
        socket("xdp", libc::AF_XDP, libc::SOCK_RAW, 0),
        socket("bluetooth", libc::AF_BLUETOOTH, libc::SOCK_RAW, 1),
        socket("can", libc::AF_CAN, libc::SOCK_RAW, 1),
        socket("key", libc::AF_KEY, libc::SOCK_RAW, 2),
        socket("tipc", libc::AF_TIPC, libc::SOCK_STREAM, 0),
        call(
            "pair",
            libc::SYS_socketpair,
            &format!("{}, {}, 0, my $pair = text(' ') x 8", libc::AF_TIPC, libc::SOCK_SEQPACKET),
        ),
        socket("rds", libc::AF_RDS, libc::SOCK_SEQPACKET, 0),
        socket("sctp", libc::AF_INET, libc::SOCK_STREAM, libc::IPPROTO_SCTP),
        socket("dccp", libc::AF_INET, libc::SOCK_DCCP, libc::IPPROTO_DCCP),
    ]
}

/// Sockets that programs do need.
fn allowed() -> Vec<Act> {
    vec![
        socket("unix", libc::AF_UNIX, libc::SOCK_SEQPACKET, 0),
        socket("tcp", libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0),
        socket("udp", libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_NONBLOCK, libc::IPPROTO_UDP),
        socket("tcp6", libc::AF_INET6, libc::SOCK_STREAM, libc::IPPROTO_TCP),
        call(
            "unix-pair",
            libc::SYS_socketpair,
            &format!("{}, {}, 0, my $two = text(' ') x 8", libc::AF_UNIX, libc::SOCK_STREAM),
        ),
        socket("route", libc::AF_NETLINK, libc::SOCK_RAW | libc::SOCK_CLOEXEC, libc::NETLINK_ROUTE),
    ]
}

fn attempt(lab: &Lab) {
    let all: Vec<Act> = [common(), rare(), allowed()].concat();
    let command = doing(&all);
    let outside = Command::new(&command[0]).args(&command[1..]).output().expect("run the control");
    let outside = String::from_utf8_lossy(&outside.stdout).into_owned();
    for (name, _) in common().iter().chain(&allowed()) {
        assert!(outside.contains(&format!("{name} ok\n")), "{name}: {outside}");
    }
    assert!(!outside.contains("EPERM"), "{outside}");

    let inside = lab.jail("sockets").run(&command);
    for (name, _) in common().iter().chain(&rare()) {
        inside.says(name, "EPERM");
    }
    for (name, _) in allowed() {
        inside.says(name, "ok");
    }
}

handoff_tests::attempt!(attempt);

//! Acts of an attempt, as commands.

use std::fmt::Write as _;

use super::PERL;

/// One act of an attempt: what it is called in the output, and a perl expression that is true if
/// it succeeds and sets `$!` if not. Sockets are at hand, and `text('x')` for system calls, which
/// take no constants.
pub type Act = (&'static str, String);

/// Returns the act of making a system call, with its arguments as perl has them.
#[must_use]
pub fn call(name: &'static str, number: libc::c_long, arguments: &str) -> Act {
    let comma = if arguments.is_empty() { "" } else { ", " };
    (name, format!("syscall({number}{comma}{arguments}) != -1"))
}

/// Returns the act of connecting to an address and port.
#[must_use]
pub fn connect(name: &'static str, address: &str, port: u16) -> Act {
    let script = format!(
        "do {{ my $host = inet_pton(AF_INET, '{address}'); \
         socket($s, AF_INET, SOCK_STREAM, 0) && connect($s, pack_sockaddr_in({port}, $host)) }}"
    );
    (name, script)
}

/// Returns the acts of reaching, in four ways, what is beyond loopback.
#[must_use]
pub fn beyond() -> [Act; 4] {
    let datagram = "do { socket($s, AF_INET, SOCK_DGRAM, 0) \
                    && send($s, 'x', 0, pack_sockaddr_in(53, inet_pton(AF_INET, '192.0.2.53'))) }";
    let six = "do { socket($s, AF_INET6, SOCK_STREAM, 0) \
               && connect($s, pack_sockaddr_in6(443, inet_pton(AF_INET6, '2001:db8::1'))) }";
    [
        connect("anywhere", "192.0.2.1", 443),
        connect("metadata", "169.254.169.254", 80),
        ("datagram", datagram.into()),
        ("six", six.into()),
    ]
}

/// Returns a command that does each act and writes its name with `ok` or the name of the error.
#[must_use]
pub fn doing(acts: &[Act]) -> Vec<String> {
    let mut script = String::from(
        "use Errno; use Socket qw(:DEFAULT inet_pton); $| = 1; my %name; \
         sub text { my $text = shift; $text } \
         $name{Errno->can($_)->()} = $_ for grep { Errno->can($_) } reverse sort keys %!;",
    );
    for (name, expression) in acts {
        write!(
            script,
            "$! = 0; print '{name} ', (({expression}) ? 'ok' : $name{{$!+0}}), \"\\n\";"
        )
        .expect("write to a string");
    }
    [PERL, "-e", &script].map(str::to_owned).to_vec()
}

/// Returns a command that evaluates a perl script.
#[must_use]
pub fn perl(script: &str) -> [&str; 3] {
    [PERL, "-e", script]
}

/// Returns a command that evaluates a shell script.
#[must_use]
pub fn bash(script: &str) -> [&str; 3] {
    ["/bin/bash", "-c", script]
}

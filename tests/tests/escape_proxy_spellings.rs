//! Attempt: get the proxy to connect to a host that is not allowed, by writing it in a way that the
//! list and the connection read differently.

use handoff_tests::{
    fenced::{AT_ONCE, Fenced},
    web::{Port, Web},
};

/// Sends bytes to the proxy and writes the status line that comes back.
const SEND: &str = r#"send() { exec 3<>/dev/tcp/127.1.0.1/3128; at_once "$2" >&3
    read -r -t 10 line <&3; exec 3<&- 3>&-; echo "$1 ${line%$'\r'}"; }
tunnelled() { exec 3<>/dev/tcp/127.1.0.1/3128; at_once 'CONNECT allowed.test:80 HTTP/1.1\r\n\r\n' >&3
    while read -r -t 10 line <&3 && [ "$line" != $'\r' ]; do :; done
    at_once "$2" >&3; read -r -t 10 line <&3; exec 3<&- 3>&-; echo "$1 ${line%$'\r'}"; }
"#;

#[test]
fn only_spellings_of_the_allowed_host_pass() {
    let allowed = Web::serve(&["allowed.test"], &[Port::Plain(80), Port::Plain(443)], &[]);
    let evil = Web::serve(&["evil.test"], &[Port::Plain(80), Port::Plain(443)], &[]);
    allowed.file("hello", "hello\n");
    evil.file("hello", "evil\n");
    let address = evil.address();
    let number = u32::from(address);
    let fenced = Fenced::with(&[("allowed.test", &allowed), ("evil.test", &evil)], "");
    // The control: what is attacked is there, outside.
    let outside = format!("http://{address}/hello");
    assert_eq!(fenced.world.ok(&fenced.project, "curl", ["-sS", &outside]), "evil\n");
    let before = evil.wait_for_requests(1).len();

    let connects = [
        ("same", "allowed.test:443", "200"),
        ("capitals", "ALLOWED.test.:443", "200"),
        ("evil", "evil.test:443", "403"),
        ("port", "allowed.test:22", "403"),
        ("user", "allowed.test@evil.test:443", "400|403"),
        ("twice", "evil.test:443@allowed.test:443", "400|403"),
        ("nul", r"allowed.test\0.evil.test:443", "400"),
        ("percent", "allowed.test%%00.evil.test:443", "400|403"),
        ("blank", "allowed.test evil.test:443", "400"),
        ("tab", r"evil.test\t.allowed.test:443", "400"),
        ("fragment", "evil.test#.allowed.test:443", "400|403"),
        ("slash", "evil.test/allowed.test:443", "400|403"),
        ("backslash", r"evil.test\\\\allowed.test:443", "400|403"),
        ("dots", "allowed.test..:443", "403"),
        ("address", &format!("{address}:443"), "403"),
        ("decimal", &format!("{number}:443"), "403"),
        ("hexadecimal", &format!("0x{number:08x}:443"), "403"),
        ("octal", "0177.0.0.1:443", "403"),
        ("short", "127.1:443", "403"),
        ("mapped", "[::ffff:127.0.0.1]:443", "403"),
        ("zone", "[fe80::1%%25lo]:443", "400|403"),
        ("empty", ":443", "400|403"),
        ("no-port", "allowed.test", "400|403"),
        ("big-port", "allowed.test:65979", "400|403"),
    ];
    let mut script = format!("{AT_ONCE}{SEND}");
    for (name, target, _) in connects {
        script += &format!(
            "send {name} 'CONNECT {target} HTTP/1.1\\r\\nHost: allowed.test:443\\r\\n\\r\\n'\n"
        );
    }
    // Plain requests: the URL counts, and no other line of the request.
    let plain = [
        ("url", "GET http://evil.test/hello HTTP/1.1\\r\\nHost: allowed.test\\r\\n\\r\\n", "403"),
        (
            "https-url",
            "GET https://allowed.test/ HTTP/1.1\\r\\nHost: allowed.test\\r\\n\\r\\n",
            "403",
        ),
        ("ftp-url", "GET ftp://allowed.test/ HTTP/1.1\\r\\nHost: allowed.test\\r\\n\\r\\n", "403"),
        ("origin", "GET /hello HTTP/1.1\\r\\nHost: allowed.test\\r\\n\\r\\n", "403"),
        (
            "header",
            "GET http://allowed.test/hello HTTP/1.1\\r\\nHost: evil.test\\r\\n\\r\\n",
            "200",
        ),
        (
            "smuggled",
            "GET http://allowed.test/hello HTTP/1.1\\r\\nHost: a\\r\\nContent-Length: 5\\r\\n\
            Transfer-Encoding: chunked\\r\\n\\r\\n0\\r\\n\\r\\nGET http://evil.test/ HTTP/1.1\\r\\n\\r\\n",
            "200|400",
        ),
    ];
    for (name, request, _) in plain {
        script += &format!("send {name} '{request}'\n");
    }
    // One tunnel inside another: the allowed host is no proxy for others, nor is the fence.
    for (name, request) in [
        ("tunnel", "CONNECT evil.test:80 HTTP/1.1\\r\\n\\r\\n"),
        ("fronted", "GET /hello HTTP/1.1\\r\\nHost: evil.test\\r\\n\\r\\n"),
    ] {
        script += &format!("tunnelled {name} '{request}'\n");
    }
    let ended = fenced.run(&["--allow-host", "allowed.test"], &script);
    let output = ended.output();
    let connects = connects.iter().map(|(name, _, expected)| (*name, *expected));
    let plain = plain.iter().map(|(name, _, expected)| (*name, *expected));
    for (name, expected) in connects.chain(plain).chain([("tunnel", "405"), ("fronted", "403")]) {
        let line = ended.value(name);
        let status = line.split(' ').nth(1).unwrap_or("nothing");
        assert!(expected.split('|').any(|code| code == status), "{name}: {status} in {output}");
    }
    assert_eq!(evil.requests().len(), before, "{:?}", evil.requests());
    // What was smuggled behind a request is no request of the allowed host's either.
    let seen = allowed.requests();
    let paths: Vec<_> = seen.iter().map(|request| request["path"].as_str()).collect();
    assert!(paths.iter().all(|path| *path == Some("/hello")), "{paths:?}");
}

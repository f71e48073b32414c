//! Attempt: open a connection for an allowed host, then greet another one over it.

use handoff_tests::{
    fenced::{AT_ONCE, Fenced},
    web::{Port, Web},
};

#[test]
fn a_greeting_for_another_host_is_cut_off_and_told() {
    let web = Web::serve(&["allowed.test", "evil.test"], &[Port::Tls(443)], &[]);
    let fenced = Fenced::with(&[("allowed.test", &web), ("evil.test", &web)], "");
    let through = "openssl s_client -brief -proxy 127.1.0.1:3128 -connect allowed.test:443";
    let script = format!(
        "{AT_ONCE}greet() {{ name=$1; shift; \"$@\" </dev/null >/dev/null 2>&1 && echo $name ok || echo $name cut; }}
        greet same {through} -servername allowed.test
        greet other {through} -servername evil.test
        greet none {through} -noservername
        greet direct openssl s_client -brief -connect 127.1.0.1:443 -servername allowed.test
        greet direct-other openssl s_client -brief -connect 127.1.0.1:443 -servername evil.test
        greet direct-none openssl s_client -brief -connect 127.1.0.1:443 -noservername
        exec 3<>/dev/tcp/127.1.0.1/3128; at_once 'CONNECT allowed.test:443 HTTP/1.1\\r\\n\\r\\nGET / HTTP/1.1\\r\\n\\r\\n' >&3
        while read -r -t 10 line <&3 && [ \"$line\" != $'\\r' ]; do :; done
        read -r -t 10 line <&3 && echo plain $line || echo plain cut"
    );
    let ended = fenced.run(&["--allow-host", "allowed.test"], &script);
    ended.says("same", "ok");
    ended.says("direct", "ok");
    for name in ["other", "none", "direct-other", "direct-none", "plain"] {
        ended.says(name, "cut");
    }
    let reasons: Vec<_> =
        ended.denied().iter().map(|denied| denied["reason"].as_str().expect("a reason")).collect();
    for reason in
        ["TLS greeting names another host", "does not speak TLS", "not on the run's list of hosts"]
    {
        assert!(reasons.contains(&reason), "{reason} in {reasons:?}");
    }
}

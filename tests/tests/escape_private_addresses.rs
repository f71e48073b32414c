//! Attempt: reach what is not the public Internet through names and addresses that are allowed.

use handoff_tests::escape::Listener;
use handoff_tests::fenced::Fenced;

#[test]
fn an_allowed_name_or_address_leads_to_no_private_place() {
    let listener = Listener::start();
    let port = listener.port();
    let fenced = Fenced::with(&[], "");
    // The control: outside, the name leads there.
    let url = format!("http://localhost:{port}/");
    drop(fenced.world.run(&fenced.project, "curl", ["-4", "-sS", "--max-time", "5", &url]));
    listener.is_reached();

    let hosts =
        ["localhost", "127.0.0.1", "[::1]", "0.0.0.0", "[::ffff:127.0.0.1]", "[64:ff9b::7f00:1]"];
    let allowed: Vec<String> = hosts.iter().map(|host| format!("{host}:{port}")).collect();
    let metadata = ["169.254.169.254", "10.0.0.1", "192.168.0.1", "[fd00:ec2::254]"];
    let mut flags: Vec<&str> = Vec::new();
    for host in allowed.iter().map(String::as_str).chain(metadata) {
        flags.extend(["--allow-host", host]);
    }
    let mut script = String::new();
    for (number, host) in allowed.iter().map(String::as_str).chain(metadata).enumerate() {
        // Through the proxy whatever the variables say of local addresses.
        script += &format!(
            "echo {number} $(curl -g -sS --noproxy '' -o /dev/null -w '%{{http_code}}' http://{host}/)\n"
        );
        script += &format!(
            "echo t{number} $(curl -g -sS --noproxy '' -p -o /dev/null -w '%{{http_connect}}' http://{host}/)\n"
        );
    }
    let ended = fenced.run(&flags, &script);
    for number in 0..allowed.len() + metadata.len() {
        ended.says(&number.to_string(), "403");
    }
    for number in 0..allowed.len() {
        ended.says(&format!("t{number}"), "403");
    }
    let denied = ended.denied();
    assert!(
        denied
            .iter()
            .all(|d| d["reason"].as_str().is_some_and(|r| r.contains("no public address"))),
        "{denied:#?}"
    );
    assert_eq!(denied.len(), allowed.len() + metadata.len(), "{denied:#?}");
    assert!(!listener.was_reached(), "nothing arrived");
}

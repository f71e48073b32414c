//! What a run reaches through the fence, and how its owner is told what it did not.

use std::path::Path;

use handoff_tests::{
    fenced::Fenced,
    process,
    web::{Port, Web},
};
use rustix::process::Pid;

/// Writes what came of asking for a URL: the status, or curl's own exit code.
const ASK: &str = r#"ask() { name=$1; shift; code=$(curl -sS -o body -w '%{http_code}' --max-time 20 "$@" 2>error)
    status=$?; [ $status = 0 ] && echo "$name $code" || echo "$name curl-$status"; }
"#;

fn web() -> Web {
    let web = Web::serve(&["allowed.test", "evil.test"], &[Port::Plain(80), Port::Tls(443)], &[]);
    web.file("hello", "hello\n");
    web
}

#[test]
fn an_allowed_host_is_reached_by_every_way_and_no_other_by_any() {
    let (web, other) = (web(), web());
    let fenced = Fenced::with(&[("allowed.test", &web), ("evil.test", &other)], "");
    let ca = fenced.path("allowed.test.pem");
    let evil = fenced.path("evil.test.pem");
    let script = format!(
        "{ASK} cd /tmp
        ask proxy-http http://allowed.test/hello; cat body
        ask proxy-https --cacert {ca} https://allowed.test/hello
        ask plain-http --noproxy '*' http://allowed.test/hello
        ask plain-https --noproxy '*' --cacert {ca} https://allowed.test/hello
        ask evil-http http://evil.test/hello; cat body
        ask evil-https --cacert {evil} https://evil.test/hello
        ask evil-plain --noproxy '*' http://evil.test/hello
        ask evil-plain-https --noproxy '*' --cacert {evil} https://evil.test/hello"
    );
    let ended = fenced.run(&["--allow-host", "allowed.test"], &script);
    for name in ["proxy-http", "proxy-https", "plain-http", "plain-https"] {
        ended.says(name, "200");
    }
    assert!(ended.output().contains("hello\n"));
    ended.says("evil-http", "403");
    // CONNECT refused, name not resolved.
    ended.says("evil-https", "curl-56");
    ended.says("evil-plain", "curl-6");
    ended.says("evil-plain-https", "curl-6");
    assert_eq!(web.wait_for_requests(4).len(), 4);
    assert!(other.requests().is_empty(), "{:?}", other.requests());

    // The program is told, and so is the owner, with what would allow it.
    assert!(ended.output().contains(
        "evil.test:80: not on the run's list of hosts; hand off with --allow-host evil.test"
    ));
    let fixes: Vec<_> = ended.denied().iter().map(|denied| &denied["fix"]).collect();
    assert!(fixes.iter().all(|fix| *fix == "--allow-host evil.test"), "{fixes:?}");
    let name = ended.run["name"].as_str().expect("name");
    let shown = fenced.world.handoff(&fenced.project, ["show", name]).ok();
    assert!(shown.contains("--allow-host evil.test allows it"), "{shown}");
    let watched = fenced.world.handoff(&fenced.project, ["watch", name]);
    let watched = String::from_utf8_lossy(&watched.stdout).into_owned() + &watched.stderr;
    assert!(watched.contains("denied: evil.test:443"), "{watched}");

    let script = format!("{ASK} cd /tmp; ask evil https://evil.test/hello --cacert {evil}");
    fenced.run(&["--allow-host", "evil.test"], &script).says("evil", "200");
    assert_eq!(other.wait_for_requests(1).len(), 1);
}

#[test]
fn the_contract_and_the_operator_allow_hosts_and_ports() {
    let web = Web::serve(&["a.test"], &[Port::Plain(8080), Port::Plain(80)], &[]);
    web.file("hello", "hello\n");
    let placed = [("a.test", &web), ("b.a.test", &web), ("c.test", &web)];
    let fenced = Fenced::with(&placed, "[network]\nhosts = [\"*.a.test\"]\n");
    fenced
        .world
        .write(&fenced.project.join(".handoff.toml"), "[boundary]\nhosts = [\"c.test:8080\"]\n");
    let script = format!(
        "{ASK} cd /tmp
        ask operator http://b.a.test/hello
        ask beneath-only http://a.test/hello
        ask contract http://c.test:8080/hello
        ask other-port http://c.test/hello"
    );
    let ended = fenced.run(&[], &script);
    ended.says("operator", "200");
    ended.says("contract", "200");
    ended.says("beneath-only", "403");
    ended.says("other-port", "403");
}

#[test]
fn what_is_no_host_is_refused_before_anything_is_sent() {
    let fenced = Fenced::with(&[], "");
    let said = fenced.world.handoff(&fenced.project, ["--allow-host", "https://a.test", "true"]);
    said.fails(2, &["\"https://a.test\" names no host", "write HOST, *.HOST or HOST:PORT"]);
    assert_eq!(fenced.remote.runs(), 0);
}

#[test]
fn a_daemon_without_network_says_so() {
    let fenced = Fenced::with(&[], "[network]\ndefault = \"none\"\n");
    let said = fenced.world.handoff(&fenced.project, ["--allow-host", "a.test", "true"]);
    said.fails(7, &["runs of this daemon have no network"]);
    let ended = fenced.run(&[], "curl -sS --max-time 5 http://127.1.0.1:3128 || echo nothing $?");
    ended.says("nothing", "7");
}

#[test]
fn the_fence_outlives_the_daemon() {
    let web = web();
    let mut fenced = Fenced::with(&[("allowed.test", &web)], "");
    let script = "until curl -sSf -o /dev/null http://allowed.test/go 2>/dev/null; do :; done; \
                  curl -sS http://evil.test/; curl -sS http://allowed.test/hello";
    let words = ["-n", "long", "--allow-host", "allowed.test", "--", "bash", "-c", script];
    let id = fenced.world.hand_off(&fenced.project, words);
    web.wait_for("/go");
    let gateways = gateways(&fenced.remote.state().join("runs").join(&id).join("jobs/1-command"));
    assert!(!gateways.is_empty(), "somebody serves the doors");
    for status in gateways {
        let value = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a line");
            line.split_whitespace().collect::<Vec<_>>().join(" ")
        };
        let nobody = ["2415919088"; 4].join(" ");
        assert_eq!((value("Uid:"), value("Gid:")), (nobody.clone(), nobody), "{status}");
        assert_eq!((value("Groups:").as_str(), value("NoNewPrivs:").as_str()), ("", "1"));
        assert_eq!(value("CapEff:"), "0000000000000000");
    }
    fenced.remote.kill();
    web.file("go", "");
    // The run goes on by itself and is denied something while no daemon lives.
    web.wait_for("/hello");
    fenced.remote.restart();
    let invitation = fenced.remote.invite("ada", &[]);
    fenced.world.handoff(&fenced.world.home(), ["remote", "rm", "box"]).ok();
    fenced.world.handoff(&fenced.world.home(), ["remote", "add", "box", &invitation]).ok();
    let run = fenced.world.finished(&fenced.project, &id);
    assert_eq!(run["outcome"], "succeeded", "{run:#}");
    assert_eq!(run["denied"][0]["host"], "evil.test", "{run:#}");
}

/// What the kernel says of each gateway of a job.
fn gateways(job: &Path) -> Vec<String> {
    let parent = format!("PPid:\t{}\n", process::supervisor(job));
    let status = |gateway: Pid| std::fs::read_to_string(format!("/proc/{gateway}/status")).ok();
    let all = process::with(&["handoff-gateway".as_ref()]).into_iter().filter_map(status);
    all.filter(|status| status.contains(&parent)).collect()
}

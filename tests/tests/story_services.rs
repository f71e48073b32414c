//! Runs use services with credentials that they never see.

use std::{fs, path::Path, process::Command};

use handoff_tests::{
    fenced::Fenced,
    web::{Port, Web},
    world::said,
};

/// The credential of every test; nothing else of this machine has these bytes.
const SECRET: &str = "sk-ant-c4n4ry-5d41402abc4b2a76";

fn keep(fenced: &Fenced, name: &str) {
    let (home, state) = (fenced.remote.directory(), fenced.remote.state());
    let config = home.join("handoffd.toml");
    let daemon = [
        ("HOME", AsRef::<Path>::as_ref(&home)),
        ("HANDOFFD_STATE", state.as_ref()),
        ("HANDOFFD_CONFIG", config.as_ref()),
    ];
    fenced.world.keep_credential(name, SECRET, &daemon);
}

#[test]
fn a_model_api_is_used_without_its_key_and_counted() {
    let web = Web::serve(&["api.test"], &[Port::Plain(8099)], &[]);
    let config = format!("[providers.anthropic]\nbase_url = \"http://{}:8099\"\n", web.address());
    let fenced = Fenced::with(&[], &config);
    keep(&fenced, "anthropic");
    let listed = fenced.remote.admin(&["credential", "ls"]).ok();
    assert_eq!(listed, "anthropic\thandoffd\tprovider anthropic\tkey\n");
    let file = fenced.remote.state().join("credentials/anthropic");
    let mode =
        std::os::unix::fs::PermissionsExt::mode(&fs::metadata(file).expect("kept").permissions());
    assert_eq!(mode & 0o777, 0o600);

    let ask = "curl -sS --noproxy '*' -H 'x-api-key: mine' -H 'authorization: Bearer mine'";
    let script = format!(
        "cd /tmp; {ask} -D headers $ANTHROPIC_BASE_URL/v1/messages -d '{{}}' >body && echo plain $(cat body)
        {ask} $ANTHROPIC_BASE_URL/v1/messages -d '{{\"stream\":true}}' >>body
        {ask} -D headers2 $ANTHROPIC_BASE_URL/v1/models >>body; grep -ci x-echo headers2 | sed 's/^/echoed /'
        echo files $({ask} -o denied -w '%{{http_code}}' $ANTHROPIC_BASE_URL/v1/files)
        echo other $({ask} -o denied2 -w '%{{http_code}}' http://127.1.0.1:3129/openai/v1/models)
        echo climb $({ask} --path-as-is -o denied3 -w '%{{http_code}}' $ANTHROPIC_BASE_URL/v1/models/../files)
        echo key $ANTHROPIC_API_KEY
        printf 'c4n%s\n' 4ry >/tmp/pattern
        grep -rIsl -f /tmp/pattern --exclude=pattern --exclude-dir={{proc,usr,bin,sbin,lib,lib32,lib64,libx32}} / | sed 's/^/found /'
        cat /proc/*/environ /proc/*/cmdline 2>/dev/null | grep -caf /tmp/pattern | sed 's/^/processes /'; true"
    );
    let ended = fenced.run(&[], &script);
    ended.says("plain", r#"{"usage": {"input_tokens": 11, "output_tokens": 7}}"#);
    ended.says("echoed", "0");
    ended.says("files", "403");
    ended.says("other", "404");
    ended.says("climb", "404");
    ended.says("key", "handoff-placeholder");
    ended.says("processes", "0");
    assert!(!ended.output().contains("found"), "{}", ended.output());

    let requests = web.wait_for_requests(3);
    assert_eq!(requests.len(), 3, "{requests:#?}");
    for request in &requests {
        assert_eq!(request["headers"]["x-api-key"], SECRET, "{request:#}");
        assert!(request["headers"]["authorization"].is_null(), "{request:#}");
    }
    let used = &ended.run["used"][0];
    assert_eq!(used["provider"], "anthropic", "{:#}", ended.run);
    let counted = ["requests", "input_tokens", "output_tokens"].map(|name| used[name].as_u64());
    assert_eq!(counted, [Some(3), Some(22), Some(14)], "{used:#}");

    // Nothing that the daemon wrote holds the secret, but the one file.
    let mut grep = Command::new("grep");
    grep.args(["-rl", SECRET]).arg(fenced.remote.directory()).arg(fenced.world.path());
    let found = String::from_utf8(said(&mut grep).stdout).expect("paths");
    let found: Vec<&str> = found.lines().collect();
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].ends_with("credentials/anthropic"), "{found:?}");

    fenced.remote.admin(&["credential", "rm", "anthropic"]).ok();
    fenced.remote.admin(&["credential", "rm", "anthropic"]).fails(8, &["there is no credential"]);
    let after = fenced.run(
        &[],
        "echo key ${ANTHROPIC_API_KEY-unset}; curl -sS http://127.1.0.1:3129/anthropic/v1/models",
    );
    after.says("key", "unset");
    after.says("handoff:", "no such service: the daemon has no credential for anthropic");
}

fn bare(web: &Web, name: &str) {
    let path = web.root().join(name);
    let git = |words: &[&str]| {
        let mut git = Command::new("git");
        git.args(words).current_dir(web.root()).env("HOME", web.root());
        drop(said(&mut git).ok());
    };
    git(&["init", "-q", "--bare", "-b", "main", name]);
    let set = |key, value| git(&["-C", path.to_str().expect("text"), "config", key, value]);
    set("http.receivepack", "true");
    set("receive.advertisePushOptions", "true");
}

fn seed(fenced: &Fenced, directory: &Path) {
    fenced.world.git(directory, &["init", "-q"]);
    fenced.world.write(&directory.join("a.txt"), "a\n");
    fenced.world.git(directory, &["add", "."]);
    fenced.world.git(directory, &["commit", "-qm", "first"]);
}

#[test]
fn the_runs_own_remotes_are_fetched_from_and_one_branch_pushed_to() {
    let web = Web::serve(&["git.test"], &[Port::Plain(8098)], &[("GIT_PASSWORD", SECRET)]);
    bare(&web, "o/own.git");
    bare(&web, "o/other.git");
    let config = format!(
        "[git.\"git.test\"]\nbase_url = \"http://{}:8098\"\nusername = \"bot\"\n",
        web.address()
    );
    let fenced = Fenced::with(&[], &config);
    keep(&fenced, "git.test");
    seed(&fenced, &fenced.project);
    fenced.world.git(&fenced.project, &["remote", "add", "origin", "git@git.test:o/own.git"]);

    let script = r#"
        git() { command git -c user.name=x -c user.email=x@y "$@"; }
        try() { name=$1; shift; "$@" >out 2>err && echo $name ok || { echo $name refused; cat err >&2; }; }
        echo b >b.txt; git add b.txt; git commit -qm second
        try push-own git push -q origin HEAD:refs/heads/handoff/run-0
        try push-main git push -q origin HEAD:refs/heads/main
        try push-tag git push -q origin HEAD:refs/tags/v1
        try push-option git push -qf -o repo.private=false origin HEAD~1:refs/heads/handoff/run-0
        try push-both git push -q origin HEAD:refs/heads/handoff/run-0 HEAD:refs/heads/main
        try fetch git fetch -q origin
        try fetch-https git ls-remote https://git.test/o/own.git
        try other git ls-remote http://127.1.0.1:3129/git/git.test/o/other
        try dumb curl -sSf --noproxy '*' http://127.1.0.1:3129/git/git.test/o/own.git/HEAD
        git config --list | grep -c c4n4ry | sed 's/^/secret /'"#;
    let ended = fenced.run(&[], script);
    for (name, expected) in [
        ("push-own", "ok"),
        ("push-main", "refused"),
        ("push-tag", "refused"),
        ("push-option", "refused"),
        ("push-both", "refused"),
        ("fetch", "ok"),
        ("fetch-https", "ok"),
        ("other", "refused"),
        ("dumb", "refused"),
        ("secret", "0"),
    ] {
        ended.says(name, expected);
    }
    let refs = |name: &str| {
        let mut git = Command::new("git");
        git.args(["-c", "safe.directory=*", "for-each-ref", "--format=%(refname)"]);
        said(git.current_dir(web.root().join(name)).env("HOME", web.root())).ok()
    };
    assert_eq!(refs("o/own.git"), "refs/heads/handoff/run-0\n");
    assert_eq!(refs("o/other.git"), "");
    let reasons = ended.run["denied"].to_string();
    for reason in ["push to refs/heads/main", "push to refs/tags/v1", "o/other is not a remote"] {
        assert!(reasons.contains(reason), "{reason} in {reasons}");
    }
}

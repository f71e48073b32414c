//! Settings files, right and wrong.

use std::{path::Path, time::Duration};

use proptest::prelude::*;

use super::*;
use crate::credentials::{Keeper, Kept};
use crate::egress::CredentialKind;

/// Every key there is, with its default.
const COMPLETE: &str = r#"
[listen]
address = "127.0.0.1:7420"
names = []
[store]
quota = "50GiB"
files = 10000000
reserve = "1GiB"
[runs]
concurrent = 4
time_limit = "6h"
memory = "8GiB"
processes = 4096
disk = "20GiB"
output = "1GiB"
[tools]
paths = []
[isolation]
backend = "bubblewrap"
require = []
[network]
default = "fenced"
hosts = []
addresses = {}
"#;

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(text, Path::new("/etc/handoffd/handoffd.toml"))
}

fn error_of(text: &str) -> String {
    parse(text).expect_err("the settings are wrong").to_string()
}

#[test]
fn an_empty_file_means_the_defaults() {
    assert_eq!(parse("").expect("valid"), Config::default());
    assert_eq!(parse(COMPLETE).expect("valid"), Config::default());
}

#[test]
fn values_are_read() {
    let config = parse(
        "[listen]\naddress = \"[::]:0\"\nnames = [\"box.example.com\", \"10.0.0.7\"]\n\
         [store]\ndirectory = \"/srv/handoff\"\n[runs]\ntime_limit = \"1h30m\"\n\
         output = \"64MiB\"\n[network]\ndefault = \"host\"",
    )
    .expect("valid");
    assert_eq!(config.listen.address.port(), 0);
    assert_eq!(config.store.directory.as_deref(), Some(Path::new("/srv/handoff")));
    assert_eq!(config.runs.time_limit, Duration::from_secs(5400));
    assert_eq!(config.runs.output_bytes, 64 << 20);
    assert_eq!(config.runs.processes, 4096);
    assert_eq!(config.network.access, NetworkAccess::Host);
}

#[test]
fn services_are_the_operators_and_those_that_are_known() {
    let config = parse(
        "[network]\nhosts = [\"*.a.test\"]\n[network.addresses]\n\"reg.test\" = [\"10.0.0.7\"]\n\
         [providers.anthropic]\ncredential = \"team\"\n\
         [providers.own]\nbase_url = \"http://10.0.0.8:8000\"\napi = \"openai\"\n\
         [git.\"host.test\"]\nusername = \"bot\"",
    )
    .expect("valid");
    let kept = |name: &str, kind| {
        Some(Kept { path: format!("/c/{name}").into(), keeper: Keeper::Daemon, kind })
    };
    let credential = |name: &str| kept(name, CredentialKind::Key).filter(|_| name != "gemini");
    let terms = config.egress(credential);
    assert_eq!(terms.hosts[0].to_string(), "*.a.test");
    assert_eq!(terms.addresses.len(), 1);
    let providers: Vec<_> = terms
        .providers
        .iter()
        .map(|found| (found.name.as_str(), found.base_url.to_string(), found.credential.clone()))
        .collect();
    assert_eq!(
        providers,
        [
            ("anthropic", "https://api.anthropic.com".into(), "/c/team".into()),
            ("openai", "https://api.openai.com".into(), "/c/openai".into()),
            ("own", "http://10.0.0.8:8000".into(), "/c/own".into()),
        ]
    );
    assert_eq!(config.egress(|name| kept(name, CredentialKind::Key)).providers.len(), 4);
    let git = &terms.git[0];
    assert_eq!((&*git.base_url.to_string(), &*git.username), ("https://host.test", "bot"));
}

#[test]
fn a_subscription_is_used_where_it_counts() {
    let of = |text: &str, kind| {
        let kept = |name: &str| {
            Some(Kept { path: format!("/c/{name}").into(), keeper: Keeper::Daemon, kind })
        };
        let terms = parse(text).expect("valid").egress(kept);
        let found = terms.providers.into_iter();
        found.map(|found| (found.name, found.base_url.to_string(), found.kind)).collect::<Vec<_>>()
    };
    let (subscription, sign_in) = (CredentialKind::Subscription, CredentialKind::SignIn);
    assert!(of("", subscription).iter().all(|(_, _, kind)| *kind == subscription));
    let set = of("[providers.anthropic]\nkind = \"subscription\"", CredentialKind::Key);
    assert_eq!(set[0].2, subscription);
    assert_eq!(of("[providers.anthropic]\nkind = \"key\"", subscription)[0].2, CredentialKind::Key);
    let chatgpt = "https://chatgpt.com/backend-api/codex";
    assert_eq!(of("", sign_in), [("openai".to_owned(), chatgpt.to_owned(), sign_in)]);
    let config = parse("[providers.openai]\ncredential = \"team\"").expect("valid");
    let place = config.sign_in("openai").expect("a place");
    let url = place.token_url.to_string();
    assert_eq!((&*place.credential, &*url), ("team", "https://auth.openai.com/oauth/token"));
    parse("[providers.anthropic]\nkind = \"sign-in\"").expect_err("that is seen");
}

#[test]
fn a_missing_file_is_an_error_only_when_it_was_named() {
    let path = Path::new("/nonexistent/handoffd.toml");
    assert_eq!(Config::load(path, Presence::Optional).expect("defaults"), Config::default());
    let error = Config::load(path, Presence::Required).expect_err("it is missing");
    assert_eq!(error.to_string(), "cannot read settings from /nonexistent/handoffd.toml");
}

#[test]
fn an_unknown_key_names_itself_the_file_and_the_nearest_key() {
    for (text, expected) in [
        (
            "[listen]\nadress = \"x\"",
            "unknown key listen.adress in /etc/handoffd/handoffd.toml: did you mean listen.address?",
        ),
        (
            "[run]\nconcurrent = 3",
            "unknown key run in /etc/handoffd/handoffd.toml: did you mean runs?",
        ),
        (
            "memory = \"1GiB\"",
            "unknown key memory in /etc/handoffd/handoffd.toml: did you mean runs.memory?",
        ),
        ("[zzz]", "unknown key zzz in /etc/handoffd/handoffd.toml"),
    ] {
        assert_eq!(error_of(text), expected);
    }
}

#[test]
fn a_key_without_effect_says_so() {
    for (text, key) in [
        ("[store]\nkeep = \"30d\"", "store.keep"),
        ("[isolation]\nbackend = \"gvisor\"", "isolation.backend = \"gvisor\""),
    ] {
        let expected = format!("{key} in /etc/handoffd/handoffd.toml is not built yet: remove it");
        assert_eq!(error_of(text), expected);
    }
}

#[test]
fn wrong_values_are_refused_with_their_place() {
    for (text, part) in [
        ("[runs]\nmemory = \"8GB\"", "\"8GB\" is not a size"),
        ("[runs]\nmemory = 8", "expected a string"),
        ("[runs]\ntime_limit = \"0s\"", "\"0s\" is not a duration"),
        ("[runs]\nconcurrent = 0", "runs.concurrent in /etc/handoffd/handoffd.toml cannot be 0"),
        ("[network]\ndefault = \"open\"", "unknown variant `open`"),
        ("[listen]\nnames = [\"a b\"]", "listen.names"),
        ("[network]\nhosts = [\"https://a.test\"]", "write HOST, *.HOST or HOST:PORT"),
        ("[network.addresses]\n\"a.test\" = [\"b.test\"]", "invalid IP address"),
        ("[providers.anthropic]\nbase_url = \"a.test\"", "\"a.test\" is no base URL"),
        ("[providers.own]\nbase_url = \"https://a.test\"", "give it a base_url, and an api"),
        ("[providers.git]\nbase_url = \"https://a.test\"\napi = \"openai\"", "others' names"),
        ("[mcp.My_server]\nurl = \"https://a.test\"", "mcp.credential"),
        ("[providers.mcp]\nbase_url = \"https://a.test\"\napi = \"openai\"", "others' names"),
        ("[providers.\"a/b\"]\nbase_url = \"https://a.test\"\napi = \"openai\"", "write letters"),
        ("[git.\"a.test\"]\nbase_url = \"x\"", "write https://HOST[:PORT][/PATH]"),
        ("[git.\"a.test\"]\ncredential = \"Team\"", "git.credential"),
        ("[git.\"[::1]\"]", "git.credential"),
        ("[tools]\npaths = [\"bin\"]", "write an absolute path"),
        ("[isolation]\nlauncher = \"run/x.sock\"", "isolation.launcher"),
        ("listen = 3", "wrong"),
        ("[listen", "line 1"),
    ] {
        let error = error_of(text);
        assert!(error.contains(part), "{text:?}: {error}");
        assert!(error.contains("/etc/handoffd/handoffd.toml"), "{text:?}: {error}");
    }
}

#[test]
fn the_list_of_keys_is_what_serde_accepts() {
    let table: toml::Table = toml::from_str(COMPLETE).expect("valid");
    for (section, keys) in check::KEYS {
        let present = table[*section].as_table().expect("a section");
        let missing = keys.iter().filter(|key| !present.contains_key(**key));
        let optional = [("store", "directory"), ("isolation", "launcher")];
        let expected = optional.iter().filter(|(of, _)| of == section).map(|(_, key)| key);
        assert!(missing.eq(expected), "{section}");
    }
}

#[test]
fn the_environment_wins_over_settings_and_usual_places() {
    let none = |_: &str| None;
    let root = Locations::find(0, none).expect("root needs no home");
    assert_eq!(root.config, ("/etc/handoffd/handoffd.toml".into(), Presence::Optional));
    assert_eq!(root.state(&Config::default()), Path::new("/var/lib/handoffd"));
    let settings = parse("[store]\ndirectory = \"/srv/handoff\"").expect("valid");
    assert_eq!(root.state(&settings), Path::new("/srv/handoff"));
    let both = |name: &str| Some(format!("/x/{name}").into());
    let given = Locations::find(1000, both).expect("both places are given");
    assert_eq!(given.config, ("/x/HANDOFFD_CONFIG".into(), Presence::Required));
    assert_eq!(given.state(&settings), Path::new("/x/HANDOFFD_STATE"));
}

proptest! {
    #[test]
    fn any_whole_number_of_seconds_can_be_written(days in 0_u64..3000, seconds in 1_u64..86400) {
        let text = format!("{days}d{seconds}s");
        prop_assert_eq!(parse_duration(&text), Ok(Duration::from_secs(days * 86400 + seconds)));
    }

    #[test]
    fn no_text_makes_the_parsers_panic(text in "\\PC{0,24}|[0-9smhdwKMGTiB]{0,24}") {
        drop(parse_duration(&text));
        drop(parse_size(&text));
    }
}

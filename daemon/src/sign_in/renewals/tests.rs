use std::cell::Cell;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;
use crate::egress::Secret;

/// A service that answers each request with what it is told, and counts them.
struct Service {
    place: Place,
    asked: Arc<AtomicUsize>,
    _serving: tokio::task::JoinSet<()>,
}

impl Service {
    async fn answering(answer: impl Fn(&str) -> (u16, Value) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("listen");
        let url = format!("http://{}/oauth/token", listener.local_addr().expect("address"));
        let asked = Arc::new(AtomicUsize::new(0));
        let counted = asked.clone();
        let mut serving = tokio::task::JoinSet::new();
        serving.spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.expect("accept");
                let mut bytes = Vec::new();
                while !bytes.ends_with(b"}") {
                    assert_ne!(stream.read_buf(&mut bytes).await.expect("read"), 0);
                }
                counted.fetch_add(1, Ordering::Relaxed);
                let (status, body) = answer(&String::from_utf8_lossy(&bytes));
                let (body, line) = (body.to_string(), format!("HTTP/1.1 {status} x"));
                let answer = format!("{line}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
                stream.write_all(answer.as_bytes()).await.expect("answer");
            }
        });
        let place = Place {
            credential: "openai".to_owned(),
            token_url: url.parse().expect("a URL"),
            addresses: BTreeMap::new(),
        };
        Self { place, asked, _serving: serving }
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

fn kept(number: u32) -> Secret {
    let [access, refresh] = ["access", "refresh"].map(|what| format!("{what}-{number}"));
    let tokens = json!({ "access_token": access, "account_id": "x", "refresh_token": refresh });
    Secret::new(&json!({ "tokens": tokens }).to_string())
}

fn seen(number: u32) -> String {
    SignIn::parse(kept(number).reveal()).expect("a sign-in").access.fingerprint()
}

fn renewals() -> (tempfile::TempDir, Renewals) {
    let state = tempfile::tempdir().expect("a directory");
    let credentials = Credentials::new(state.path());
    credentials.add("openai", &kept(1)).expect("add");
    (state, Renewals::new(credentials))
}

fn file(renewals: &Renewals) -> String {
    fs::read_to_string(renewals.credentials.find("openai").expect("kept").path).expect("read")
}

#[tokio::test]
async fn whoever_asks_at_once_there_is_one_renewal_and_its_tokens_are_kept() {
    let (_state, renewals) = renewals();
    let service = Service::answering(|asked| {
        assert!(asked.starts_with("POST /oauth/token HTTP/1.1\r\n"), "{asked}");
        assert!(asked.contains(r#""refresh_token":"refresh-1""#), "{asked}");
        (200, json!({ "access_token": "access-2", "refresh_token": "refresh-2" }))
    })
    .await;
    let seen = seen(1);
    let asking = || renewals.renew(&service.place, &seen);
    let (one, two, three) = tokio::join!(asking(), asking(), asking());
    assert_eq!([one, two, three], [Ok(()), Ok(()), Ok(())]);
    assert_eq!(service.asked(), 1);
    assert_eq!(file(&renewals), kept(2).reveal());
}

#[tokio::test]
async fn what_is_refused_for_good_is_asked_once_and_says_what_to_do() {
    let (_state, renewals) = renewals();
    let reused = json!({ "error": { "code": "refresh_token_reused" } });
    let service = Service::answering(move |_| (401, reused.clone())).await;
    for _ in 0..2 {
        let failed = renewals.renew(&service.place, &seen(1)).await.expect_err("refused");
        assert!(failed.is_final, "{failed:?}");
        for text in ["renewed elsewhere", "`codex login`", "`handoffd credential add openai`"] {
            assert!(failed.reason.contains(text), "no {text} in {failed:?}");
        }
    }
    assert_eq!(service.asked(), 1);
    assert_eq!(file(&renewals), kept(1).reveal());
    // Another one is tried again.
    renewals.credentials.add("openai", &kept(7)).expect("add");
    renewals.renew(&service.place, &seen(7)).await.expect_err("refused");
    assert_eq!(service.asked(), 2);
}

#[tokio::test]
async fn what_may_pass_is_tried_again_but_not_at_once() {
    thread_local! {
        static NOW: Cell<Option<Instant>> = const { Cell::new(None) };
    }
    let (_state, mut renewals) = renewals();
    let start = Instant::now();
    renewals.clock = || NOW.get().expect("a time");
    let service = Service::answering(|_| (503, json!({}))).await;
    for (count, after) in [(1, Duration::ZERO), (1, PAUSE / 2), (2, PAUSE), (2, PAUSE * 3 / 2)] {
        NOW.set(Some(start + after));
        let failed = renewals.renew(&service.place, &seen(1)).await.expect_err("away");
        assert!(!failed.is_final && failed.reason.contains("503"), "{failed:?}");
        assert_eq!(service.asked(), count, "after {after:?}");
    }
    NOW.set(Some(start + 2 * PAUSE));
    let gone = Place { token_url: "http://127.0.0.1:1/x".parse().expect("a URL"), ..service.place };
    let failed = renewals.renew(&gone, &seen(1)).await.expect_err("nobody there");
    assert!(!failed.is_final && failed.reason.ends_with("service cannot be reached"), "{failed:?}");
}

#[tokio::test]
async fn a_credential_is_changed_while_a_service_thinks_and_not_written_over() {
    let (_state, renewals) = renewals();
    let renewals = Arc::new(renewals);
    let service = {
        let renewals = renewals.clone();
        Service::answering(move |_| {
            let held = renewals.files.try_lock().expect("nobody has the files");
            renewals.credentials.add("openai", &kept(7)).expect("add");
            drop(held);
            (200, json!({ "access_token": "access-2", "refresh_token": "refresh-2" }))
        })
        .await
    };
    renewals.renew(&service.place, &seen(1)).await.expect("there is another one");
    assert_eq!(file(&renewals), kept(7).reveal());
}

#[tokio::test]
async fn tokens_that_could_not_be_written_are_not_lost() {
    let (_state, renewals) = renewals();
    let path = renewals.credentials.find("openai").expect("kept").path;
    let in_the_way = path.clone();
    let service = Service::answering(move |_| {
        // What cannot be read may be anybody's, and is not written over.
        fs::write(&in_the_way, [0xff]).expect("write");
        (200, json!({ "access_token": "access-2", "refresh_token": "refresh-2" }))
    })
    .await;
    let failed = renewals.renew(&service.place, &seen(1)).await.expect_err("not kept");
    assert!(!failed.is_final && failed.reason.contains("cannot be read"), "{failed:?}");
    fs::write(&path, kept(1).reveal()).expect("write");
    renewals.renew(&service.place, &seen(1)).await.expect("renewed");
    assert_eq!(service.asked(), 1);
    assert_eq!(file(&renewals), kept(2).reveal());
}

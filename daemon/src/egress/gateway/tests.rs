use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;
use crate::egress::policy::{Api, CredentialKind};

/// Far longer than an answer takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// How many doors are served connection by connection.
const LISTENERS: usize = Door::ALL.len() - 1;

/// Doors of a test's own on loopback, and where they are.
fn doors() -> (Doors, [SocketAddr; Door::ALL.len()]) {
    let sockets = Door::ALL.map(|door| -> (OwnedFd, SocketAddr) {
        if door == Door::NamesUdp {
            let socket = StdUdpSocket::bind("127.0.0.1:0").expect("bind");
            socket.set_nonblocking(true).expect("set");
            let address = socket.local_addr().expect("address");
            (socket.into(), address)
        } else {
            let listener = StdListener::bind("127.0.0.1:0").expect("listen");
            listener.set_nonblocking(true).expect("set");
            let address = listener.local_addr().expect("address");
            (listener.into(), address)
        }
    });
    let addresses = sockets.each_ref().map(|(_, address)| *address);
    (Doors(sockets.map(|(socket, _)| socket)), addresses)
}

async fn ask(client: &mut TcpStream, target: &str) {
    let request = format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n");
    client.write_all(request.as_bytes()).await.expect("ask");
}

/// Reads one answer, whose body is one line.
async fn answer_of(client: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    loop {
        let read = tokio::time::timeout(PATIENCE, client.read_buf(&mut bytes)).await;
        assert!(read.expect("in time").expect("read") > 0, "the connection ended");
        let text = String::from_utf8_lossy(&bytes);
        if text.split_once("\r\n\r\n").is_some_and(|(_, body)| body.ends_with('\n')) {
            return text.into_owned();
        }
    }
}

/// Opens a connection to a door that answers.
async fn answered(door: SocketAddr, target: &str) -> (TcpStream, String) {
    let mut client = TcpStream::connect(door).await.expect("connect");
    ask(&mut client, target).await;
    let answer = answer_of(&mut client).await;
    (client, answer)
}

#[test]
fn there_are_as_many_connections_as_the_system_allows_for() {
    for (descriptors, expected) in
        [(u64::MAX, 512), (3200, 512), (3199, 511), (1024, 149), (512, 64), (511, 63), (0, 0)]
    {
        assert_eq!(connections(descriptors), expected, "{descriptors}");
    }
}

#[tokio::test]
async fn connections_beyond_the_limit_wait_for_room_and_disturb_no_other() {
    const DENIED: &str = "http://evil.test/";
    // Both ends of all of them are in this process.
    let limits = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limits.maximum, ..limits }).expect("descriptors");
    let (fence, _notices) = Fence::of(Policy::default());
    let (doors, [proxy, services, ..]) = doors();
    let _names = serve(&fence, doors, CONNECTIONS_MAX).expect("serve");

    // Every door keeps one place for whoever knocks there next.
    let mut inside = Vec::new();
    for _ in 0..CONNECTIONS_MAX - (LISTENERS - 1) {
        let (client, answer) = answered(proxy, DENIED).await;
        assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
        inside.push(client);
    }
    let mut beyond = TcpStream::connect(proxy).await.expect("the kernel's queue has room");
    ask(&mut beyond, DENIED).await;

    for client in &mut inside {
        ask(client, DENIED).await;
        assert!(answer_of(client).await.starts_with("HTTP/1.1 403"));
    }
    let (_other, answer) = answered(services, "/nothing/there").await;
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
    let silent = beyond.try_read(&mut [0]).expect_err("there is no room yet");
    assert_eq!(silent.kind(), io::ErrorKind::WouldBlock);

    drop(inside.pop());
    assert!(answer_of(&mut beyond).await.starts_with("HTTP/1.1 403"), "there is room again");
}

#[tokio::test]
async fn a_credential_that_is_gone_is_missed_by_its_own_service_only() {
    let api = TcpListener::bind("127.0.0.1:0").await.expect("listen");
    let base_url = format!("http://{}", api.local_addr().expect("address"));
    let directory = tempfile::tempdir().expect("directory");
    std::fs::write(directory.path().join("kept"), "s3cret\n").expect("write");
    let provider = |name: &str| Provider {
        name: name.to_owned(),
        api: Api::OpenAi,
        base_url: base_url.parse().expect("a URL"),
        credential: directory.path().join(name),
        kind: CredentialKind::Key,
    };
    let providers = vec![provider("kept"), provider("removed")];
    let policy = Policy { providers, ..Policy::default() };
    let secrets = Secrets::read(&policy, Vec::new());
    let (fence, _notices) = Fence::new(policy, secrets);
    fence.spawn(async move {
        let (mut call, _) = api.accept().await.expect("accept");
        let _request = call.read(&mut [0; 4096]).await.expect("read");
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\nmodels\n";
        call.write_all(answer).await.expect("answer");
    });
    let (doors, [_, services, ..]) = doors();
    let _names = serve(&fence, doors, CONNECTIONS_MAX).expect("serve");

    let (_client, answer) = answered(services, "/removed/v1/models").await;
    assert!(answer.starts_with("HTTP/1.1 502"), "{answer}");
    assert!(answer.ends_with("the daemon's credential for removed is gone\n"), "{answer}");
    let (_client, answer) = answered(services, "/kept/v1/models").await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("models\n"), "{answer}");
    // One that there was none of when the run started is no service at all.
    let (_client, answer) = answered(services, "/never/v1/models").await;
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
    assert!(answer.contains("the daemon has no credential for never"), "{answer}");
}

#[test]
fn a_sign_in_is_what_is_handed_over_and_is_sent_as_nothing_else() {
    let directory = tempfile::tempdir().expect("directory");
    let tokens = r#"{"tokens":{"access_token":"a","refresh_token":"r","account_id":"x"}}"#;
    std::fs::write(directory.path().join("sign-in"), tokens).expect("write");
    let credential = |name: &str| directory.path().join(name);
    let url = || "https://a.test".parse::<upstream::Upstream>().expect("a URL");
    let provider = |name: &str, kind, file: &str| Provider {
        name: name.to_owned(),
        api: Api::OpenAi,
        base_url: url(),
        credential: credential(file),
        kind,
    };
    let mcp = McpServer {
        name: "m".to_owned(),
        url: url(),
        header: "authorization".to_owned(),
        scheme: String::new(),
        credential: credential("sign-in"),
    };
    let git = GitHost {
        host: "a.test".to_owned(),
        base_url: url(),
        username: "u".to_owned(),
        credential: credential("sign-in"),
        repositories: Vec::new(),
    };
    let providers = vec![
        provider("handed", CredentialKind::SignIn, "not-here"),
        provider("not-handed", CredentialKind::SignIn, "sign-in"),
        provider("changed", CredentialKind::Key, "sign-in"),
    ];
    let (mcp, git) = (vec![mcp], vec![git]);
    let policy = Policy { providers, mcp, git, ..Policy::default() };
    let handed = vec![Renewed::of("handed", Ok(&Secret::new(tokens)))];
    let Secrets { providers, git, mcp } = Secrets::read(&policy, handed);
    assert!(matches!(providers[0].credential, Some(Means::SignIn(_))));
    assert!(providers[1].credential.is_none() && providers[2].credential.is_none());
    assert!(git[0].credential.is_none() && mcp[0].credential.is_none());
}

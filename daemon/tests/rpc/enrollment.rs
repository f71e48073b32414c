//! Pairing over the wire: a real server on a free port, real TLS clients, every way it can fail.

use std::{
    error::Error as _,
    sync::Arc,
    time::{Duration, SystemTime},
};

use handoff_proto::{
    problem::{Code, Problem},
    wire::{InfoRequest, runs_client::RunsClient},
};
use tokio::{io::AsyncReadExt, net::TcpStream, task::JoinSet};

use crate::server::{Server, in_time, signing_request};

const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test(flavor = "multi_thread")]
async fn an_invited_device_gets_in_and_keeps_its_name() {
    in_time(async {
        let server = Server::start().await;
        let device = server.pair().await;
        assert_eq!(server.call(Some(&device)).await.code(), tonic::Code::Unimplemented);
        let known = server.store.devices().list().await.expect("devices");
        assert_eq!((known.len(), known[0].name.as_str()), (1, "laptop"));
        assert_eq!(known[0].user.as_str(), "ada");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invitation_leads_to_the_server_that_made_it() {
    in_time(async {
        let server = Server::start().await;
        let invitation = server.invite(SystemTime::now()).await;
        assert_eq!(invitation.addresses, [server.address.to_string()]);
        server.tls(&invitation.authority, None).await.expect("the authority is the server's");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_wrong_invitation_gets_its_own_error() {
    in_time(async {
        let (server, other) = (Server::start().await, Server::start().await);
        let (_, request) = signing_request();
        let used = server.invite(SystemTime::now()).await.secret;
        server.enroll(&used, &request).await.expect("paired");
        let expired = server.invite(SystemTime::now() - 2 * HOUR).await.secret;
        let foreign = other.invite(SystemTime::now()).await.secret;
        let again = "ask for a new one with `handoffd invite USER`";
        for (secret, message) in [
            (used.as_slice(), format!("invitation was used already: {again}")),
            (&expired, format!("invitation has expired: {again}")),
            (&foreign, format!("invitation is unknown to this daemon: {again}")),
            (&[0; 32], format!("invitation is unknown to this daemon: {again}")),
        ] {
            let problem = server.refusal(secret, &request).await;
            assert_eq!((problem.code, problem.message), (Code::Refused, message));
        }
        let problem = server.refusal(b"garbage", &request).await;
        let message = "invitation is damaged: its secret has 7 bytes instead of 32";
        assert_eq!((problem.code, problem.message.as_str()), (Code::Usage, message));
        assert_eq!(server.store.devices().list().await.expect("devices").len(), 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_request_does_not_use_the_invitation_up() {
    in_time(async {
        let server = Server::start().await;
        let secret = server.invite(SystemTime::now()).await.secret;
        for request in ["", "hello", &"x".repeat(20_000)] {
            let problem = server.refusal(&secret, request).await;
            assert_eq!(problem.code, Code::Usage, "{problem}");
            assert!(problem.message.starts_with("certificate signing request is refused"));
        }
        server.enroll(&secret, &signing_request().1).await.expect("it is still good");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_devices_with_one_invitation_one_gets_in() {
    in_time(async {
        let server = Arc::new(Server::start().await);
        let secret = server.invite(SystemTime::now()).await.secret;
        let mut devices = JoinSet::new();
        for _ in 0..8 {
            let server = server.clone();
            devices
                .spawn(async move { server.enroll(&secret, &signing_request().1).await.is_ok() });
        }
        let paired = devices.join_all().await.into_iter().filter(|paired| *paired).count();
        assert_eq!(paired, 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_certificate_only_enrollment_is_open() {
    in_time(async {
        let server = Server::start().await;
        let status = server.call(None).await;
        assert_eq!(status.code(), tonic::Code::Unauthenticated);
        let problem = Problem::from_status(&status);
        assert_eq!(problem.code, Code::Refused);
        assert_eq!(problem.message, "this device is not paired with the daemon");
        assert_eq!(problem.hint, "pair it with `handoff remote add NAME INVITATION`");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_of_another_authority_is_refused_by_tls() {
    in_time(async {
        let (server, other) = (Server::start().await, Server::start().await);
        let stranger = other.pair().await;
        let error = match server.tls(server.authority.certificate(), Some(&stranger)).await {
            Err(error) => error,
            // A TLS 1.3 client learns it with the first answer.
            Ok(mut stream) => stream.read_u8().await.expect_err("the server has hung up"),
        };
        let text = error.to_string();
        assert!(text.contains("received fatal alert: UnknownCA"), "{text}");
        let error = server.tls(other.authority.certificate(), None).await.expect_err("not ours");
        assert!(error.to_string().contains("UnknownIssuer"), "{error}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_device_is_out_at_once() {
    in_time(async {
        let server = Server::start().await;
        let device = server.pair().await;
        let mut client = RunsClient::new(server.channel(Some(&device)).await);
        let status = client.info(InfoRequest::default()).await.expect_err("no such service");
        assert_eq!(status.code(), tonic::Code::Unimplemented, "let in");
        server.revoke("ada").await;
        // The connection that is open already ends, and a new one is of no use.
        while client.info(InfoRequest::default()).await.expect_err("revoked").source().is_none() {}
        let status = server.call(Some(&device)).await;
        assert_eq!(status.code(), tonic::Code::Unauthenticated);
        assert_eq!(status.message(), "this device was revoked");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_ends_with_its_connections() {
    in_time(async {
        let mut server = Server::start().await;
        let device = server.pair().await;
        let mut idle =
            server.tls(server.authority.certificate(), Some(&device)).await.expect("tls");
        let mut client = RunsClient::new(server.channel(Some(&device)).await);
        client.info(InfoRequest::default()).await.expect_err("no such service");
        server.stop.send(()).expect("it runs");
        server.running.join_next().await.expect("one task").expect("no panic");
        let mut rest = Vec::new();
        // Whatever it still says, the connection is over.
        drop(idle.read_to_end(&mut rest).await);
        assert!(TcpStream::connect(server.address).await.is_err());
    })
    .await;
}

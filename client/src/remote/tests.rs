//! Pairs with and connects to daemons over real TLS, good and bad ones.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use handoff_proto::invitation::Invitation;
use handoff_proto::wire::enrollment_server::{Enrollment, EnrollmentServer};
use handoff_proto::wire::{EnrollReply, EnrollRequest, InfoRequest};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, ExtendedKeyUsagePurpose,
    IsCa, Issuer, KeyPair,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::task::TaskTracker;
use tonic::{Request, Response, Status};

use super::enroll::{EnrollError, enroll};
use super::*;
use crate::exit::{Exit, explain};
use crate::settings::{Places, Settings};

const SECRET: [u8; 32] = [7; 32];

/// A certificate authority with its key.
struct Authority {
    certificate: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        let certificate = params.self_signed(&key).unwrap();
        Self { certificate: certificate.der().clone(), issuer: Issuer::new(params, key) }
    }

    fn sign(&self, request: &str) -> String {
        let mut request = CertificateSigningRequestParams::from_pem(request).unwrap();
        request.params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        request.signed_by(&self.issuer).unwrap().pem()
    }

    fn server_config(&self, devices: &CertificateDer<'static>) -> ServerConfig {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(devices.clone()).unwrap();
        let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider.clone());
        let verifier = verifier.allow_unauthenticated().build().unwrap();
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(verifier)
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec()];
        config
    }
}

/// A daemon that pairs devices and does nothing else.
struct Daemon {
    authority: Arc<Authority>,
    address: SocketAddr,
}

struct Pairing(Arc<Authority>);

#[tonic::async_trait]
impl Enrollment for Pairing {
    async fn enroll(
        &self,
        request: Request<EnrollRequest>,
    ) -> Result<Response<EnrollReply>, Status> {
        let request = request.into_inner();
        if request.secret != SECRET {
            return Err(Status::permission_denied("the invitation was used already"));
        }
        let certificate = self.0.sign(&request.signing_request);
        Ok(Response::new(EnrollReply { certificate, user: "me".to_owned() }))
    }
}

impl Daemon {
    async fn start() -> Self {
        let authority = Arc::new(Authority::new());
        Self::start_accepting(authority.clone(), &authority.certificate).await
    }

    /// A daemon that accepts the devices of one authority only.
    async fn start_accepting(authority: Arc<Authority>, devices: &CertificateDer<'static>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(authority.server_config(devices)));
        let (streams, incoming) = mpsc::channel::<Result<TlsStream<TcpStream>, std::io::Error>>(1);
        let tasks = TaskTracker::new();
        tasks.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                if let Ok(stream) = acceptor.accept(stream).await {
                    drop(streams.send(Ok(stream)).await);
                }
            }
        });
        let service = EnrollmentServer::new(Pairing(authority.clone()));
        let server = tonic::transport::Server::builder().add_service(service);
        tasks.spawn(server.serve_with_incoming(ReceiverStream::new(incoming)));
        Self { authority, address }
    }

    fn invitation(&self) -> Invitation {
        Invitation {
            addresses: vec![self.address.to_string()],
            authority: self.authority.certificate.to_vec(),
            secret: SECRET,
            expires_unix_seconds: 1000,
        }
    }
}

fn settings(home: &Path) -> Settings {
    Settings::load(Places::beneath(home)).unwrap()
}

async fn paired(home: &Path, daemon: &Daemon) -> Settings {
    let mut settings = settings(home);
    let user = enroll(&mut settings, "box", &daemon.invitation(), 0).await.unwrap();
    assert_eq!(user, "me");
    settings
}

/// What a call ends with; the daemon has no such call.
async fn call(settings: &Settings) -> anyhow::Error {
    match connect("box", settings.remote("box").unwrap()).await {
        Ok(remote) => {
            remote.error(remote.runs().info(InfoRequest::default()).await.unwrap_err()).into()
        }
        Err(error) => error.into(),
    }
}

/// The daemon was reached and accepted us, but has no such call.
fn check_reached(error: &anyhow::Error) {
    let message = explain(error).message;
    assert!(message.starts_with("remote box answers:"), "{message}");
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> =
        std::fs::read_dir(directory).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    files
}

#[tokio::test]
async fn a_paired_device_is_accepted_and_its_key_is_private() {
    use std::os::unix::fs::PermissionsExt as _;
    let (home, daemon) = (tempfile::tempdir().unwrap(), Daemon::start().await);
    let settings = paired(home.path(), &daemon).await;
    check_reached(&call(&settings).await);
    let keys = settings.places.remote("box");
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&keys), 0o700);
    assert!(files(&keys).iter().all(|file| mode(file) == 0o600));
    assert!(PrivateKeyDer::from_pem_file(keys.join("key.pem")).is_ok());
}

#[tokio::test]
async fn a_failed_pairing_leaves_nothing_behind() {
    let (home, daemon) = (tempfile::tempdir().unwrap(), Daemon::start().await);
    let mut settings = settings(home.path());
    let spent = Invitation { secret: [0; 32], ..daemon.invitation() };
    let error = anyhow::Error::from(enroll(&mut settings, "box", &spent, 0).await.unwrap_err());
    let explained = explain(&error);
    assert_eq!(explained.exit, Exit::Refused);
    assert!(
        explained.message.ends_with("the invitation was used already"),
        "{}",
        explained.message
    );
    assert_eq!(files(&settings.places.state.join("remotes")), Vec::<PathBuf>::new());
    assert!(settings.remotes().next().is_none());
    let error = enroll(&mut settings, "box", &daemon.invitation(), 1000).await.unwrap_err();
    assert!(matches!(error, EnrollError::Expired));
}

#[tokio::test]
async fn an_invitation_is_good_for_its_own_daemon_only() {
    let (home, daemon, other) =
        (tempfile::tempdir().unwrap(), Daemon::start().await, Daemon::start().await);
    let addresses = vec![other.address.to_string()];
    let redirected = Invitation { addresses, ..daemon.invitation() };
    let error = enroll(&mut settings(home.path()), "box", &redirected, 0).await.unwrap_err();
    let explained = explain(&error.into());
    assert_eq!(explained.exit, Exit::Refused);
    assert!(
        explained.message.contains("is another daemon than the one you paired with"),
        "{explained:?}"
    );
}

#[tokio::test]
async fn another_daemon_at_the_address_is_not_trusted() {
    let (home, daemon, other) =
        (tempfile::tempdir().unwrap(), Daemon::start().await, Daemon::start().await);
    let settings = paired(home.path(), &daemon).await;
    let settings = settings.with_addresses("box", vec![other.address.to_string()]);
    let explained = explain(&call(&settings).await);
    assert_eq!(explained.exit, Exit::Refused);
    assert!(
        explained.message.contains("is another daemon than the one you paired with"),
        "{explained:?}"
    );
}

#[tokio::test]
async fn a_device_that_is_shut_out_is_told_so() {
    let (home, daemon) = (tempfile::tempdir().unwrap(), Daemon::start().await);
    let settings = paired(home.path(), &daemon).await;
    let strict =
        Daemon::start_accepting(daemon.authority.clone(), &Authority::new().certificate).await;
    let settings = settings.with_addresses("box", vec![strict.address.to_string()]);
    let explained = explain(&call(&settings).await);
    assert_eq!(explained.exit, Exit::Refused, "{explained:?}");
    assert!(
        explained.message.contains("does not accept this device's certificate"),
        "{explained:?}"
    );
}

#[tokio::test]
async fn addresses_are_tried_in_turn_and_the_last_failure_is_told() {
    let (home, daemon) = (tempfile::tempdir().unwrap(), Daemon::start().await);
    let settings = paired(home.path(), &daemon).await;
    // Taken, and nobody listens.
    let taken = TcpSocket::new_v4().unwrap();
    taken.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let silent = taken.local_addr().unwrap();
    let both = vec![silent.to_string(), daemon.address.to_string()];
    check_reached(&call(&settings.clone().with_addresses("box", both)).await);
    let explained = explain(&call(&settings.with_addresses("box", vec![silent.to_string()])).await);
    assert_eq!(explained.exit, Exit::Unreachable);
    let expected = format!("cannot reach remote box: cannot connect to {silent}: ");
    assert!(explained.message.starts_with(&expected), "{explained:?}");
    assert!(explained.hint.unwrap().contains("handoffd serve"));
}

#[tokio::test]
async fn somebody_without_tls_is_unreachable() {
    let (home, daemon) = (tempfile::tempdir().unwrap(), Daemon::start().await);
    let settings = paired(home.path(), &daemon).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    TaskTracker::new().spawn(async move { while listener.accept().await.is_ok() {} });
    let explained = explain(&call(&settings.with_addresses("box", vec![address])).await);
    assert_eq!(explained.exit, Exit::Unreachable, "{explained:?}");
}

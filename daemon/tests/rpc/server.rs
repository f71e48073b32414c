//! A server on a free port with a state directory of its own, and devices that pair with it.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, SystemTime},
};

use handoff_daemon::{
    config::Config,
    pki::{Authority, Pairing, ServerNames, server_config},
    rpc::{enrollment::EnrollmentService, identity::Identity, runs::RunsService, server},
    runs::{HostUids, Registry, RunSettings},
    store::{UserName, embedded::Embedded},
    workspace::Tools,
};
use handoff_proto::{
    invitation::Invitation,
    problem::Problem,
    wire::{
        EnrollReply, EnrollRequest, InfoRequest, enrollment_client::EnrollmentClient,
        enrollment_server::EnrollmentServer, runs_client::RunsClient, runs_server::RunsServer,
    },
};
use hyper_util::rt::TokioIo;
use rcgen::{CertificateParams, KeyPair};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring::default_provider,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, pem::PemObject},
};
use tempfile::TempDir;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::JoinSet,
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tonic::{
    Status,
    service::Routes,
    transport::{Channel, Endpoint, Uri},
};

const HOUR: Duration = Duration::from_secs(3600);

/// A running server with a state directory of its own; it ends when it is dropped.
pub(crate) struct Server {
    /// What the state directory is in, so that what escapes from that is seen.
    pub(crate) directory: TempDir,
    pub(crate) address: SocketAddr,
    pub(crate) store: Embedded,
    pub(crate) authority: Arc<Authority>,
    pairing: Pairing,
    pub(crate) stop: oneshot::Sender<()>,
    pub(crate) running: JoinSet<()>,
}

/// A client's certificate and key.
pub(crate) struct Device {
    certificate: CertificateDer<'static>,
    key: KeyPair,
}

impl Server {
    /// A server that pairs devices, and has no other service.
    pub(crate) async fn start() -> Self {
        let directory = tempfile::tempdir().expect("directory");
        let store = Embedded::open(&directory.path().join("state")).expect("store");
        Self::of(directory, store, None).await
    }

    /// A server that takes runs, and never starts one.
    pub(crate) async fn with_runs() -> Self {
        let directory = tempfile::tempdir().expect("directory");
        let store = Embedded::open(&directory.path().join("state")).expect("store");
        let mut config = Config::default();
        config.runs.concurrent = 0;
        let settings = RunSettings {
            host_uids: HostUids::None { why: None },
            config,
            state: directory.path().join("state"),
            worker: "test".to_owned(),
            tools: Tools::configured(&[]).expect("no tools"),
        };
        let (tracker, stopping) = Default::default();
        let registry = Registry::recover(store.interfaces(), settings, tracker, stopping).await;
        let runs = RunsService::new(registry.expect("registry"), Identity::new(store.devices()));
        Self::of(directory, store, Some(runs)).await
    }

    async fn of(directory: TempDir, store: Embedded, runs: Option<RunsService>) -> Self {
        let state = directory.path().join("state");
        let authority = Authority::open(&state, SystemTime::now()).expect("authority");
        let authority = Arc::new(authority);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("listener");
        let address = listener.local_addr().expect("address");
        let names = ServerNames::new(&[], address);
        let tls = server_config(&authority, names, SystemTime::now()).expect("tls");
        let pairing = Pairing::new(authority.clone(), store.devices(), &[], address);
        let enrollment = EnrollmentServer::new(EnrollmentService::new(pairing.clone()));
        let routes = Routes::new(enrollment);
        let routes = match runs {
            Some(runs) => routes.add_service(RunsServer::new(runs)),
            None => routes,
        };
        let (stop, stopped) = oneshot::channel();
        let mut running = JoinSet::new();
        running.spawn(server::serve(
            listener,
            tls,
            routes,
            Identity::new(store.devices()),
            async { drop(stopped.await) },
        ));
        Self { directory, address, store, authority, pairing, stop, running }
    }

    pub(crate) async fn invite(&self, at: SystemTime) -> Invitation {
        self.invite_user("ada", at).await
    }

    async fn invite_user(&self, user: &str, at: SystemTime) -> Invitation {
        let user = UserName::parse(user).expect("a user name");
        let text = self.pairing.invite(&user, HOUR, at).await.expect("invitation");
        Invitation::decode(&text).expect("our own text")
    }

    /// Opens TLS as a client that trusts this authority and perhaps shows a certificate.
    pub(crate) async fn tls(
        &self,
        authority: &[u8],
        device: Option<&Device>,
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(self.address).await?;
        let config = client_config(authority, device);
        let name = "localhost".try_into().expect("a server name");
        TlsConnector::from(Arc::new(config)).connect(name, stream).await
    }

    pub(crate) async fn channel(&self, device: Option<&Device>) -> Channel {
        let stream = self.tls(self.authority.certificate(), device).await.expect("tls");
        let mut once = Some(TokioIo::new(stream));
        Endpoint::from_static("http://localhost")
            .connect_with_connector(tower::service_fn(move |_: Uri| {
                let stream = once.take().ok_or_else(|| std::io::Error::other("used"));
                async move { stream }
            }))
            .await
            .expect("channel")
    }

    pub(crate) async fn enroll(&self, secret: &[u8], request: &str) -> Result<EnrollReply, Status> {
        let mut client = EnrollmentClient::new(self.channel(None).await);
        let (secret, signing_request) = (secret.to_vec(), request.to_owned());
        let request = EnrollRequest { secret, signing_request, device: "laptop".to_owned() };
        client.enroll(request).await.map(tonic::Response::into_inner)
    }

    pub(crate) async fn pair(&self) -> Device {
        self.pair_user("ada").await
    }

    pub(crate) async fn pair_user(&self, user: &str) -> Device {
        let (key, request) = signing_request();
        let invitation = self.invite_user(user, SystemTime::now()).await;
        let reply = self.enroll(&invitation.secret, &request).await.expect("paired");
        assert_eq!(reply.user, user);
        let certificate = CertificateDer::from_pem_slice(reply.certificate.as_bytes());
        Device { certificate: certificate.expect("pem"), key }
    }

    /// Calls a service that only paired devices may call. The server does not have it: the answer
    /// of one that was let in is `Unimplemented`.
    pub(crate) async fn call(&self, device: Option<&Device>) -> Status {
        let mut client = RunsClient::new(self.channel(device).await);
        client.info(InfoRequest::default()).await.expect_err("there is no such service")
    }

    pub(crate) async fn revoke(&self, user: &str) {
        let user = UserName::parse(user).expect("a user name");
        self.store.devices().revoke(&user, SystemTime::now()).await.expect("revoke");
    }

    pub(crate) async fn refusal(&self, secret: &[u8], request: &str) -> Problem {
        Problem::from_status(&self.enroll(secret, request).await.expect_err("refused"))
    }
}

fn client_config(authority: &[u8], device: Option<&Device>) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(authority.to_vec())).expect("authority");
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots);
    let mut config = match device {
        None => config.with_no_client_auth(),
        Some(Device { certificate, key }) => {
            let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
            config.with_client_auth_cert(vec![certificate.clone()], key).expect("key")
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    config
}

pub(crate) fn signing_request() -> (KeyPair, String) {
    let key = KeyPair::generate().expect("key");
    let request = CertificateParams::default().serialize_request(&key).expect("request");
    (key, request.pem().expect("pem"))
}

/// A bound on every test: nothing here takes more than a moment.
pub(crate) async fn in_time<T>(test: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(600), test).await.expect("it ends in time")
}

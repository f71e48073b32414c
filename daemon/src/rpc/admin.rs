//! The Admin service: what the operator may ask, over the private socket only.

pub mod client;
pub mod socket;

use std::{
    fmt,
    path::PathBuf,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use handoff_proto::{
    problem::{Code, Problem},
    wire::{self, admin_server::Admin},
};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

use super::status;
use crate::{
    credentials::{Credentials, Kept},
    doctor,
    egress::Secret,
    pki::{Fingerprint, INVITATION_VALID, Pairing},
    runs::{Collect, Collected, Registry},
    store::{
        UserName,
        embedded::{Device, DeviceStore, Embedded},
    },
};

/// Longest validity of an invitation.
const INVITATION_VALID_MAX: Duration = Duration::from_secs(30 * 24 * 3600);

/// Answers the operator.
#[derive(Clone)]
pub struct AdminService {
    store: Embedded,
    devices: DeviceStore,
    pairing: Pairing,
    registry: Registry,
    stop: CancellationToken,
}

impl AdminService {
    /// Answers for this store; `stop` ends the daemon.
    #[must_use]
    pub fn new(
        store: Embedded,
        pairing: Pairing,
        registry: Registry,
        stop: CancellationToken,
    ) -> Self {
        Self { devices: store.devices(), store, pairing, registry, stop }
    }

    fn credentials(&self) -> Credentials {
        Credentials::new(self.store.directory())
    }

    /// What the settings use a credential for, which was found if it is there.
    fn users_of(&self, name: &str, kept: Option<&Kept>) -> Vec<String> {
        let config = &self.registry.settings().config;
        let terms = config.egress(|asked| kept.filter(|_| asked == name).cloned());
        let providers = terms.providers.iter().map(|found| format!("provider {}", found.name));
        let git = terms.git.iter().map(|found| format!("git host {}", found.host));
        let mcp = terms.mcp.iter().map(|found| format!("MCP server {}", found.name));
        providers.chain(git).chain(mcp).collect()
    }
}

impl fmt::Debug for AdminService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AdminService").field("store", &self.store).finish_non_exhaustive()
    }
}

#[tonic::async_trait]
impl Admin for AdminService {
    async fn invite(
        &self,
        request: Request<wire::InviteRequest>,
    ) -> Result<Response<wire::InviteReply>, Status> {
        let wire::InviteRequest { user, valid_seconds } = request.into_inner();
        let user = parse_user(&user)?;
        let valid = match valid_seconds {
            0 => INVITATION_VALID,
            seconds => Duration::from_secs(seconds),
        };
        if valid > INVITATION_VALID_MAX {
            return Err(usage("an invitation is valid for 30 days at most"));
        }
        let invitation =
            self.pairing.invite(&user, valid, SystemTime::now()).await.map_err(status::failed)?;
        Ok(Response::new(wire::InviteReply { invitation }))
    }

    async fn users(
        &self,
        _request: Request<wire::UsersRequest>,
    ) -> Result<Response<wire::UsersReply>, Status> {
        let devices = self.devices.list().await.map_err(status::failed)?;
        let devices = devices.into_iter().map(to_wire).collect();
        Ok(Response::new(wire::UsersReply { devices }))
    }

    async fn revoke(
        &self,
        request: Request<wire::RevokeRequest>,
    ) -> Result<Response<wire::RevokeReply>, Status> {
        let user = parse_user(&request.into_inner().user)?;
        let known = self.devices.list().await.map_err(status::failed)?;
        let revoked =
            self.devices.revoke(&user, SystemTime::now()).await.map_err(status::failed)?;
        if revoked == 0 && !known.iter().any(|device| device.user == user) {
            return Err(Problem::new(Code::NotFound, format!("user {user} has no devices"))
                .with_hint("`handoffd user ls` lists the users")
                .into_status());
        }
        let devices = u32::try_from(revoked).unwrap_or(u32::MAX);
        Ok(Response::new(wire::RevokeReply { devices }))
    }

    async fn doctor(
        &self,
        _request: Request<wire::DoctorRequest>,
    ) -> Result<Response<wire::DoctorReply>, Status> {
        let state = self.store.directory().to_owned();
        let launcher = self.registry.settings().config.isolation.launcher.clone();
        let found = move || doctor::found(launcher.as_deref(), &state);
        let mut isolation = tokio::task::spawn_blocking(found)
            .await
            .map_err(|_| Status::unavailable("daemon is stopping"))?;
        isolation.extend(doctor::tools(&self.registry.settings().tools));
        let registry = self.registry.clone();
        let agents = tokio::task::spawn_blocking(move || doctor::agents(&registry)).await;
        isolation.extend(agents.map_err(|_| Status::unavailable("daemon is stopping"))?);
        let state: PathBuf = self.store.directory().to_owned();
        Ok(Response::new(wire::DoctorReply {
            isolation,
            state_directory: state.display().to_string(),
            free_bytes: self.store.free_bytes().map_err(status::failed)?,
            runs_active: u32::try_from(self.registry.active()).unwrap_or(u32::MAX),
        }))
    }

    async fn add_credential(
        &self,
        request: Request<wire::AddCredentialRequest>,
    ) -> Result<Response<wire::AddCredentialReply>, Status> {
        let wire::AddCredentialRequest { name, secret } = request.into_inner();
        let secret = Secret::new(&secret);
        let _none_is_renewed = self.registry.renewals().hold().await;
        let credentials = self.credentials();
        credentials.add(&name, &secret).map_err(status::failed)?;
        let used_by = self.users_of(&name, credentials.find(&name).as_ref());
        Ok(Response::new(wire::AddCredentialReply { used_by }))
    }

    async fn credentials(
        &self,
        _request: Request<wire::CredentialsRequest>,
    ) -> Result<Response<wire::CredentialsReply>, Status> {
        let all = self.credentials();
        let known = all.list().map_err(status::failed)?;
        let credentials = known.into_iter().map(|(name, keeper)| {
            let kept = all.find(&name);
            wire::Credential {
                used_by: self.users_of(&name, kept.as_ref()),
                kind: kept.map_or("", |kept| kept.kind.as_str()).to_owned(),
                name,
                keeper: keeper.as_str().to_owned(),
            }
        });
        Ok(Response::new(wire::CredentialsReply { credentials: credentials.collect() }))
    }

    async fn remove_credential(
        &self,
        request: Request<wire::RemoveCredentialRequest>,
    ) -> Result<Response<wire::RemoveCredentialReply>, Status> {
        let _none_is_renewed = self.registry.renewals().hold().await;
        self.credentials().remove(&request.into_inner().name).map_err(status::failed)?;
        Ok(Response::new(wire::RemoveCredentialReply {}))
    }

    async fn collect(
        &self,
        request: Request<wire::CollectRequest>,
    ) -> Result<Response<wire::CollectReply>, Status> {
        let mode = if request.into_inner().dry_run { Collect::Count } else { Collect::Remove };
        let Collected { blobs, bytes, trees, originals } =
            self.registry.collect(mode).await.map_err(status::failed)?;
        Ok(Response::new(wire::CollectReply { blobs, bytes, trees, originals }))
    }

    async fn stop(
        &self,
        _request: Request<wire::StopRequest>,
    ) -> Result<Response<wire::StopReply>, Status> {
        self.stop.cancel();
        Ok(Response::new(wire::StopReply {}))
    }
}

fn parse_user(name: &str) -> Result<UserName, Status> {
    UserName::parse(name).map_err(|error| usage(error.to_string()))
}

fn usage(message: impl Into<String>) -> Status {
    Problem::new(Code::Usage, message).into_status()
}

fn to_wire(device: Device) -> wire::Device {
    let enrolled = device.enrolled_at.duration_since(UNIX_EPOCH).unwrap_or_default();
    wire::Device {
        user: device.user.to_string(),
        device: device.name,
        fingerprint: Fingerprint::from_bytes(device.fingerprint).to_string(),
        enrolled_at_unix_nanos: i64::try_from(enrolled.as_nanos()).unwrap_or(i64::MAX),
        revoked: device.revoked_at.is_some(),
    }
}

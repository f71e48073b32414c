//! The Enrollment service: the one that a device without a certificate may call.

use std::time::SystemTime;

use handoff_proto::wire::{self, enrollment_server::Enrollment};
use tonic::{Request, Response, Status};

use super::status;
use crate::pki::Pairing;

/// Trades invitations for certificates.
#[derive(Clone, Debug)]
pub struct EnrollmentService {
    pairing: Pairing,
}

impl EnrollmentService {
    /// Pairs devices.
    #[must_use]
    pub fn new(pairing: Pairing) -> Self {
        Self { pairing }
    }
}

#[tonic::async_trait]
impl Enrollment for EnrollmentService {
    async fn enroll(
        &self,
        request: Request<wire::EnrollRequest>,
    ) -> Result<Response<wire::EnrollReply>, Status> {
        let wire::EnrollRequest { secret, signing_request, device } = request.into_inner();
        let enrolled = self
            .pairing
            .enroll(&secret, &signing_request, &device, SystemTime::now())
            .await
            .map_err(status::failed)?;
        tracing::info!(user = %enrolled.user, device, "a device was paired");
        Ok(Response::new(wire::EnrollReply {
            certificate: enrolled.certificate,
            user: enrolled.user.to_string(),
        }))
    }
}

//! The daemon's own certificate authority: made at the first start, kept in the state directory.
//!
//! It decides every name and right in what it signs; a signing request contributes a public key
//! and nothing else.

use std::{
    fs::DirBuilder,
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName,
    DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PublicKeyData,
};
use rustls::pki_types::{CertificateDer, pem::PemObject};

use super::{Fingerprint, PkiError, fingerprint::sha256};
use crate::store::{StoreError, durable_file};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// How long the authority lasts.
const AUTHORITY_VALID: Duration = Duration::from_secs(3650 * DAY.as_secs());

/// How long a certificate of a server or device lasts.
pub(super) const LEAF_VALID: Duration = Duration::from_secs(365 * DAY.as_secs());

/// Certificates start to be valid that long ago, for clocks that run behind.
const BACKDATED: Duration = Duration::from_secs(3600);

/// The authority; its key never leaves this struct and its file.
#[derive(Debug)]
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
}

/// A certificate that was signed for a device.
#[derive(Clone, Debug)]
pub(super) struct SignedDevice {
    pub(super) pem: String,
    pub(super) fingerprint: Fingerprint,
}

impl Authority {
    /// Opens the authority in `<state>/ca`, making it when there is none.
    ///
    /// # Errors
    /// When its files cannot be read or written, or do not fit together.
    pub fn open(state: &Path, now: SystemTime) -> Result<Self, PkiError> {
        let files = Files::in_state(state);
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&files.directory);
        made.map_err(|source| files.failed("make", &files.directory, source))?;
        match read(&files.certificate) {
            Ok(certificate) => Self::load(&files, &certificate),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::make(&files, now),
            Err(error) => Err(files.failed("read", &files.certificate, error)),
        }
    }

    /// The authority's certificate, which clients trust.
    #[must_use]
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    fn make(files: &Files, now: SystemTime) -> Result<Self, PkiError> {
        let key = KeyPair::generate()?;
        // Each daemon's authority has another name: a client may know several.
        let id = data_encoding::HEXLOWER.encode(&sha256(key.der_bytes())[..8]);
        let mut params = params(format!("handoffd authority {id}"), now, AUTHORITY_VALID);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key)?;
        // The key first: without a certificate the next start begins anew.
        durable_file::write(&files.key, key.serialize_pem().as_bytes())?;
        durable_file::write(&files.certificate, certificate.pem().as_bytes())?;
        Self::load(files, &certificate.pem())
    }

    fn load(files: &Files, certificate: &str) -> Result<Self, PkiError> {
        let damaged = |what: String| PkiError::Damaged { directory: files.directory.clone(), what };
        let key = read(&files.key).map_err(|error| damaged(format!("authority.key: {error}")))?;
        let key = KeyPair::from_pem(&key).map_err(|e| damaged(format!("authority.key: {e}")))?;
        let public = key.subject_public_key_info();
        let der = CertificateDer::from_pem_slice(certificate.as_bytes())
            .map_err(|error| damaged(format!("authority.pem: {error}")))?;
        let (_, parsed) = x509_parser::parse_x509_certificate(&der)
            .map_err(|error| damaged(format!("authority.pem: {error}")))?;
        if parsed.public_key().raw != public {
            return Err(damaged("authority.key is not the key of authority.pem".to_owned()));
        }
        let issuer = Issuer::from_ca_cert_der(&der, key)?;
        Ok(Self { issuer, certificate: der })
    }

    /// Signs a certificate for a server that is reached under these names.
    pub(super) fn sign_server(
        &self,
        names: &[String],
        key: &KeyPair,
        now: SystemTime,
    ) -> Result<CertificateDer<'static>, PkiError> {
        let mut params = params("handoffd".to_owned(), now, LEAF_VALID);
        params.subject_alt_names = CertificateParams::new(names)?.subject_alt_names;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        Ok(params.signed_by(key, &self.issuer)?.der().clone())
    }

    /// Signs a device's request (PEM). Only its public key counts, and that its holder has the
    /// private one.
    pub(super) fn sign_device(
        &self,
        request: &str,
        now: SystemTime,
    ) -> Result<SignedDevice, rcgen::Error> {
        let asked = CertificateSigningRequestParams::from_pem(request)?;
        let id = data_encoding::HEXLOWER.encode(&sha256(asked.public_key.der_bytes())[..8]);
        let mut params = params(format!("device {id}"), now, LEAF_VALID);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let ours = CertificateSigningRequestParams { params, public_key: asked.public_key };
        let signed = ours.signed_by(&self.issuer)?;
        Ok(SignedDevice { pem: signed.pem(), fingerprint: Fingerprint::of(signed.der()) })
    }
}

/// Where the authority is kept.
struct Files {
    directory: PathBuf,
    certificate: PathBuf,
    key: PathBuf,
}

impl Files {
    fn in_state(state: &Path) -> Self {
        let directory = state.join("ca");
        let (certificate, key) = (directory.join("authority.pem"), directory.join("authority.key"));
        Self { directory, certificate, key }
    }

    fn failed(&self, act: &'static str, path: &Path, source: io::Error) -> PkiError {
        StoreError::Io { act, path: path.to_owned(), source }.into()
    }
}

fn read(path: &Path) -> io::Result<String> {
    std::fs::read_to_string(path)
}

/// A certificate that may do nothing yet.
fn params(name: String, now: SystemTime, valid: Duration) -> CertificateParams {
    let mut distinguished_name = DistinguishedName::new();
    distinguished_name.push(DnType::CommonName, name);
    let mut params = CertificateParams::default();
    params.distinguished_name = distinguished_name;
    params.not_before = (now - BACKDATED).into();
    params.not_after = (now + valid).into();
    params.is_ca = IsCa::ExplicitNoCa;
    params.use_authority_key_identifier_extension = true;
    params
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::MetadataExt};

    use x509_parser::prelude::{FromDer, X509Certificate};

    use super::*;

    fn request(name: &str) -> String {
        let mut params =
            CertificateParams::new(vec!["evil.example.com".to_owned()]).expect("names");
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.not_after = (SystemTime::now() + 100 * LEAF_VALID).into();
        let key = KeyPair::generate().expect("key");
        params.serialize_request(&key).expect("request").pem().expect("pem")
    }

    #[test]
    fn the_same_authority_is_found_again_and_is_private() {
        let state = tempfile::tempdir().expect("directory");
        let first = Authority::open(state.path(), SystemTime::now()).expect("authority");
        let again = Authority::open(state.path(), SystemTime::now()).expect("authority");
        assert_eq!(first.certificate(), again.certificate());
        let directory = state.path().join("ca");
        assert_eq!(fs::metadata(&directory).expect("ca").mode() & 0o777, 0o700);
        for file in ["authority.pem", "authority.key"] {
            let mode = fs::metadata(directory.join(file)).expect(file).mode();
            assert_eq!(mode & 0o777, 0o600, "{file}");
        }
    }

    #[test]
    fn a_request_chooses_nothing_but_its_key() {
        let state = tempfile::tempdir().expect("directory");
        let now = SystemTime::now();
        let authority = Authority::open(state.path(), now).expect("authority");
        let signed = authority.sign_device(&request("root"), now).expect("signed");
        let der = CertificateDer::from_pem_slice(signed.pem.as_bytes()).expect("pem");
        assert_eq!(Fingerprint::of(&der), signed.fingerprint);
        let (_, certificate) = X509Certificate::from_der(&der).expect("certificate");
        let subject = certificate.subject().to_string();
        assert!(subject.starts_with("CN=device ") && !subject.contains("root"), "{subject}");
        assert!(!certificate.is_ca());
        assert!(certificate.subject_alternative_name().expect("parsed").is_none());
        let usage = certificate.extended_key_usage().expect("parsed").expect("usage").value;
        assert!(usage.client_auth && !usage.server_auth && !usage.any);
        let lasts = certificate.validity().not_after - certificate.validity().not_before;
        let expected = i64::try_from((LEAF_VALID + BACKDATED).as_secs()).expect("small");
        assert_eq!(lasts.expect("positive").whole_seconds(), expected);
    }

    #[test]
    fn a_request_with_a_wrong_signature_is_refused() {
        let state = tempfile::tempdir().expect("directory");
        let authority = Authority::open(state.path(), SystemTime::now()).expect("authority");
        let pem = request("a");
        let position = pem.len() - 60;
        let other = if pem.as_bytes()[position] == b'A' { "B" } else { "A" };
        let forged = format!("{}{other}{}", &pem[..position], &pem[position + 1..]);
        assert!(authority.sign_device(&forged, SystemTime::now()).is_err());
        assert!(authority.sign_device("hello", SystemTime::now()).is_err());
    }

    #[test]
    fn an_authority_without_its_key_is_not_replaced() {
        let state = tempfile::tempdir().expect("directory");
        Authority::open(state.path(), SystemTime::now()).expect("authority");
        let key = state.path().join("ca/authority.key");
        fs::write(&key, KeyPair::generate().expect("key").serialize_pem()).expect("write");
        let error = Authority::open(state.path(), SystemTime::now()).expect_err("another key");
        assert!(error.to_string().contains("not the key of"), "{error}");
        fs::remove_file(&key).expect("remove");
        let error = Authority::open(state.path(), SystemTime::now()).expect_err("no key");
        assert!(error.to_string().contains("is damaged: authority.key"), "{error}");
    }
}

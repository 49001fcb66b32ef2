//! Certificates of devices and of their authorities.

use std::{sync::Arc, time::Duration};

use quick_cache::sync::Cache;
use rustls::{
    crypto::ring,
    pki_types::{CertificateDer, UnixTime, pem::PemObject as _},
};
use sha2::{Digest as _, Sha256};
use tidegate_core::{id::TenantId, time::Timestamp};
use tidegate_engine::ports::Authority;
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};
use x509_cert::{
    Certificate,
    der::{Decode as _, Tag, Tagged as _, oid::ObjectIdentifier},
    ext::pkix::{SubjectAltName, name::GeneralName},
};

use crate::tls::PeerCertificates;

/// Object identifier of the common name.
const CN: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");
/// Maximum number of certificates with a cached result.
const MAX_CACHED_CERTIFICATES: usize = 100_000;
/// Maximum length of an authority's subject, in characters; longer ones are truncated.
const MAX_SUBJECT_CHARS: usize = 500;

/// Verifies client certificates against the tenants' authorities. Results are cached, since verifying a chain is slow.
pub(crate) struct CertificateVerifier {
    cache: Cache<(TenantId, [u8; 32]), CertifiedNames>,
}

#[derive(Clone)]
struct CertifiedNames {
    /// The authorities that verified the chain. They are reloaded every few seconds, and the certificate is then
    /// verified again, since it may have expired.
    authorities: Arc<[Authority]>,
    /// The names in the certificate; none if the authorities did not issue it.
    names: Arc<[String]>,
}

impl Default for CertificateVerifier {
    fn default() -> Self {
        Self {
            cache: Cache::new(MAX_CACHED_CERTIFICATES),
        }
    }
}

impl CertificateVerifier {
    /// True if one of the authorities issued the certificate, and it contains the device's id.
    pub(crate) fn identifies(
        &self,
        presented: &PeerCertificates,
        tenant: TenantId,
        authorities: &Arc<[Authority]>,
        device_id: &str,
        now: Timestamp,
    ) -> bool {
        if authorities.is_empty() {
            return false;
        }
        let key = (tenant, presented.sha256);
        let cached = self.cache.get(&key);
        let cached = cached.filter(|cached| Arc::ptr_eq(&cached.authorities, authorities));
        let names = cached.map_or_else(
            || {
                let names: Arc<[String]> =
                    certified_names(&presented.chain, authorities, now).into();
                let certified = CertifiedNames {
                    authorities: Arc::clone(authorities),
                    names: Arc::clone(&names),
                };
                self.cache.insert(key, certified);
                names
            },
            |cached| cached.names,
        );
        names.iter().any(|name| name == device_id)
    }
}

/// The names in a certificate that one of the authorities issued; none for other certificates.
fn certified_names(
    chain: &[CertificateDer<'_>],
    authorities: &[Authority],
    now: Timestamp,
) -> Vec<String> {
    let Some((leaf, intermediates)) = chain.split_first() else {
        return Vec::new();
    };
    if !is_issued_by(leaf, intermediates, authorities, now) {
        return Vec::new();
    }
    Certificate::from_der(leaf).map_or_else(|_| Vec::new(), |leaf| subject_names(&leaf))
}

fn is_issued_by(
    leaf: &CertificateDer<'_>,
    intermediates: &[CertificateDer<'_>],
    authorities: &[Authority],
    now: Timestamp,
) -> bool {
    let (Ok(leaf), Ok(millis)) = (EndEntityCert::try_from(leaf), u64::try_from(now.0)) else {
        return false;
    };
    // Path validation ignores the validity period of a trust anchor, so expired authorities are skipped here.
    let roots: Vec<_> = authorities
        .iter()
        .filter(|authority| now < authority.expires_at)
        .map(|authority| CertificateDer::from(authority.certificate.as_slice()))
        .collect();
    let anchors: Vec<_> = roots
        .iter()
        .filter_map(|root| anchor_from_trusted_cert(root).ok())
        .collect();
    let now = UnixTime::since_unix_epoch(Duration::from_millis(millis));
    let algorithms = ring::default_provider().signature_verification_algorithms;
    let usage = KeyUsage::client_auth();
    leaf.verify_for_usage(
        algorithms.all,
        &anchors,
        intermediates,
        now,
        usage,
        None,
        None,
    )
    .is_ok()
}

/// The last, most specific common name, and all DNS, email and URI alternative names.
fn subject_names(certificate: &Certificate) -> Vec<String> {
    let body = &certificate.tbs_certificate;
    let common_name = body
        .subject
        .0
        .iter()
        .flat_map(|names| names.0.iter())
        .rfind(|name| name.oid == CN);
    let mut names: Vec<_> = common_name
        .and_then(|name| match name.value.tag() {
            Tag::Utf8String | Tag::PrintableString | Tag::Ia5String => {
                std::str::from_utf8(name.value.value()).ok()
            }
            _ => None,
        })
        .map(str::to_owned)
        .into_iter()
        .collect();
    if let Ok(Some((_, SubjectAltName(alternative_names)))) = body.get::<SubjectAltName>() {
        names.extend(alternative_names.iter().filter_map(|name| match name {
            GeneralName::DnsName(name) | GeneralName::Rfc822Name(name) => {
                Some(name.as_str().to_owned())
            }
            GeneralName::UniformResourceIdentifier(name) => Some(name.as_str().to_owned()),
            _ => None,
        }));
    }
    names
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AuthorityCertificate {
    /// In DER.
    pub(crate) certificate: Vec<u8>,
    pub(crate) sha256: [u8; 32],
    pub(crate) subject: String,
    pub(crate) expires_at: Timestamp,
}

impl AuthorityCertificate {
    /// Parses a PEM text with exactly one certificate. The error completes a sentence about the field.
    pub(crate) fn from_pem(pem: &str) -> Result<Self, &'static str> {
        const NO_CERTIFICATE: &str =
            "must be one certificate, in PEM: -----BEGIN CERTIFICATE----- ...";
        let mut certificates = CertificateDer::pem_slice_iter(pem.as_bytes());
        let (Some(Ok(der)), None) = (certificates.next(), certificates.next()) else {
            return Err(NO_CERTIFICATE);
        };
        anchor_from_trusted_cert(&der).map_err(|_| "is not a certificate that can be trusted")?;
        let certificate = Certificate::from_der(&der).map_err(|_| NO_CERTIFICATE)?;
        let body = &certificate.tbs_certificate;
        let end = body.validity.not_after.to_unix_duration().as_millis();
        Ok(Self {
            sha256: Sha256::digest(&der).into(),
            subject: body
                .subject
                .to_string()
                .chars()
                .take(MAX_SUBJECT_CHARS)
                .collect(),
            expires_at: Timestamp(i64::try_from(end).unwrap_or(i64::MAX)),
            certificate: der.to_vec(),
        })
    }
}

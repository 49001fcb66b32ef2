//! CertificateVerifier of devices and of the authorities that they come from.

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

/// The common name.
const CN: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");
/// Most certificates whose cached is remembered.
const MAX_CACHED_CERTIFICATES: usize = 100_000;
/// Most characters that are presented of a subject.
const MAX_SUBJECT_CHARS: usize = 500;

/// Which certificates come from which tenants' authorities, remembered: looking at a chain takes a while.
pub(crate) struct CertificateVerifier {
    cache: Cache<(TenantId, [u8; 32]), CertifiedNames>,
}

#[derive(Clone)]
struct CertifiedNames {
    /// By which authorities. They are read again every few seconds, and then a certificate is looked at again, too, for it
    /// may have run out.
    authorities: Arc<[Authority]>,
    /// Whom it names; none when it is not theirs.
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
    /// Whether a certificate is one of these authorities' and names this device.
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

/// Whom a certificate names, if it comes from one of these authorities.
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
    // One that has run out vouches for nobody, though by the rules of a chain only a root's key counts.
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

/// The last, which is the nearest, common name, and every other name.
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

/// What there is to know of an authority's certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AuthorityCertificate {
    /// DER.
    pub(crate) certificate: Vec<u8>,
    pub(crate) sha256: [u8; 32],
    pub(crate) subject: String,
    pub(crate) expires_at: Timestamp,
}

impl AuthorityCertificate {
    /// Reads the only certificate of a PEM text; what is wrong with it otherwise.
    pub(crate) fn from_pem(pem: &str) -> Result<Self, &'static str> {
        const NO_CERTIFICATE: &str =
            "must be one certificate, in PEM: -----BEGIN CERTIFICATE----- ...";
        let mut certificates = CertificateDer::pem_slice_iter(pem.as_bytes());
        let (Some(Ok(der)), None) = (certificates.next(), certificates.next()) else {
            return Err(NO_CERTIFICATE);
        };
        anchor_from_trusted_cert(&der).map_err(|_| "is no certificate that can be trusted")?;
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

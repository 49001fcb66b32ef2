//! Certificates of devices and of the authorities that they come from.

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
/// Most certificates whose verdict is remembered.
const REMEMBERED: usize = 100_000;
/// Most characters that are shown of a subject.
const MAX_SUBJECT: usize = 500;

/// Which certificates come from which tenants' authorities, remembered: looking at a chain takes a while.
pub(crate) struct Certificates {
    verdicts: Cache<(TenantId, [u8; 32]), Verdict>,
}

#[derive(Clone)]
struct Verdict {
    /// By which authorities. They are read again every few seconds, and then a certificate is looked at again, too, for it
    /// may have run out.
    authorities: Arc<[Authority]>,
    /// Whom it names; none when it is not theirs.
    names: Arc<[String]>,
}

impl Default for Certificates {
    fn default() -> Self {
        Self {
            verdicts: Cache::new(REMEMBERED),
        }
    }
}

impl Certificates {
    /// Whether a certificate is one of these authorities' and names this device.
    pub(crate) fn name(
        &self,
        shown: &PeerCertificates,
        tenant: TenantId,
        authorities: &Arc<[Authority]>,
        device_id: &str,
        now: Timestamp,
    ) -> bool {
        if authorities.is_empty() {
            return false;
        }
        let key = (tenant, shown.sha256);
        let known = self.verdicts.get(&key);
        let verdict = known.filter(|known| Arc::ptr_eq(&known.authorities, authorities));
        let names = verdict.map_or_else(
            || {
                let names: Arc<[String]> = names(&shown.chain, authorities, now).into();
                let verdict = Verdict {
                    authorities: Arc::clone(authorities),
                    names: Arc::clone(&names),
                };
                self.verdicts.insert(key, verdict);
                names
            },
            |verdict| verdict.names,
        );
        names.iter().any(|name| name == device_id)
    }
}

/// Whom a certificate names, if it comes from one of these authorities.
fn names(chain: &[CertificateDer<'_>], authorities: &[Authority], now: Timestamp) -> Vec<String> {
    let Some((own, between)) = chain.split_first() else {
        return Vec::new();
    };
    if !is_theirs(own, between, authorities, now) {
        return Vec::new();
    }
    Certificate::from_der(own).map_or_else(|_| Vec::new(), |own| names_in(&own))
}

fn is_theirs(
    own: &CertificateDer<'_>,
    between: &[CertificateDer<'_>],
    authorities: &[Authority],
    now: Timestamp,
) -> bool {
    let (Ok(own), Ok(millis)) = (EndEntityCert::try_from(own), u64::try_from(now.0)) else {
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
    own.verify_for_usage(algorithms.all, &anchors, between, now, usage, None, None)
        .is_ok()
}

/// The last, which is the nearest, common name, and every other name.
fn names_in(certificate: &Certificate) -> Vec<String> {
    let body = &certificate.tbs_certificate;
    let common = body
        .subject
        .0
        .iter()
        .flat_map(|names| names.0.iter())
        .rfind(|name| name.oid == CN);
    let mut names: Vec<_> = common
        .and_then(|name| match name.value.tag() {
            Tag::Utf8String | Tag::PrintableString | Tag::Ia5String => {
                std::str::from_utf8(name.value.value()).ok()
            }
            _ => None,
        })
        .map(str::to_owned)
        .into_iter()
        .collect();
    if let Ok(Some((_, SubjectAltName(others)))) = body.get::<SubjectAltName>() {
        names.extend(others.iter().filter_map(|name| match name {
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
    pub(crate) fn read(pem: &str) -> Result<Self, &'static str> {
        const NO_CERTIFICATE: &str =
            "must be one certificate, in PEM: -----BEGIN CERTIFICATE----- ...";
        let mut found = CertificateDer::pem_slice_iter(pem.as_bytes());
        let (Some(Ok(der)), None) = (found.next(), found.next()) else {
            return Err(NO_CERTIFICATE);
        };
        anchor_from_trusted_cert(&der).map_err(|_| "is no certificate that can be trusted")?;
        let read = Certificate::from_der(&der).map_err(|_| NO_CERTIFICATE)?;
        let body = &read.tbs_certificate;
        let end = body.validity.not_after.to_unix_duration().as_millis();
        Ok(Self {
            sha256: Sha256::digest(&der).into(),
            subject: body.subject.to_string().chars().take(MAX_SUBJECT).collect(),
            expires_at: Timestamp(i64::try_from(end).unwrap_or(i64::MAX)),
            certificate: der.to_vec(),
        })
    }
}

//! What makes a certificate an X509-SVID (X509-SVID §2–4), beyond its chain: exactly one URI, no authority to sign.
//! It checks no signature and no date; the verifier does, before anyone may use the id.

use identity::{IdFault, SpiffeId, UnixTime, workload_id};
use rustls::pki_types::CertificateDer;
use x509_parser::{certificate::X509Certificate, extensions::GeneralName, prelude::FromDer as _, time::ASN1Time};

/// Why a leaf is no X509-SVID.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LeafFault {
    /// Not a certificate, or with an extension that is malformed or repeated.
    #[error("certificate cannot be read")]
    Malformed,
    /// No URI, or more than one (X509-SVID §2).
    #[error("certificate has {0} URI names instead of one")]
    UriCount(usize),
    /// The URI is no SPIFFE ID of a workload.
    #[error("the URI name is no SPIFFE ID of a workload")]
    NotSpiffe(#[source] IdFault),
    /// `CA:TRUE`, `keyCertSign` or `cRLSign` (X509-SVID §4).
    #[error("certificate may sign others")]
    SigningCertificate,
    /// `digitalSignature` is missing (X509-SVID §4.3).
    #[error("certificate may not sign a handshake")]
    NoDigitalSignature,
}

/// The SPIFFE ID of a leaf.
///
/// # Errors
/// The [`LeafFault`].
pub(crate) fn leaf_id(leaf: &CertificateDer<'_>) -> Result<SpiffeId, LeafFault> {
    let (rest, certificate) = X509Certificate::from_der(leaf).map_err(|_malformed| LeafFault::Malformed)?;
    if !rest.is_empty() {
        return Err(LeafFault::Malformed);
    }
    check_use(&certificate)?;
    let names = certificate.subject_alternative_name().map_err(|_malformed| LeafFault::Malformed)?;
    let names = names.map(|extension| extension.value.general_names.as_slice()).unwrap_or_default();
    let uris: Vec<&str> =
        names.iter().filter_map(|name| if let GeneralName::URI(uri) = name { Some(*uri) } else { None }).collect();
    let [uri] = uris.as_slice() else { return Err(LeafFault::UriCount(uris.len())) };
    workload_id(uri).map_err(LeafFault::NotSpiffe)
}

/// From when and until when a leaf is valid.
///
/// # Errors
/// [`LeafFault::Malformed`].
pub(crate) fn validity(leaf: &CertificateDer<'_>) -> Result<(UnixTime, UnixTime), LeafFault> {
    let (_rest, certificate) = X509Certificate::from_der(leaf).map_err(|_malformed| LeafFault::Malformed)?;
    let time =
        |time: ASN1Time| u64::try_from(time.timestamp()).ok().and_then(UnixTime::from_secs).ok_or(LeafFault::Malformed);
    let validity = certificate.validity();
    Ok((time(validity.not_before)?, time(validity.not_after)?))
}

fn check_use(certificate: &X509Certificate<'_>) -> Result<(), LeafFault> {
    let constraints = certificate.basic_constraints().map_err(|_malformed| LeafFault::Malformed)?;
    if constraints.is_some_and(|extension| extension.value.ca) {
        return Err(LeafFault::SigningCertificate);
    }
    let usage = certificate.key_usage().map_err(|_malformed| LeafFault::Malformed)?;
    let usage = usage.ok_or(LeafFault::NoDigitalSignature)?.value;
    if usage.key_cert_sign() || usage.crl_sign() {
        return Err(LeafFault::SigningCertificate);
    }
    if usage.digital_signature() { Ok(()) } else { Err(LeafFault::NoDigitalSignature) }
}

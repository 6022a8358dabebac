//! Verifies the other side: leaf rules, then the chain against the bundle of the very trust domain that the leaf names,
//! then, for servers, that it is the expected one. A key of one domain can never speak for another (`security.md` T22).

use std::{collections::BTreeMap, sync::Arc};

use identity::{SpiffeId, TrustDomain};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, PeerIncompatible, RootCertStore,
    SignatureScheme,
    client::{
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_cert_signed_by_trust_anchor,
    },
    crypto::{WebPkiSupportedAlgorithms, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::{
        ParsedCertificate,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
};

use super::leaf_id;

/// Whom we can verify.
#[derive(Debug)]
pub(crate) struct Trust {
    domains: BTreeMap<TrustDomain, TrustedDomain>,
    algorithms: WebPkiSupportedAlgorithms,
}

/// The authorities of one trust domain.
#[derive(Debug)]
pub(crate) struct TrustedDomain {
    pub(crate) roots: Arc<RootCertStore>,
    pub(crate) callers: Arc<dyn ClientCertVerifier>,
}

/// A valid SVID of somebody else.
#[derive(Debug, thiserror::Error)]
#[error("`{found}` answered instead of `{expected}`")]
pub(crate) struct WrongPeer {
    pub(crate) expected: SpiffeId,
    pub(crate) found: SpiffeId,
}

impl Trust {
    pub(crate) fn new(domains: BTreeMap<TrustDomain, TrustedDomain>, algorithms: WebPkiSupportedAlgorithms) -> Self {
        Self { domains, algorithms }
    }

    /// The id that a leaf claims, and the authorities that may confirm it.
    fn claimed(&self, leaf: &CertificateDer<'_>) -> Result<(SpiffeId, &TrustedDomain), Error> {
        let id = leaf_id(leaf).map_err(refused)?;
        let domain = self.domains.get(id.trust_domain()).ok_or(CertificateError::UnknownIssuer)?;
        Ok((id, domain))
    }
}

/// Verifies clients: any workload of a trust domain whose bundle we hold. What it may do is decided elsewhere.
#[derive(Debug)]
pub(crate) struct ClientVerifier(Arc<Trust>);

impl ClientVerifier {
    pub(crate) fn new(trust: Arc<Trust>) -> Self {
        Self(trust)
    }
}

impl ClientCertVerifier for ClientVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let (_id, domain) = self.0.claimed(leaf)?;
        domain.callers.verify_client_cert(leaf, intermediates, now)
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _leaf: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(PeerIncompatible::ServerDoesNotSupportTls12Or13.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, leaf, signature, &self.0.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.algorithms.supported_schemes()
    }
}

/// Verifies one server: the expected one, by SPIFFE ID. The name that was dialled plays no part.
#[derive(Debug)]
pub(crate) struct ServerVerifier {
    trust: Arc<Trust>,
    expected: SpiffeId,
}

impl ServerVerifier {
    pub(crate) fn new(trust: Arc<Trust>, expected: SpiffeId) -> Self {
        Self { trust, expected }
    }
}

impl ServerCertVerifier for ServerVerifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _dialled: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let (found, domain) = self.trust.claimed(leaf)?;
        let parsed = ParsedCertificate::try_from(leaf)?;
        let algorithms = self.trust.algorithms.all;
        verify_server_cert_signed_by_trust_anchor(&parsed, &domain.roots, intermediates, now, algorithms)?;
        if found != self.expected {
            return Err(refused(WrongPeer { expected: self.expected.clone(), found }));
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _leaf: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(PeerIncompatible::ServerDoesNotSupportTls12Or13.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, leaf, signature, &self.trust.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.trust.algorithms.supported_schemes()
    }
}

fn refused(cause: impl std::error::Error + Send + Sync + 'static) -> Error {
    CertificateError::Other(OtherError(Arc::new(cause))).into()
}

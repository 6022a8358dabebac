//! One SVID with its key and the bundles of one Workload API message, as ready TLS configurations. Material that does
//! not fit together is refused whole, so that a broken message never replaces a good one.

use std::{collections::BTreeMap, fmt, sync::Arc};

use identity::{SpiffeId, TrustDomain};
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    client::Resumption,
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivateKeyDer},
    server::{VerifierBuilderError, WebPkiClientVerifier},
};

use super::verifier::{ClientVerifier, ServerVerifier, Trust, TrustedDomain};
use crate::tls::{Clock, harden, provider};

/// The certificate authorities of each trust domain, DER.
pub(crate) type Bundles = BTreeMap<TrustDomain, Vec<CertificateDer<'static>>>;

/// TLS configurations of one identity.
pub(crate) struct Credentials {
    server: Arc<ServerConfig>,
    client: ClientConfig,
    trust: Arc<Trust>,
}

/// Why the material of a Workload API message was refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MaterialFault {
    /// An authority of a bundle, the SVID or its key cannot be used.
    #[error("SVID, key or bundle cannot be used")]
    Tls(#[from] rustls::Error),
    /// A bundle is empty.
    #[error("a bundle cannot be used")]
    Bundle(#[from] VerifierBuilderError),
}

impl Credentials {
    pub(crate) fn new(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
        bundles: &Bundles,
    ) -> Result<Self, MaterialFault> {
        let provider = Arc::new(provider());
        let trust = Arc::new(trust(bundles, &provider)?);
        let mut server = ServerConfig::builder_with_details(Arc::clone(&provider), Arc::new(Clock))
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_client_cert_verifier(Arc::new(ClientVerifier::new(Arc::clone(&trust))))
            .with_single_cert(chain.clone(), key.clone_key())?;
        harden(&mut server);
        // Replaced by one that knows whom to expect in `client`; on its own it trusts nobody.
        let nobody = RootCertStore::empty();
        let mut client = ClientConfig::builder_with_details(provider, Arc::new(Clock))
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_root_certificates(nobody)
            .with_client_auth_cert(chain, key)?;
        client.resumption = Resumption::disabled();
        Ok(Self { server: Arc::new(server), client, trust })
    }

    pub(crate) fn server(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.server)
    }

    /// A client that talks to `expect` only, and only `protocol`.
    pub(crate) fn client(&self, expect: &SpiffeId, protocol: &[u8]) -> Arc<ClientConfig> {
        let mut client = self.client.clone();
        client.alpn_protocols = vec![protocol.to_vec()];
        let verifier = ServerVerifier::new(Arc::clone(&self.trust), expect.clone());
        client.dangerous().set_certificate_verifier(Arc::new(verifier));
        Arc::new(client)
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(..)")
    }
}

/// Keeps of `bundles` the own domain's and those of others that can be used. What another domain publishes is not ours
/// to choose: an empty or odd bundle of it means that we trust nobody there, never that we cannot renew ourselves.
pub(crate) fn keep_usable(bundles: &mut Bundles, own: &TrustDomain) {
    let provider = Arc::new(provider());
    bundles.retain(|domain, authorities| {
        let usable = domain == own || trusted(authorities, &provider).is_ok();
        if !usable {
            tracing::warn!(%domain, "the bundle of another trust domain cannot be used; nobody there is trusted");
        }
        usable
    });
}

fn trust(bundles: &Bundles, provider: &Arc<CryptoProvider>) -> Result<Trust, MaterialFault> {
    let mut domains = BTreeMap::new();
    for (domain, authorities) in bundles {
        domains.insert(domain.clone(), trusted(authorities, provider)?);
    }
    Ok(Trust::new(domains, provider.signature_verification_algorithms))
}

fn trusted(
    authorities: &[CertificateDer<'static>],
    provider: &Arc<CryptoProvider>,
) -> Result<TrustedDomain, MaterialFault> {
    let mut roots = RootCertStore::empty();
    for authority in authorities {
        roots.add(authority.clone())?;
    }
    let roots = Arc::new(roots);
    let callers = WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(provider)).build()?;
    Ok(TrustedDomain { roots, callers })
}

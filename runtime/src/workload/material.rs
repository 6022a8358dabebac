//! An X509-SVID with its key and the bundles that came with it, checked and ready for use. The key never leaves it.

use std::{fmt, sync::Arc};

use identity::{SpiffeId, TrustDomain, UnixTime};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use spiffe::{X509Bundle, X509Context, X509Svid};

use crate::mtls::{Bundles, Credentials, LeafFault, MaterialFault, keep_usable, leaf_id, validity};

/// Who this process is, until when, and whom it can verify.
pub struct Identity {
    id: SpiffeId,
    not_before: UnixTime,
    not_after: UnixTime,
    chain: Vec<CertificateDer<'static>>,
    bundles: Bundles,
    credentials: Credentials,
}

/// Why a message of the Workload API gave no identity.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MessageFault {
    #[error("no SVID has the hint `{0}`")]
    NoSuchHint(String),
    #[error("the SVID is malformed")]
    Leaf(#[from] LeafFault),
    #[error("SVID, key and bundles do not fit together")]
    Material(#[from] MaterialFault),
    #[error("the message holds no bundle for the own trust domain")]
    NoBundle,
}

impl Identity {
    /// The SPIFFE ID.
    #[must_use]
    pub fn id(&self) -> &SpiffeId {
        &self.id
    }

    /// The trust domain of [`Identity::id`].
    #[must_use]
    pub fn trust_domain(&self) -> &TrustDomain {
        self.id.trust_domain()
    }

    /// From this second on the identity may not be used.
    #[must_use]
    pub fn not_after(&self) -> UnixTime {
        self.not_after
    }

    pub(crate) fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// Whether less than a tenth of its life is left at `now`.
    pub(crate) fn is_nearly_over(&self, now: UnixTime) -> bool {
        let life = self.not_before.until(self.not_after);
        now.until(self.not_after).saturating_mul(10) < life
    }

    /// Whether `other` is the same SVID with the same bundles: the stream repeats itself.
    pub(crate) fn is_same_as(&self, other: &Self) -> bool {
        self.chain == other.chain && self.bundles == other.bundles
    }

    pub(crate) fn new(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
        mut bundles: Bundles,
    ) -> Result<Self, MessageFault> {
        let leaf = chain.first().ok_or(LeafFault::Malformed)?;
        let id = leaf_id(leaf)?;
        let (not_before, not_after) = validity(leaf)?;
        if !bundles.contains_key(id.trust_domain()) {
            return Err(MessageFault::NoBundle);
        }
        keep_usable(&mut bundles, id.trust_domain());
        let credentials = Credentials::new(chain.clone(), key, &bundles)?;
        Ok(Self { id, not_before, not_after, chain, bundles, credentials })
    }

    /// The identity of a Workload API message: the SVID with `hint`, else the one that we have been (`current`, since
    /// the order of several is not stable), else the first.
    pub(crate) fn of(
        context: &X509Context,
        hint: Option<&str>,
        current: Option<&SpiffeId>,
    ) -> Result<Self, MessageFault> {
        let svid = choose(context.svids(), hint, current)
            .ok_or_else(|| MessageFault::NoSuchHint(hint.unwrap_or_default().to_owned()))?;
        let chain = svid.cert_chain().iter().map(|certificate| der(certificate.as_bytes())).collect();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(svid.private_key().as_bytes().to_vec()));
        let bundles = context.bundle_set().iter().map(|(domain, bundle)| (domain.clone(), authorities(bundle)));
        Self::new(chain, key, bundles.collect())
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("id", &self.id).field("not_after", &self.not_after).finish_non_exhaustive()
    }
}

fn choose<'s>(svids: &'s [Arc<X509Svid>], hint: Option<&str>, current: Option<&SpiffeId>) -> Option<&'s Arc<X509Svid>> {
    if let Some(hint) = hint {
        return svids.iter().find(|svid| svid.hint() == Some(hint));
    }
    svids.iter().find(|svid| Some(svid.spiffe_id()) == current).or_else(|| svids.first())
}

fn authorities(bundle: &X509Bundle) -> Vec<CertificateDer<'static>> {
    bundle.authorities().iter().map(|authority| der(authority.as_bytes())).collect()
}

fn der(bytes: &[u8]) -> CertificateDer<'static> {
    CertificateDer::from(bytes.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mtls::tests::{Authority, PLANNER};

    fn domain(name: &str) -> TrustDomain {
        TrustDomain::new(name).unwrap()
    }

    fn with(
        authority: &Authority,
        name: &str,
        authorities: Vec<CertificateDer<'static>>,
    ) -> Result<Identity, MessageFault> {
        let (leaf, mut bundles) = (authority.leaf(&[PLANNER], |_| {}), authority.bundles());
        bundles.insert(domain(name), authorities);
        Identity::new(vec![leaf.certificate], leaf.key, bundles)
    }

    #[test]
    fn an_odd_bundle_of_another_domain_does_not_stop_our_own_renewal() {
        let authority = Authority::new();
        for authorities in [Vec::new(), vec![der(b"junk")]] {
            let identity = with(&authority, "other.example", authorities).unwrap();
            assert!(!identity.bundles.contains_key(&domain("other.example")));
        }
        let other = vec![Authority::new().certificate().clone()];
        assert!(with(&authority, "other.example", other).unwrap().bundles.contains_key(&domain("other.example")));
    }

    #[test]
    fn an_odd_bundle_of_the_own_domain_is_refused_whole() {
        for authorities in [Vec::new(), vec![der(b"junk")]] {
            assert!(matches!(with(&Authority::new(), "corp.example", authorities), Err(MessageFault::Material(_))));
        }
    }
}

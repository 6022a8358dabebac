//! What a development authority signs only because a test asks: tokens and certificates that are wrong in one respect,
//! under the key that everybody trusts. Whoever may ask can give identities to processes anyway.

use std::time::Duration;

use aws_lc_rs::{error::Unspecified, rand::SystemRandom};
use identity::{SpiffeId, TrustDomain, UnixTime};
use rcgen::{BasicConstraints, IsCa, KeyPair, KeyUsagePurpose, SanType};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Authority, AuthorityFault, JwtKey, X509, encode, parameters};

/// Life of a forged certificate.
const LIFE: Duration = Duration::from_secs(300);

/// In which respect a certificate is no X509-SVID (SPIFFE X509-SVID §2–5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OddX509 {
    /// It names two workloads.
    TwoIds,
    /// It is an authority.
    Authority,
    /// It may sign certificates.
    CertificateSigner,
    /// It has ended.
    Expired,
}

/// Another trust domain, whose keys stand in our bundles.
pub(super) struct Federated {
    domain: TrustDomain,
    key: JwtKey,
}

impl Authority {
    /// Publishes the keys of `domain`, too.
    pub(in crate::identity) fn federate(&mut self, domain: TrustDomain) -> Result<(), AuthorityFault> {
        self.federated = Some(Federated { domain, key: JwtKey::generate()? });
        Ok(())
    }

    /// The other trust domain with its JWK set.
    pub(in crate::identity) fn federated_bundle(&self) -> Option<(String, Vec<u8>)> {
        let federated = self.federated.as_ref()?;
        let set = serde_json::json!({ "keys": [federated.key.jwk()] });
        Some((federated.domain.id_string(), set.to_string().into_bytes()))
    }

    /// A JWS of a JWT-SVID's header, changed by `header` (`null` removes), over `claims`; by the other trust domain's key
    /// where `federated` says so.
    pub(in crate::identity) fn forge_jwt(
        &self,
        federated: bool,
        header: Map<String, Value>,
        claims: &Value,
    ) -> Result<String, AuthorityFault> {
        let own = self.jwt_keys.last();
        let key = if federated { self.federated.as_ref().map(|other| &other.key) } else { own }.ok_or(Unspecified)?;
        let mut whole = Map::from_iter(
            [("alg", "ES256"), ("kid", key.kid.as_str()), ("typ", "JWT")]
                .map(|(name, value)| (name.to_owned(), Value::from(value))),
        );
        whole.extend(header);
        whole.retain(|_name, value| !value.is_null());
        let input = format!("{}.{}", encode(Value::from(whole).to_string()), encode(claims.to_string()));
        let signature = key.pair.sign(&SystemRandom::new(), input.as_bytes())?;
        Ok(format!("{input}.{}", encode(signature)))
    }

    /// A certificate of `id` that is wrong as `odd` says.
    pub(in crate::identity) fn forge_x509(
        &self,
        id: &SpiffeId,
        odd: OddX509,
        now: UnixTime,
    ) -> Result<X509, AuthorityFault> {
        let issued = if odd == OddX509::Expired { now.minus(LIFE.saturating_mul(2)) } else { now };
        let mut certificate = parameters(&id.to_string(), issued, LIFE)?;
        certificate.is_ca = IsCa::ExplicitNoCa;
        certificate.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        certificate.use_authority_key_identifier_extension = true;
        match odd {
            OddX509::Expired => {}
            OddX509::TwoIds => {
                let other = format!("{id}-too");
                certificate.subject_alt_names.push(SanType::URI(other.as_str().try_into()?));
            }
            OddX509::Authority => certificate.is_ca = IsCa::Ca(BasicConstraints::Constrained(0)),
            OddX509::CertificateSigner => certificate.key_usages.push(KeyUsagePurpose::KeyCertSign),
        }
        let key = KeyPair::generate()?;
        let issuer = self.certificates.last().ok_or(Unspecified)?;
        let certificate = certificate.signed_by(&key, issuer)?;
        Ok(X509 { certificate: certificate.der().to_vec(), private_key: key.serialize_der() })
    }
}

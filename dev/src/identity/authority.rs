//! The development trust domain's keys: an X.509 authority and a JWT key, made in memory at start.
//! A private key leaves this file only inside the X509-SVID of the workload that it was made for; none is ever
//! written to disk, logged or shown by `Debug`.

mod forge;

use std::{fmt, time::Duration};

use aws_lc_rs::{
    error::Unspecified,
    rand::{self, SystemRandom},
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use identity::{KeySet, SpiffeId, TrustDomain, UnixTime};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, SanType,
};
use serde::{Deserialize, Serialize};
use serde_json::json;

use self::forge::Federated;
pub use self::forge::OddX509;

/// How far `notBefore` lies back, as SPIRE does it: clocks of two hosts differ.
const BACKDATE: Duration = Duration::from_secs(10);
/// Life of an authority's certificate: longer than any development run.
const AUTHORITY_LIFE: Duration = Duration::from_secs(30 * 24 * 3600);
/// Most authorities of one kind in a bundle: rotation drops the oldest, so that bundles stay small.
const AUTHORITIES_MAX: usize = 8;

/// What becomes of the old authorities at a rotation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Old {
    /// They stay in the bundle, so that what they signed stays good.
    Kept,
    /// They leave the bundle: what they signed is refused from now on.
    Dropped,
}

/// Why a key or certificate could not be made.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityFault {
    /// The certificate could not be made.
    #[error("the development authority cannot make a certificate")]
    Certificate(#[from] rcgen::Error),
    /// The key could not be made or used.
    #[error("the development authority cannot sign")]
    Key(#[from] Unspecified),
    /// A date beyond what a certificate can hold.
    #[error("a date is out of range")]
    Date,
}

/// The keys of one trust domain. The newest of each kind, the last, signs.
pub(super) struct Authority {
    trust_domain: TrustDomain,
    certificates: Vec<CertifiedIssuer<'static, KeyPair>>,
    jwt_keys: Vec<JwtKey>,
    federated: Option<Federated>,
}

/// A certificate with its private key (PKCS#8), both DER.
pub(super) struct X509 {
    pub(super) certificate: Vec<u8>,
    pub(super) private_key: Vec<u8>,
}

struct JwtKey {
    kid: String,
    pair: EcdsaKeyPair,
}

impl Authority {
    pub(super) fn new(trust_domain: TrustDomain, now: UnixTime) -> Result<Self, AuthorityFault> {
        let certificates = vec![certificate_authority(&trust_domain, now)?];
        Ok(Self { trust_domain, certificates, jwt_keys: vec![JwtKey::generate()?], federated: None })
    }

    /// Makes a new X.509 authority; X509-SVIDs must be issued anew after it.
    pub(super) fn rotate_ca(&mut self, old: Old, now: UnixTime) -> Result<(), AuthorityFault> {
        let newest = certificate_authority(&self.trust_domain, now)?;
        append(&mut self.certificates, newest, old);
        Ok(())
    }

    /// Makes a new JWT key.
    pub(super) fn rotate_jwt_key(&mut self, old: Old) -> Result<(), AuthorityFault> {
        append(&mut self.jwt_keys, JwtKey::generate()?, old);
        Ok(())
    }

    /// An X509-SVID (SPIFFE X509-SVID §4): one URI SAN, no CA, usable on both sides of TLS.
    pub(super) fn x509(&self, id: &SpiffeId, life: Duration, now: UnixTime) -> Result<X509, AuthorityFault> {
        let key = KeyPair::generate()?;
        let mut certificate = parameters(&id.to_string(), now, life)?;
        certificate.is_ca = IsCa::ExplicitNoCa;
        certificate.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        certificate.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        certificate.use_authority_key_identifier_extension = true;
        let issuer = self.certificates.last().ok_or(Unspecified)?;
        let certificate = certificate.signed_by(&key, issuer)?;
        Ok(X509 { certificate: certificate.der().to_vec(), private_key: key.serialize_der() })
    }

    /// A JWT-SVID (SPIFFE JWT-SVID §2, §3) with the claims that SPIRE gives: no `iss`, `jti` or `nbf`.
    pub(super) fn jwt(
        &self,
        id: &SpiffeId,
        audience: &[String],
        lifetime: (UnixTime, UnixTime),
    ) -> Result<String, AuthorityFault> {
        let key = self.jwt_keys.last().ok_or(Unspecified)?;
        let (issued, expires) = lifetime;
        let header = json!({ "alg": "ES256", "kid": key.kid, "typ": "JWT" });
        let claims = json!({ "aud": audience, "exp": expires.secs(), "iat": issued.secs(), "sub": id.to_string() });
        let input = format!("{}.{}", encode(header.to_string()), encode(claims.to_string()));
        let signature = key.pair.sign(&SystemRandom::new(), input.as_bytes())?;
        Ok(format!("{input}.{}", encode(signature)))
    }

    /// All X.509 authorities, DER, one after the other.
    pub(super) fn x509_bundle(&self) -> Vec<u8> {
        self.certificates.iter().flat_map(|authority| authority.der().to_vec()).collect()
    }

    /// All JWT keys as a JWK set.
    pub(super) fn jwt_bundle(&self) -> Vec<u8> {
        let keys: Vec<_> = self.jwt_keys.iter().map(JwtKey::jwk).collect();
        json!({ "keys": keys }).to_string().into_bytes()
    }

    /// All JWT keys, to verify with.
    pub(super) fn jwt_keys(&self) -> KeySet {
        KeySet::parse(&self.jwt_bundle()).unwrap_or_default()
    }
}

impl JwtKey {
    fn generate() -> Result<Self, Unspecified> {
        let mut kid = [0_u8; 16];
        rand::fill(&mut kid)?;
        Ok(Self { kid: encode(kid), pair: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)? })
    }

    /// The public key; its raw form is 4, then 32 bytes of x and 32 of y (SEC 1 §2.3.3).
    fn jwk(&self) -> serde_json::Value {
        let point = self.pair.public_key().as_ref();
        let coordinate = |range| encode(point.get(range).unwrap_or_default());
        json!({
            "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "jwt-svid", "kid": self.kid,
            "x": coordinate(1..33), "y": coordinate(33..65),
        })
    }
}

impl fmt::Debug for X509 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("X509(..)")
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").field("trust_domain", &self.trust_domain).finish_non_exhaustive()
    }
}

fn append<T>(authorities: &mut Vec<T>, newest: T, old: Old) {
    match old {
        Old::Dropped => authorities.clear(),
        Old::Kept if authorities.len() >= AUTHORITIES_MAX => drop(authorities.remove(0)),
        Old::Kept => {}
    }
    authorities.push(newest);
}

fn certificate_authority(
    domain: &TrustDomain,
    now: UnixTime,
) -> Result<CertifiedIssuer<'static, KeyPair>, AuthorityFault> {
    let mut authority = parameters(&domain.id_string(), now, AUTHORITY_LIFE)?;
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?)
}

fn parameters(uri: &str, now: UnixTime, life: Duration) -> Result<CertificateParams, AuthorityFault> {
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    let date = |at: UnixTime| {
        let since = Duration::from_secs(at.secs()).try_into().ok()?;
        epoch.checked_add(since)
    };
    let mut certificate = CertificateParams::default();
    certificate.not_before = date(now.minus(BACKDATE)).ok_or(AuthorityFault::Date)?;
    certificate.not_after = date(now.plus(life)).ok_or(AuthorityFault::Date)?;
    certificate.distinguished_name = DistinguishedName::new();
    certificate.distinguished_name.push(DnType::OrganizationName, "Countersign development");
    certificate.subject_alt_names = vec![SanType::URI(uri.try_into()?)];
    Ok(certificate)
}

fn encode(bytes: impl AsRef<[u8]>) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

//! The certificate that the agent proves its node with (`x509pop`), under an authority of this stack alone.

use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
};

/// Common name of the node.
pub(super) const NAME: &str = "node";

/// File names and texts: the authority's certificate, the node's, and the node's key.
pub(super) fn certificates() -> Result<[(&'static str, String); 3], rcgen::Error> {
    let mut authority = CertificateParams::default();
    authority.distinguished_name.push(DnType::CommonName, "node authority");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    let authority_key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let authority_certificate = authority.self_signed(&authority_key)?;

    let mut node = CertificateParams::default();
    node.distinguished_name.push(DnType::CommonName, NAME);
    node.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    let node_key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let node_certificate = node.signed_by(&node_key, &Issuer::new(authority, authority_key))?;
    Ok([
        ("node-ca.crt", authority_certificate.pem()),
        ("node.crt", node_certificate.pem()),
        ("node.key", node_key.serialize_pem()),
    ])
}

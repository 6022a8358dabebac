//! Names that drafts and standards fix, in one place, so that a draft's change is a change of one file.

/// `grant_type` of RFC 8693 §2.1.
pub(crate) const TOKEN_EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
/// Token types of RFC 8693 §3 and draft-ietf-oauth-transaction-tokens-10 §11.
pub(crate) const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
pub(crate) const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";
pub(crate) const TXN_TOKEN: &str = "urn:ietf:params:oauth:token-type:txn_token";
/// `client_assertion_type` of a JWT-SVID (draft-ietf-oauth-spiffe-client-auth-02 §3).
pub(crate) const SPIFFE_JWT_ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-spiffe";
/// JOSE `typ` of an access token (RFC 9068 §2.1).
pub(crate) const ACCESS_TOKEN_TYP: &str = "at+jwt";
/// JOSE `typ` of a transaction token (draft-ietf-oauth-transaction-tokens-10 §9.1).
pub(crate) const TXN_TOKEN_TYP: &str = "txntoken+jwt";
/// `token_type` of an access token (RFC 6750) and of what is none (RFC 8693 §2.2.1).
pub(crate) const BEARER: &str = "Bearer";
pub(crate) const NOT_APPLICABLE: &str = "N_A";
/// How a client authenticates here: mTLS with an X509-SVID (draft-ietf-oauth-spiffe-client-auth-02 §4).
pub(crate) const SPIFFE_X509: &str = "spiffe_x509";
/// The other way: with a JWT-SVID (the same draft, §3).
pub(crate) const SPIFFE_JWT: &str = "spiffe_jwt";

/// Paths of our endpoints, below the issuer.
pub(crate) const TOKEN_PATH: &str = "/token";
pub(crate) const JWKS_PATH: &str = "/jwks";
/// Where a workload asks whether it may call a target in its own name (`protocol.md` §6).
pub(crate) const USE_PATH: &str = "/use";
/// RFC 7009 and RFC 7662.
pub(crate) const REVOKE_PATH: &str = "/revoke";
pub(crate) const INTROSPECT_PATH: &str = "/introspect";
/// Where an operator ends what others were given.
pub(crate) const ADMINISTER_PATH: &str = "/administer";
/// Where an authority says that a session ended: the back-channel logout URL of the login clients, below the issuer.
pub(crate) const LOGOUT_PATH: &str = "/backchannel-logout";
/// RFC 8414 §3.
pub(crate) const METADATA_PATH: &str = "/.well-known/oauth-authorization-server";

//! What everybody may read: the keys (RFC 7517) and the metadata (RFC 8414). It never holds a secret.

use axum::{
    Router,
    response::{IntoResponse as _, Response},
    routing,
};
use http::header;
use serde_json::json;

use super::{JWKS_PATH, METADATA_PATH, TOKEN_PATH};
use crate::{
    grant::Issuer,
    keys::InUse,
    names::{INTROSPECT_PATH, REVOKE_PATH, SPIFFE_JWT, SPIFFE_X509, TOKEN_EXCHANGE},
};

/// Keys may be kept for as long as a token lives; an unknown `kid` makes a verifier ask again anyway.
const JWKS_CACHE: &str = "max-age=60";

/// The two documents.
#[derive(Clone, Debug)]
pub(super) struct Published {
    keys: InUse,
    metadata: String,
}

impl Published {
    /// `assertions` is the base URL at which clients without a certificate reach us, if they do.
    pub(super) fn new(issuer: &Issuer, assertions: Option<&str>) -> Self {
        Self { keys: issuer.keys.clone(), metadata: metadata(&issuer.url, assertions) }
    }

    pub(super) fn router(self) -> Router {
        let Self { keys, metadata } = self;
        let jwks = async move || answer("application/jwk-set+json", keys.current().jwks().to_owned());
        let metadata = async move || answer("application/json", metadata);
        Router::new().route(JWKS_PATH, routing::get(jwks)).route(METADATA_PATH, routing::get(metadata))
    }
}

fn answer(kind: &'static str, document: String) -> Response {
    ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, JWKS_CACHE)], document).into_response()
}

/// RFC 8414 §2. There is no authorization endpoint, so no response type. Where clients without a certificate have an
/// address of their own, it is the token endpoint, and ours the alias for those with one (RFC 8705 §5).
fn metadata(issuer: &str, assertions: Option<&str>) -> String {
    let own = format!("{issuer}{TOKEN_PATH}");
    let methods: &[&str] = if assertions.is_some() { &[SPIFFE_X509, SPIFFE_JWT] } else { &[SPIFFE_X509] };
    let mut document = json!({
        "issuer": issuer,
        "token_endpoint": own,
        "jwks_uri": format!("{issuer}{JWKS_PATH}"),
        "grant_types_supported": [TOKEN_EXCHANGE],
        "response_types_supported": [],
        "token_endpoint_auth_methods_supported": methods,
        "introspection_endpoint": format!("{issuer}{INTROSPECT_PATH}"),
        "introspection_endpoint_auth_methods_supported": [SPIFFE_X509],
        "revocation_endpoint": format!("{issuer}{REVOKE_PATH}"),
        "revocation_endpoint_auth_methods_supported": [SPIFFE_X509],
    });
    if let Some(elsewhere) = assertions.filter(|url| *url != issuer) {
        let aliases = json!({ "token_endpoint": own });
        let moved = json!(format!("{elsewhere}{TOKEN_PATH}"));
        document.as_object_mut().into_iter().for_each(|members| {
            members.insert("token_endpoint".to_owned(), moved.clone());
            members.insert("mtls_endpoint_aliases".to_owned(), aliases.clone());
        });
    }
    document.to_string()
}

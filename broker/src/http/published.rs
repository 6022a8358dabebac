//! What everybody may read: the keys (RFC 7517) and the metadata (RFC 8414). Made once; it never holds a secret.

use axum::{Router, response::IntoResponse, routing};
use http::header;
use serde_json::json;

use super::{JWKS_PATH, METADATA_PATH, TOKEN_PATH};
use crate::{
    grant::Issuer,
    names::{SPIFFE_X509, TOKEN_EXCHANGE},
};

/// Keys may be kept for as long as a token lives; an unknown `kid` makes a verifier ask again anyway.
const JWKS_CACHE: &str = "max-age=60";

/// The two documents.
#[derive(Clone, Debug)]
pub(super) struct Published {
    jwks: String,
    metadata: String,
}

impl Published {
    pub(super) fn new(issuer: &Issuer) -> Self {
        Self { jwks: issuer.keys.jwks().to_owned(), metadata: metadata(&issuer.url) }
    }

    pub(super) fn router(self) -> Router {
        let Self { jwks, metadata } = self;
        let serve = |kind: &'static str, document: String| {
            let answer = async move || {
                ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, JWKS_CACHE)], document).into_response()
            };
            routing::get(answer)
        };
        Router::new()
            .route(JWKS_PATH, serve("application/jwk-set+json", jwks))
            .route(METADATA_PATH, serve("application/json", metadata))
    }
}

/// RFC 8414 §2. There is no authorization endpoint, so no response type.
fn metadata(issuer: &str) -> String {
    json!({
        "issuer": issuer,
        "token_endpoint": format!("{issuer}{TOKEN_PATH}"),
        "jwks_uri": format!("{issuer}{JWKS_PATH}"),
        "grant_types_supported": [TOKEN_EXCHANGE],
        "response_types_supported": [],
        "token_endpoint_auth_methods_supported": [SPIFFE_X509],
    })
    .to_string()
}

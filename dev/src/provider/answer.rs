//! Answers: JSON that nobody stores, OAuth errors in Keycloak's words, and small pages.

use axum::{
    Json,
    http::{StatusCode, header},
    response::{Html, IntoResponse, Response},
};
use serde_json::{Value, json};

/// An OAuth error (RFC 6749 §5.2) with Keycloak's status and description.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) status: StatusCode,
    pub(super) error: &'static str,
    pub(super) description: String,
}

impl Refused {
    pub(super) fn bad(error: &'static str, description: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, error, description: description.into() }
    }

    pub(super) fn invalid_request(description: impl Into<String>) -> Self {
        Self::bad("invalid_request", description)
    }

    /// An unknown client, or one that did not prove itself: Keycloak does not say which.
    pub(super) fn unknown_client() -> Self {
        let description = "Invalid client or Invalid client credentials".to_owned();
        Self { status: StatusCode::UNAUTHORIZED, error: "invalid_client", description }
    }

    /// The random source or the key failed.
    pub(super) fn fault() -> Self {
        Self {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            error: "server_error",
            description: "no signature".to_owned(),
        }
    }
}

impl From<aws_lc_rs::error::Unspecified> for Refused {
    fn from(_unspecified: aws_lc_rs::error::Unspecified) -> Self {
        Self::fault()
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        json_answer(self.status, json!({ "error": self.error, "error_description": self.description }))
    }
}

/// JSON that must not be stored (RFC 6749 §5.1).
pub(super) fn json_answer(status: StatusCode, body: Value) -> Response {
    (status, [(header::CACHE_CONTROL, "no-store"), (header::PRAGMA, "no-cache")], Json(body)).into_response()
}

/// The page of the development sign-in around `content`, which must be markup of this crate.
pub(super) fn page(status: StatusCode, content: &str) -> Response {
    // A form's target and what it redirects to are held to this host; nothing else is loaded or run.
    const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; \
        form-action 'self' http://127.0.0.1:* http://localhost:*";
    let headers = [
        (header::CACHE_CONTROL, "no-store"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (status, headers, Html(format!("{HEAD}{content}</main></body></html>"))).into_response()
}

const HEAD: &str = r#"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Countersign development sign-in</title>
<style>
  :root { color-scheme: light dark }
  body { font: 16px/1.5 system-ui, sans-serif; display: grid; place-items: center; min-height: 100vh; margin: 0 }
  main { width: min(22rem, 90vw) }
  h1 { font-size: 1.25rem; margin: 0 0 .25rem }
  p { margin: 0 0 1rem; opacity: .8 }
  label { display: block; margin: 0 0 .75rem }
  input, button { font: inherit; width: 100%; box-sizing: border-box; padding: .5rem .6rem; border-radius: .4rem }
  input { border: 1px solid #8888; margin-top: .2rem }
  button { border: 0; background: #2457d6; color: #fff; cursor: pointer }
  [role=alert] { color: #c62828; opacity: 1 }
</style>
</head>
<body><main><h1>development sign-in</h1>
"#;

//! From an outcome to bytes. One exhaustive match says what each refusal is on the wire (RFC 6749 §5.2, RFC 8693 §2.2.2,
//! `protocol.md` §11). No answer may be cached, and none holds more than the refusal's own sentence.

use axum::{
    body::Body,
    response::{IntoResponse as _, Response},
};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use identity::Refusal;
use serde::Serialize;

use crate::{
    grant::{Issued, IssuedKind},
    names::{ACCESS_TOKEN, BEARER, NOT_APPLICABLE, TXN_TOKEN},
};

/// Seconds after which a fault may be tried again: what is down for longer does not come back sooner.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("1");

/// OAuth's own words for an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OauthError {
    InvalidRequest,
    InvalidClient,
    InvalidScope,
    InvalidTarget,
    UnsupportedGrantType,
    UnsupportedTokenType,
    UnauthorizedClient,
    TemporarilyUnavailable,
}

/// RFC 8693 §2.2.1, with the callee's transaction token beside an access token.
#[derive(Serialize)]
struct Success<'a> {
    access_token: &'a str,
    issued_token_type: &'static str,
    token_type: &'static str,
    expires_in: u64,
    scope: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    txn_token: Option<&'a str>,
}

/// The answer of `/use`.
#[derive(Serialize)]
struct Allowed {
    decision: &'static str,
    expires_in: u64,
}

#[derive(Serialize)]
struct Failure<'a> {
    error: &'static str,
    refusal: &'a str,
    error_description: &'static str,
    request_id: &'a str,
}

/// The tokens, to the one who asked.
pub(super) fn issued(issued: &Issued) -> Response {
    let (issued_token_type, token_type) = match issued.kind {
        IssuedKind::Access => (ACCESS_TOKEN, BEARER),
        IssuedKind::Transaction => (TXN_TOKEN, NOT_APPLICABLE),
    };
    json(
        StatusCode::OK,
        &Success {
            access_token: &issued.token,
            issued_token_type,
            token_type,
            expires_in: issued.expires_in,
            scope: issued.scopes.to_string(),
            txn_token: issued.txn_token.as_ref().map(|token| token.as_str()),
        },
    )
}

/// A workload may do what it asked about, for so many seconds.
pub(super) fn allowed(expires_in: u64) -> Response {
    json(StatusCode::OK, &Allowed { decision: "allowed", expires_in })
}

/// This ended, or nothing did; and so many running transactions with it.
pub(super) fn ended(what: Option<&'static str>, transactions: u64) -> Response {
    json(StatusCode::OK, &serde_json::json!({ "revoked": what, "transactions": transactions }))
}

/// The members of a token's introspection, or that it is not active and nothing else (RFC 7662 §2.2).
pub(super) fn introspected(members: Option<serde_json::Value>) -> Response {
    json(StatusCode::OK, &members.unwrap_or_else(|| serde_json::json!({ "active": false })))
}

/// Done, and there is nothing to say about it.
pub(super) fn done() -> Response {
    let mut response = Response::new(Body::empty());
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The refusal, with its stable code.
pub(super) fn refused(refusal: &Refusal, request_id: &str) -> Response {
    let (status, error) = on_the_wire(refusal);
    let code = refusal.code();
    let failure = Failure { error: error.name(), refusal: &code, error_description: refusal.message(), request_id };
    let mut response = json(status, &failure);
    if status == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER);
    }
    if status == StatusCode::METHOD_NOT_ALLOWED {
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST"));
    }
    response
}

/// The scheme of the `Authorization` header that a client tried, where it is one that clients try.
pub(super) fn challenge(headers: &HeaderMap) -> Option<HeaderValue> {
    let tried = headers.get(header::AUTHORIZATION)?.to_str().unwrap_or_default();
    let scheme = tried.split(' ').next().unwrap_or_default();
    let known = [
        ("Basic", HeaderValue::from_static("Basic realm=\"countersign\"")),
        ("Bearer", HeaderValue::from_static("Bearer realm=\"countersign\"")),
        ("DPoP", HeaderValue::from_static("DPoP realm=\"countersign\"")),
    ];
    known.into_iter().find(|(name, _)| name.eq_ignore_ascii_case(scheme)).map(|(_, challenge)| challenge)
}

/// The answer; where it says that nobody proved who asks, with the challenge of the scheme that was tried
/// (RFC 6749 §5.2).
pub(super) fn challenged(mut answer: Response, challenge: Option<HeaderValue>) -> Response {
    if let Some(challenge) = challenge.filter(|_tried| answer.status() == StatusCode::UNAUTHORIZED) {
        answer.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    }
    answer
}

fn json(status: StatusCode, body: &impl Serialize) -> Response {
    let Ok(body) = serde_json::to_vec(body) else { return StatusCode::INTERNAL_SERVER_ERROR.into_response() };
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// What only sidecars refuse, about calls that never get here; whoever sees one here made a bad request.
macro_rules! of_sidecars {
    () => {
        Refusal::AccessToken(_)
            | Refusal::TxnToken(_)
            | Refusal::SubjectMissing
            | Refusal::AccessTokenMissing
            | Refusal::AccessTokenRevoked
            | Refusal::TxnTokenMissing
            | Refusal::TxnTokenUnexpected
            | Refusal::TxnTokenMismatch
            | Refusal::TxnTokenRevoked
            | Refusal::CallUnmapped
            | Refusal::CallNoTransaction
            | Refusal::CallUnlistedHost
            | Refusal::CallBatch
            | Refusal::CallTooLarge
            | Refusal::CallMalformed
            | Refusal::CallCredentialHeaders
            | Refusal::CallSession
            | Refusal::CallAmbiguous
            | Refusal::CallTraceEnded
            | Refusal::CallContradiction
            | Refusal::CallMethod
            | Refusal::CallWrongDoor
            | Refusal::PeerWrongIdentity
            | Refusal::PeerRefusedToken
            | Refusal::PeerNoRoots
            | Refusal::PeerUnreachable
            | Refusal::PeerAnswer
    };
}

/// RFC 8693 wins: a subject or actor token that is not acceptable for any reason is `invalid_request`.
fn on_the_wire(refusal: &Refusal) -> (StatusCode, OauthError) {
    let bad = |error| (StatusCode::BAD_REQUEST, error);
    match refusal {
        Refusal::RequestMethod => (StatusCode::METHOD_NOT_ALLOWED, OauthError::InvalidRequest),
        Refusal::RequestTooLarge => (StatusCode::PAYLOAD_TOO_LARGE, OauthError::InvalidRequest),
        Refusal::RequestGrantType => bad(OauthError::UnsupportedGrantType),
        Refusal::RequestForeignToken => bad(OauthError::UnsupportedTokenType),
        Refusal::ClientNotPermitted => bad(OauthError::UnauthorizedClient),
        Refusal::RequestMediaType
        | Refusal::RequestMalformed
        | Refusal::RequestRepeatedParameter
        | Refusal::RequestMissingParameter
        | Refusal::RequestTokenType
        | Refusal::RequestAuthority
        | Refusal::ClientSeveralMethods
        | Refusal::Subject(_)
        | Refusal::SubjectSessionEnded
        | Refusal::SubjectTransactionEnded
        | Refusal::SubjectRevoked
        | Refusal::Actor(_)
        | Refusal::ActorMismatch
        | Refusal::EdgeNotRegistered
        | Refusal::EdgeLoginClient
        | Refusal::ChainNotCallee
        | Refusal::ChainLoop
        | Refusal::ChainTooDeep
        | Refusal::LogoutToken(_)
        | Refusal::LogoutTokenReplayed => bad(OauthError::InvalidRequest),
        Refusal::ClientMismatch
        | Refusal::ClientMethod
        | Refusal::ClientAssertionMissing
        | Refusal::ClientAssertionLongLived
        | Refusal::ClientAssertion(_) => (StatusCode::UNAUTHORIZED, OauthError::InvalidClient),
        Refusal::TargetMissing
        | Refusal::TargetUnknown
        | Refusal::TargetKind
        | Refusal::TargetSeveral
        | Refusal::TargetDomain
        | Refusal::TargetReservedAudience
        | Refusal::PolicyNoRule
        | Refusal::PolicySessionUnconfirmed
        | Refusal::PolicyError
        | Refusal::PolicyForbidden(_) => bad(OauthError::InvalidTarget),
        Refusal::ScopeMalformed
        | Refusal::ScopeBeyondSubject
        | Refusal::ScopeBeyondTarget
        | Refusal::ScopeNotPermitted
        | Refusal::ScopeNoneForEdge
        | Refusal::ScopeWithdrawn
        | Refusal::ScopeWidened
        | Refusal::ScopeInsufficient => bad(OauthError::InvalidScope),
        of_sidecars!() => bad(OauthError::InvalidRequest),
        Refusal::FaultProvider
        | Refusal::FaultUnconfirmed
        | Refusal::FaultStore
        | Refusal::FaultRecord
        | Refusal::FaultBroker
        | Refusal::FaultIdentity
        | Refusal::FaultNotReady
        | Refusal::FaultApp
        | Refusal::FaultRateLimited
        | Refusal::FaultClock
        | Refusal::FaultOverloaded => (StatusCode::SERVICE_UNAVAILABLE, OauthError::TemporarilyUnavailable),
    }
}

impl OauthError {
    const fn name(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::InvalidClient => "invalid_client",
            Self::InvalidScope => "invalid_scope",
            Self::InvalidTarget => "invalid_target",
            Self::UnsupportedGrantType => "unsupported_grant_type",
            Self::UnsupportedTokenType => "unsupported_token_type",
            Self::UnauthorizedClient => "unauthorized_client",
            Self::TemporarilyUnavailable => "temporarily_unavailable",
        }
    }
}

#[cfg(test)]
mod tests {
    use identity::{Scopes, TokenFault};
    use zeroize::Zeroizing;

    use super::*;

    fn header(response: &Response, name: header::HeaderName) -> Option<&str> {
        response.headers().get(name).and_then(|value| value.to_str().ok())
    }

    #[test]
    fn every_refusal_has_one_place_on_the_wire() {
        for refusal in Refusal::catalogue() {
            let (status, error) = on_the_wire(&refusal);
            let code = refusal.code();
            assert_eq!(refusal.is_fault(), status == StatusCode::SERVICE_UNAVAILABLE, "{code}");
            assert_eq!(refusal.is_fault(), error == OauthError::TemporarilyUnavailable, "{code}");
            assert_eq!(status == StatusCode::UNAUTHORIZED, error == OauthError::InvalidClient, "{code}");
            match code.split_once('.').expect("family.reason").0 {
                "subject" | "actor" | "chain" | "edge" => assert_eq!(error, OauthError::InvalidRequest, "{code}"),
                "client_assertion" => assert_eq!(error, OauthError::InvalidClient, "{code}"),
                "scope" => assert_eq!(error, OauthError::InvalidScope, "{code}"),
                "target" | "policy" => assert_eq!(error, OauthError::InvalidTarget, "{code}"),
                _others => {}
            }
        }
    }

    #[test]
    fn a_refusal_is_not_cached_and_says_how_to_go_on() {
        let response = refused(&Refusal::RequestMethod, "r1");
        assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(header(&response, header::ALLOW), Some("POST"));
        assert_eq!(header(&response, header::CACHE_CONTROL), Some("no-store"));
        let fault = refused(&Refusal::FaultProvider, "r1");
        assert_eq!((fault.status(), header(&fault, header::RETRY_AFTER)), (StatusCode::SERVICE_UNAVAILABLE, Some("1")));
    }

    #[tokio::test]
    async fn bodies_have_the_members_of_the_protocol() {
        let body = async |response: Response| {
            let bytes = axum::body::to_bytes(response.into_body(), 4096).await.expect("a body");
            serde_json::from_slice::<serde_json::Value>(&bytes).expect("json")
        };
        let failure = body(refused(&Refusal::Subject(TokenFault::Expired), "r1")).await;
        assert_eq!(failure["error"], "invalid_request");
        assert_eq!(failure["refusal"], "subject.expired");
        assert_eq!(failure["request_id"], "r1");
        let token = |text: &str| Zeroizing::new(text.to_owned());
        let access = Issued {
            kind: IssuedKind::Access,
            token: token("a"),
            txn_token: Some(token("t")),
            scopes: Scopes::none(),
            expires_in: 60,
        };
        let success = body(issued(&access)).await;
        assert_eq!(success["token_type"], "Bearer");
        assert_eq!(success["issued_token_type"], ACCESS_TOKEN);
        assert_eq!((&success["txn_token"], &success["scope"]), (&"t".into(), &"".into()));
        let txn = body(issued(&Issued { kind: IssuedKind::Transaction, txn_token: None, ..access })).await;
        assert_eq!((&txn["token_type"], txn.get("txn_token")), (&"N_A".into(), None));
    }
}

//! From a refusal to what the caller gets (`protocol.md` §11): status, challenge, body. One exhaustive match says the
//! status of each. Nothing here shows a token, a handle or the text of a policy.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use http::{HeaderValue, Response, StatusCode, header};
use serde_json::{Value, json};

use crate::{body::Body, mcp::Rpc, metrics::Metrics, strip};
use identity::{Refusal, Scopes, SpiffeId, TransactionId};

/// When a caller should come back after a fault, in seconds: our own waits are of this size.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("1");

/// Where a request came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Door {
    /// Users.
    Edge,
    /// Other sidecars.
    Mesh,
    /// The own app.
    Agent,
}

impl Door {
    /// Its name in logs and metrics.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Edge => "edge",
            Self::Mesh => "mesh",
            Self::Agent => "agent",
        }
    }
}

/// What became known about a request on its way: enough to refuse it well, and to log the refusal.
#[derive(Debug)]
pub(crate) struct About {
    door: Door,
    /// The target's name.
    pub(crate) target: Option<String>,
    /// The workload at the other end.
    pub(crate) peer: Option<SpiffeId>,
    /// The transaction.
    pub(crate) transaction: Option<TransactionId>,
    /// How to answer an MCP message.
    pub(crate) rpc: Option<Rpc>,
    /// The scope that would help.
    pub(crate) scope: Option<Scopes>,
    /// Where the metadata of RFC 9728 lies.
    pub(crate) metadata: Option<String>,
}

impl About {
    /// Nothing known yet.
    pub(crate) const fn new(door: Door) -> Self {
        Self { door, target: None, peer: None, transaction: None, rpc: None, scope: None, metadata: None }
    }

    /// Answers with `refusal`; counts and logs it.
    pub(crate) fn refuse(&self, refusal: &Refusal, metrics: &Metrics) -> Response<Body> {
        let code = refusal.code();
        let request_id = request_id();
        metrics.request(self.door.name(), &code);
        self.log(refusal, &request_id);
        let status = status(refusal, self.door);
        let details = json!({
            "error": error(refusal, status),
            "refusal": code,
            "message": refusal.message(),
            "request_id": request_id,
            "help": format!("countersign explain {code}"),
        });
        let mut response = Response::new(Body::full(self.body(refusal, details).to_string()));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, RETRY_AFTER);
        }
        if let Some(challenge) = self.challenge(refusal, status).and_then(|text| HeaderValue::try_from(text).ok()) {
            headers.insert(header::WWW_AUTHENTICATE, challenge);
        }
        if self.door == Door::Mesh
            && let Ok(code) = HeaderValue::try_from(code.as_ref())
        {
            headers.insert(strip::REFUSAL, code);
        }
        response
    }

    /// JSON-RPC 2.0 §5.1 where the request was an MCP message, else the details alone.
    fn body(&self, refusal: &Refusal, details: Value) -> Value {
        match &self.rpc {
            None => details,
            Some(rpc) => json!({
                "jsonrpc": "2.0",
                "id": rpc.id,
                "error": { "code": rpc.code, "message": refusal.message(), "data": details },
            }),
        }
    }

    /// RFC 6750 §3, RFC 9728 §5.1: on every 401, and on a 403 that more consent would lift.
    fn challenge(&self, refusal: &Refusal, status: StatusCode) -> Option<String> {
        let lifted_by_consent =
            matches!(refusal, Refusal::ScopeInsufficient | Refusal::ScopeBeyondSubject | Refusal::ScopeNoneForEdge);
        let error = match status {
            // No token was shown, so none is called invalid (RFC 6750 §3.1).
            StatusCode::UNAUTHORIZED if *refusal == Refusal::AccessTokenMissing => None,
            StatusCode::UNAUTHORIZED => Some("invalid_token"),
            StatusCode::FORBIDDEN if lifted_by_consent => Some("insufficient_scope"),
            _ => return None,
        };
        let mut parts = Vec::new();
        parts.extend(error.map(|error| format!("error=\"{error}\"")));
        let scope = self.scope.as_ref().filter(|scope| !scope.is_empty());
        parts.extend(scope.map(|scope| format!("scope=\"{scope}\"")));
        parts.extend(self.metadata.as_ref().map(|url| format!("resource_metadata=\"{url}\"")));
        Some(if parts.is_empty() { "Bearer".to_owned() } else { format!("Bearer {}", parts.join(", ")) })
    }

    /// `called`, because a log line's `target` is the module that wrote it.
    fn log(&self, refusal: &Refusal, request_id: &str) {
        let code = refusal.code();
        let (door, code, called) = (self.door.name(), code.as_ref(), self.target.as_deref());
        let peer = self.peer.as_ref().map(tracing::field::display);
        let transaction = self.transaction.as_ref().map(tracing::field::display);
        if refusal.is_fault() {
            tracing::warn!(door, code, called, peer, transaction, request_id, "call failed");
        } else {
            tracing::info!(door, code, called, peer, transaction, request_id, "call refused");
        }
    }
}

/// The status of each refusal. 401 toward an app only for `subject.*`: the user must come back; at edge and mesh also
/// for the tokens that are shown there.
fn status(refusal: &Refusal, door: Door) -> StatusCode {
    match refusal {
        Refusal::Subject(_) | Refusal::SubjectSessionEnded | Refusal::SubjectTransactionEnded => {
            StatusCode::UNAUTHORIZED
        }
        Refusal::AccessToken(_)
        | Refusal::AccessTokenMissing
        | Refusal::TxnToken(_)
        | Refusal::TxnTokenMissing
        | Refusal::TxnTokenUnexpected
        | Refusal::TxnTokenMismatch => match door {
            Door::Edge | Door::Mesh => StatusCode::UNAUTHORIZED,
            Door::Agent => StatusCode::FORBIDDEN,
        },
        Refusal::CallBatch | Refusal::CallMalformed | Refusal::CallCredentialHeaders => StatusCode::BAD_REQUEST,
        Refusal::CallTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Refusal::CallSession => StatusCode::NOT_FOUND,
        Refusal::CallUnmapped
        | Refusal::CallNoTransaction
        | Refusal::CallUnlistedHost
        | Refusal::CallMethod
        | Refusal::RequestMethod
        | Refusal::RequestMediaType
        | Refusal::RequestTooLarge
        | Refusal::RequestMalformed
        | Refusal::RequestRepeatedParameter
        | Refusal::RequestMissingParameter
        | Refusal::RequestGrantType
        | Refusal::RequestTokenType
        | Refusal::ClientMismatch
        | Refusal::Actor(_)
        | Refusal::ActorMismatch
        | Refusal::EdgeNotRegistered
        | Refusal::EdgeLoginClient
        | Refusal::ChainNotCallee
        | Refusal::ChainLoop
        | Refusal::ChainTooDeep
        | Refusal::TargetMissing
        | Refusal::TargetUnknown
        | Refusal::TargetSeveral
        | Refusal::TargetDomain
        | Refusal::TargetReservedAudience
        | Refusal::ScopeMalformed
        | Refusal::ScopeBeyondSubject
        | Refusal::ScopeBeyondTarget
        | Refusal::ScopeNotPermitted
        | Refusal::ScopeNoneForEdge
        | Refusal::ScopeWithdrawn
        | Refusal::ScopeWidened
        | Refusal::ScopeInsufficient
        | Refusal::PolicyNoRule
        | Refusal::PolicyError
        | Refusal::PolicyForbidden(_) => StatusCode::FORBIDDEN,
        Refusal::PeerWrongIdentity | Refusal::PeerRefusedToken | Refusal::PeerAnswer => StatusCode::BAD_GATEWAY,
        // Nothing was sent, so the caller may try again.
        Refusal::PeerUnreachable
        | Refusal::FaultProvider
        | Refusal::FaultStore
        | Refusal::FaultRecord
        | Refusal::FaultBroker
        | Refusal::FaultIdentity
        | Refusal::FaultNotReady
        | Refusal::FaultApp
        | Refusal::FaultOverloaded => StatusCode::SERVICE_UNAVAILABLE,
    }
}

/// The OAuth error beside the code (RFC 6750 §3.1; RFC 6749 §4.1.2.1 for the rest).
fn error(refusal: &Refusal, status: StatusCode) -> &'static str {
    match status {
        StatusCode::UNAUTHORIZED => "invalid_token",
        StatusCode::FORBIDDEN if refusal.code().starts_with("scope.") => "insufficient_scope",
        StatusCode::FORBIDDEN => "access_denied",
        StatusCode::SERVICE_UNAVAILABLE => "temporarily_unavailable",
        StatusCode::BAD_GATEWAY => "server_error",
        _ => "invalid_request",
    }
}

/// 128 random bits, to find the log line by.
fn request_id() -> String {
    let mut bytes = [0; 16];
    if aws_lc_rs::rand::fill(&mut bytes).is_err() {
        tracing::warn!("no random bytes for a request id");
    }
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;
    use identity::TokenFault;

    async fn json(response: Response<Body>) -> Value {
        let bytes = response.into_body().collect().await.expect("a body").to_bytes();
        serde_json::from_slice(&bytes).expect("JSON")
    }

    fn at(door: Door) -> About {
        let metadata = Some("https://tickets.tools.svc/.well-known/oauth-protected-resource/mcp".to_owned());
        About { metadata, ..About::new(door) }
    }

    fn challenge(about: &About, refusal: &Refusal) -> Option<String> {
        let response = about.refuse(refusal, &Metrics::default());
        response.headers().get(header::WWW_AUTHENTICATE).map(|value| value.to_str().expect("text").to_owned())
    }

    #[test]
    fn an_app_gets_401_only_for_the_subject() {
        for refusal in Refusal::catalogue() {
            let of_subject = refusal.code().starts_with("subject.");
            assert_eq!(status(&refusal, Door::Agent) == StatusCode::UNAUTHORIZED, of_subject, "{}", refusal.code());
        }
    }

    #[test]
    fn every_family_has_its_status() {
        for refusal in Refusal::catalogue() {
            let code = refusal.code().into_owned();
            let family = code.split('.').next().unwrap_or_default();
            let agent = status(&refusal, Door::Agent).as_u16();
            let expected: &[u16] = match family {
                "subject" => &[401],
                "policy" | "chain" | "edge" | "scope" | "target" | "actor" | "client" | "request" => &[403],
                "access_token" | "txn_token" => &[403],
                "call" => &[400, 403, 404, 413],
                "peer" => &[502, 503],
                "fault" => &[503],
                other => panic!("unknown family {other}"),
            };
            assert!(expected.contains(&agent), "{code}: {agent}");
            if matches!(family, "access_token" | "txn_token") {
                assert_eq!(status(&refusal, Door::Mesh), StatusCode::UNAUTHORIZED, "{code}");
            }
            if family == "fault" {
                assert!(refusal.is_fault());
            }
        }
    }

    #[test]
    fn a_missing_token_is_challenged_without_an_error() {
        assert_eq!(
            challenge(&at(Door::Mesh), &Refusal::AccessTokenMissing).as_deref(),
            Some(r#"Bearer resource_metadata="https://tickets.tools.svc/.well-known/oauth-protected-resource/mcp""#)
        );
    }

    #[test]
    fn a_bad_token_and_too_little_scope_are_challenged_by_name() {
        let bad = challenge(&at(Door::Mesh), &Refusal::AccessToken(TokenFault::Expired)).expect("a challenge");
        assert!(bad.starts_with(r#"Bearer error="invalid_token", resource_metadata=""#), "{bad}");
        let about = About { scope: "tickets:write".parse().ok(), ..at(Door::Mesh) };
        let small = challenge(&about, &Refusal::ScopeInsufficient).expect("a challenge");
        assert!(small.starts_with(r#"Bearer error="insufficient_scope", scope="tickets:write", resource_"#), "{small}");
        assert_eq!(challenge(&at(Door::Mesh), &Refusal::PolicyNoRule), None);
    }

    #[test]
    fn only_a_mesh_door_marks_its_refusals() {
        for door in [Door::Edge, Door::Mesh, Door::Agent] {
            let response = at(door).refuse(&Refusal::AccessToken(TokenFault::Expired), &Metrics::default());
            let marked = response.headers().get(strip::REFUSAL).map(HeaderValue::as_bytes);
            assert_eq!(marked, (door == Door::Mesh).then_some(&b"access_token.expired"[..]));
        }
    }

    #[tokio::test]
    async fn the_body_says_what_and_how_to_learn_more() {
        let body = json(at(Door::Agent).refuse(&Refusal::CallUnlistedHost, &Metrics::default())).await;
        assert_eq!(body["error"], "access_denied");
        assert_eq!(body["refusal"], "call.unlisted_host");
        assert_eq!(body["help"], "countersign explain call.unlisted_host");
        assert!(body["message"].is_string() && body["request_id"].as_str().is_some_and(|id| id.len() == 22));
    }

    #[tokio::test]
    async fn an_mcp_message_is_answered_as_json_rpc_with_its_id() {
        let about = About { rpc: Some(Rpc { id: json!("seven"), code: -32000 }), ..at(Door::Agent) };
        let response = about.refuse(&Refusal::ScopeNotPermitted, &Metrics::default());
        assert_eq!(response.status(), StatusCode::FORBIDDEN);
        let body = json(response).await;
        assert_eq!((&body["jsonrpc"], &body["id"]), (&json!("2.0"), &json!("seven")));
        assert_eq!(body["error"]["data"]["refusal"], "scope.not_permitted");
        assert_eq!(body["error"]["data"]["error"], "insufficient_scope");
    }

    #[test]
    fn faults_say_when_to_come_back() {
        let response = at(Door::Agent).refuse(&Refusal::FaultBroker, &Metrics::default());
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(response.headers().contains_key(header::RETRY_AFTER));
    }
}

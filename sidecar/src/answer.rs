//! From a refusal to what the caller gets (`protocol.md` §11): status, challenge, body. One exhaustive match says the
//! status of each. Nothing here shows a token, a handle or the text of a policy.

mod line;
mod status;

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use http::{HeaderValue, Response, StatusCode, header};
use serde_json::{Value, json};

use self::status::{error, status};
use crate::{body::Body, mcp::Rpc, metrics::Metrics, strip, transactions::Way};
use identity::{ActorChain, Refusal, Scopes, SpiffeId, Subject, TransactionId};

/// When a caller should come back after a fault, in seconds: our own waits are of this size.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("1");

/// Where a request came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Door {
    /// Users.
    Edge,
    /// Other sidecars.
    Mesh,
    /// The own app, within a transaction.
    Agent,
    /// The own app, in the workload's own name.
    Own,
}

impl Door {
    /// Its name in logs and metrics.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Edge => "edge",
            Self::Mesh => "mesh",
            Self::Agent => "agent",
            Self::Own => "self",
        }
    }

    /// Whether requests come into the pod here or leave it.
    const fn direction(self) -> &'static str {
        match self {
            Self::Edge | Self::Mesh => "in",
            Self::Agent | Self::Own => "out",
        }
    }
}

/// What became known about a request on its way: enough to refuse it well, and to log it. Each is logged once, at its
/// answer; one that is dropped without an answer was given up by its caller.
#[derive(Debug)]
pub(crate) struct About {
    door: Door,
    /// The target's name.
    pub(crate) target: Option<String>,
    /// The workload at the other end.
    pub(crate) peer: Option<SpiffeId>,
    /// For whom.
    pub(crate) subject: Option<Subject>,
    /// Who acts for the subject.
    pub(crate) actors: Option<ActorChain>,
    /// The transaction.
    pub(crate) transaction: Option<TransactionId>,
    /// By what the transaction was found.
    pub(crate) way: Option<Way>,
    /// What is asked for, by names of the standard and the registry only.
    pub(crate) operation: Option<String>,
    /// How to answer an MCP message.
    pub(crate) rpc: Option<Rpc>,
    /// The scope that it needs, and that would help.
    pub(crate) scope: Option<Scopes>,
    /// Where the metadata of RFC 9728 lies.
    pub(crate) metadata: Option<String>,
    answered: bool,
}

impl About {
    /// Nothing known yet.
    pub(crate) const fn new(door: Door) -> Self {
        Self {
            door,
            target: None,
            peer: None,
            subject: None,
            actors: None,
            transaction: None,
            way: None,
            operation: None,
            rpc: None,
            scope: None,
            metadata: None,
            answered: false,
        }
    }

    /// The answer to the request; counts and logs it.
    pub(crate) fn answer(mut self, outcome: Result<Response<Body>, Refusal>, metrics: &Metrics) -> Response<Body> {
        self.answered = true;
        let request_id = request_id();
        let (response, code) = match outcome {
            Ok(response) => {
                metrics.request(self.door.name(), "forwarded");
                (response, None)
            }
            Err(refusal) => {
                metrics.request(self.door.name(), &refusal.code());
                (self.refused(&refusal, &request_id), Some(refusal.code()))
            }
        };
        line::write(&self, code.as_deref().unwrap_or(line::ALLOWED), Some((response.status(), &request_id)));
        response
    }

    fn refused(&self, refusal: &Refusal, request_id: &str) -> Response<Body> {
        let code = refusal.code();
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
            StatusCode::UNAUTHORIZED if matches!(refusal, Refusal::AccessTokenMissing | Refusal::SubjectMissing) => {
                None
            }
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
}

impl Drop for About {
    fn drop(&mut self) {
        if !self.answered {
            line::write(self, line::ABORTED, None);
        }
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
mod tests;

//! The call itself: to the target's address, to nobody but the target's workload, with what the broker gave for it.
//! A call that the peer's sidecar refused for its tokens is tried once more with new ones, if its body is still held.

use std::sync::Arc;

use http::{HeaderMap, Response, StatusCode, header, request::Parts};

use super::{
    Outbound,
    credential::{Credential, Key, Wanted},
    transaction::Transaction,
};
use crate::{
    body::{Body, Flow},
    causes::causes,
    outgoing,
    perimeter::Payload,
    pool::{Leased, Upstream},
    strip,
};
use identity::{Refusal, Target};

/// One call, decided.
pub(super) struct Forward<'a> {
    pub(super) door: &'a Outbound,
    pub(super) transaction: &'a Transaction,
    pub(super) target: &'a Arc<Target>,
    pub(super) key: Key,
}

impl Forward<'_> {
    /// Makes the call. Dropped half-way, the target may have got it.
    ///
    /// # Errors
    /// The broker's refusal, `peer.*`, a fault, or why the transaction has ended.
    pub(super) async fn run(self, parts: Parts, payload: Payload) -> Result<Response<Body>, Refusal> {
        let again = payload.again().map(|payload| (parts.clone(), payload));
        let first = self.credential().await?;
        let response = self.send(parts, payload, &first).await?;
        if !token_refused(response.status(), response.headers()) {
            return Ok(self.finish(response));
        }
        self.door.credentials.forget(&self.key, &first).await;
        let (parts, payload) = again.ok_or(Refusal::PeerRefusedToken)?;
        drop(response);
        let second = self.credential().await?;
        let response = self.send(parts, payload, &second).await?;
        if token_refused(response.status(), response.headers()) {
            self.door.credentials.forget(&self.key, &second).await;
            return Err(Refusal::PeerRefusedToken);
        }
        Ok(self.finish(response))
    }

    async fn credential(&self) -> Result<Arc<Credential>, Refusal> {
        let wanted = Wanted { key: &self.key, held: &self.transaction.held, target: self.target };
        self.door.credentials.of(wanted).await
    }

    async fn send(
        &self,
        mut parts: Parts,
        payload: Payload,
        credential: &Credential,
    ) -> Result<Response<Leased>, Refusal> {
        parts.headers.insert(header::AUTHORIZATION, credential.authorization.clone());
        if let Some(token) = &credential.txn_token {
            parts.headers.insert(strip::TXN_TOKEN, token.clone());
        }
        let body = payload.into_body(Arc::clone(&self.transaction.live).over());
        let request = outgoing::request(parts, body, self.target.authority())?;
        let upstream = Upstream::Workload(self.target.connect().to_owned(), self.target.workload().clone());
        tokio::select! {
            // First, so that nothing is sent for what has ended.
            biased;
            why = Arc::clone(&self.transaction.live).ended() => Err(why),
            sent = self.door.pool.send(&upstream, request) => sent.map_err(|fault| {
                tracing::warn!(called = self.target.name(), error = causes(&fault), "the target gave no answer");
                fault.refusal()
            }),
        }
    }

    /// The answer as the app gets it: the tool's own status or the refusal of its sidecar, without our marks.
    fn finish(&self, mut response: Response<Leased>) -> Response<Body> {
        strip::response(response.headers_mut());
        let over = Arc::clone(&self.transaction.live).over();
        response.map(|body| Body::of(Flow::new(body, over, (), &self.door.shutdown)))
    }
}

/// Whether the peer's sidecar refused our tokens. It did so before the app saw anything, so the call may be repeated;
/// any other 401 is the tool's own or the user's affair.
fn token_refused(status: StatusCode, headers: &HeaderMap) -> bool {
    let code = headers.get(strip::REFUSAL).map(http::HeaderValue::as_bytes).unwrap_or_default();
    status == StatusCode::UNAUTHORIZED && (code.starts_with(b"access_token.") || code.starts_with(b"txn_token."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_sidecars_refusal_of_our_tokens_is_tried_again() {
        let marked = |code: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(strip::REFUSAL, code.parse().expect("a value"));
            headers
        };
        assert!(token_refused(StatusCode::UNAUTHORIZED, &marked("access_token.expired")));
        assert!(token_refused(StatusCode::UNAUTHORIZED, &marked("txn_token.mismatch")));
        assert!(!token_refused(StatusCode::UNAUTHORIZED, &marked("subject.transaction_ended")));
        assert!(!token_refused(StatusCode::UNAUTHORIZED, &HeaderMap::new()));
        assert!(!token_refused(StatusCode::FORBIDDEN, &marked("scope.insufficient")));
    }
}

//! The client of the broker: its token endpoint (RFC 8693 over mTLS), and leave to call in the own name. What the broker refuses keeps its code; everything
//! that is no clear answer is a fault. No credential is sent before the broker has proved its SPIFFE ID.

#[cfg(test)]
pub(crate) mod double;
mod reply;
mod watch;

use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt as _, Limited};
use tokio::time::timeout;

pub(crate) use self::{reply::Issued, watch::follow};
use crate::{
    body::Body,
    causes::causes,
    metrics::Metrics,
    pool::{Pool, SendFault, Upstream},
    snapshot::Snapshot,
    transactions::Held,
};
use identity::{Audience, RawToken, Refusal, Scopes, SpiffeId, TxnToken};
use runtime::{clock, workload::Workload};

/// Longest exchange with the broker, connection included: it may itself wait for the OpenID provider.
const EXCHANGE_MAX: Duration = Duration::from_secs(10);
/// Longest answer: two tokens of 8 KiB and a little more.
const ANSWER_LENGTH_MAX: usize = 64 * 1024;

const TOKEN_EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
const TXN_TOKEN: &str = "urn:ietf:params:oauth:token-type:txn_token";

/// Where the broker is and who it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BrokerAddress {
    /// `host:port`.
    pub(crate) connect: String,
    /// Its SPIFFE ID.
    pub(crate) id: SpiffeId,
}

/// The client. Clones share its connections.
#[derive(Clone)]
pub(crate) struct Broker {
    pool: Pool,
    upstream: Upstream,
    host: String,
    workload: Workload,
    metrics: Metrics,
}

impl Broker {
    /// A client of the broker at `address`.
    pub(crate) fn new(address: BrokerAddress, pool: Pool, workload: Workload, metrics: Metrics) -> Self {
        let upstream = Upstream::Workload(address.connect.clone(), address.id);
        Self { pool, upstream, host: address.connect, workload, metrics }
    }

    /// *begin*: a user's token becomes a transaction that this workload owns (`protocol.md` §2).
    ///
    /// # Errors
    /// The broker's refusal, or a fault. Dropped half-way, the broker may have begun a transaction that nobody holds.
    pub(crate) async fn begin(&self, user: &RawToken, scopes: &Scopes, snapshot: &Snapshot) -> Result<Held, Refusal> {
        let scope = scopes.to_string();
        let form = [
            ("subject_token", user.expose()),
            ("subject_token_type", ACCESS_TOKEN),
            ("requested_token_type", TXN_TOKEN),
            ("audience", snapshot.trust_domain.as_str()),
            ("scope", &scope),
        ];
        let issued = self.ask("begin", &form, TXN_TOKEN).await?;
        let held = verified(issued, snapshot)?;
        let own = self.workload.identity(clock::now()).map_err(|_fault| Refusal::FaultIdentity)?;
        let proof = held.proof();
        if proof.requester() == own.id() && proof.callee().is_none() && proof.scopes().is_subset(scopes) {
            Ok(held)
        } else {
            tracing::error!("the broker began a transaction that is not ours");
            Err(Refusal::FaultBroker)
        }
    }

    /// *call*: an access token for one target, and a transaction token for it where it passes on.
    ///
    /// # Errors
    /// The broker's refusal, or a fault. Dropped half-way, a token may have been issued that nobody holds.
    pub(crate) async fn call(&self, held: &Held, audience: &Audience, scopes: &Scopes) -> Result<Issued, Refusal> {
        let scope = scopes.to_string();
        let mut form = vec![
            ("subject_token", held.token().expose()),
            ("subject_token_type", TXN_TOKEN),
            ("requested_token_type", ACCESS_TOKEN),
            ("resource", audience.as_str()),
        ];
        if !scopes.is_empty() {
            form.push(("scope", &scope));
        }
        self.ask("call", &form, ACCESS_TOKEN).await
    }

    /// Whether this workload may call the target with this audience in its own name, and for how long that holds.
    ///
    /// # Errors
    /// The broker's refusal, or a fault. Dropped half-way, it may have been recorded.
    pub(crate) async fn may_use(&self, audience: &Audience) -> Result<Duration, Refusal> {
        let form = written(&[("resource", audience.as_str())]);
        let asked = async { reply::allowed(&self.post("/use", form).await?) };
        self.counted("use", timeout(EXCHANGE_MAX, asked).await.unwrap_or(Err(Refusal::FaultBroker)))
    }

    /// *renew*: the same transaction token with a later end (`protocol.md` §5).
    ///
    /// # Errors
    /// The broker's refusal, or a fault; [`Refusal::FaultBroker`] if anything but the life changed.
    pub(crate) async fn renew(&self, held: &Held, snapshot: &Snapshot) -> Result<Held, Refusal> {
        let scope = held.proof().scopes().to_string();
        let form = [
            ("subject_token", held.token().expose()),
            ("subject_token_type", TXN_TOKEN),
            ("requested_token_type", TXN_TOKEN),
            ("audience", snapshot.trust_domain.as_str()),
            ("scope", &scope),
        ];
        let next = verified(self.ask("renew", &form, TXN_TOKEN).await?, snapshot)?;
        if same_transaction(held.proof(), next.proof()) {
            Ok(next)
        } else {
            tracing::error!("the broker renewed a transaction into another one");
            Err(Refusal::FaultBroker)
        }
    }

    async fn ask(&self, operation: &'static str, form: &[(&str, &str)], issued_type: &str) -> Result<Issued, Refusal> {
        let form = written(&[&[("grant_type", TOKEN_EXCHANGE)], form].concat());
        let asked = async { reply::granted(&self.post("/token", form).await?, issued_type) };
        self.counted(operation, timeout(EXCHANGE_MAX, asked).await.unwrap_or(Err(Refusal::FaultBroker)))
    }

    fn counted<T>(&self, operation: &'static str, outcome: Result<T, Refusal>) -> Result<T, Refusal> {
        match &outcome {
            Ok(_) => self.metrics.broker(operation, "granted"),
            Err(refusal) => self.metrics.broker(operation, &refusal.code()),
        }
        outcome
    }

    /// The body of a good answer; any other is a refusal.
    async fn post(&self, path: &'static str, form: String) -> Result<Bytes, Refusal> {
        let request = Request::post(path)
            .header(header::HOST, &self.host)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(header::ACCEPT, "application/json")
            .body(Body::full(form))
            .map_err(|_host| Refusal::FaultBroker)?;
        let response = self.pool.send(&self.upstream, request).await.map_err(|fault| self.fault(&fault))?;
        let status = response.status();
        let collected = Limited::new(response.into_body(), ANSWER_LENGTH_MAX).collect().await;
        let answer = collected.map_err(|_broken| Refusal::FaultBroker)?.to_bytes();
        match status {
            StatusCode::OK => Ok(answer),
            _refused => Err(reply::refused(&answer)),
        }
    }

    /// Only a broker of another identity is told apart; every other failure to reach it is one fault.
    fn fault(&self, fault: &SendFault) -> Refusal {
        tracing::warn!(error = causes(fault), "broker cannot be asked");
        let refusal = fault.refusal();
        let unclear = matches!(refusal, Refusal::PeerUnreachable | Refusal::PeerAnswer);
        if unclear { Refusal::FaultBroker } else { refusal }
    }
}

fn written(form: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish()
}

fn verified(issued: Issued, snapshot: &Snapshot) -> Result<Held, Refusal> {
    Held::verify(issued.token, &snapshot.keys, &snapshot.issuer, &snapshot.trust_domain, clock::now()).map_err(
        |fault| {
            tracing::error!(%fault, "the broker issued a transaction token that does not verify");
            Refusal::FaultBroker
        },
    )
}

fn same_transaction(before: &TxnToken, after: &TxnToken) -> bool {
    before.transaction() == after.transaction()
        && before.subject() == after.subject()
        && before.chain() == after.chain()
        && before.requester() == after.requester()
        && before.callee() == after.callee()
        && after.scopes().is_subset(before.scopes())
}

//! Somebody who broke into two workloads: the Workload API gives this process the SVIDs of planner *and* researcher.
//! It tries what must fail all the same. Each attempt that rests on a stolen token is also made rightly, as control:
//! else a refusal would prove nothing.

use std::{fmt, str::FromStr, time::Duration};

use anyhow::Context as _;
use axum::{Json, Router, extract::State, routing::post};
use http::{Method, StatusCode, header};
use identity::SpiffeId;
use runtime::{mtls::Connector, process::Process, ready_file::ReadyFile, workload::Workload};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::{Answer, Call, mcp};

/// Hint of the SVID by which this process is planner.
const PLANNER: &str = "planner";
/// Hint of the SVID by which this process is researcher.
const RESEARCHER: &str = "researcher";
/// Longest wait for the SVIDs.
const IDENTITY_WAIT: Duration = Duration::from_secs(5);

const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
const TXN_TOKEN: &str = "urn:ietf:params:oauth:token-type:txn_token";

/// What the attacker knows: where everything is, and a user's token that it got hold of.
#[derive(Clone, Deserialize, Serialize)]
pub struct Loot {
    /// The user's token.
    pub user_token: String,
    /// `host:port` of the broker's token endpoint.
    pub broker: String,
    /// Who must answer there.
    pub broker_id: String,
    /// The trust domain.
    pub trust_domain: String,
    /// `host:port` of the tool's mesh door.
    pub door: String,
    /// Who must answer there.
    pub door_id: String,
    /// The tool's resource.
    pub resource: String,
}

impl fmt::Debug for Loot {
    /// Without the token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loot").field("broker", &self.broker).field("door", &self.door).finish_non_exhaustive()
    }
}

/// How an attempt ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Attempt {
    /// The status.
    pub status: u16,
    /// The refusal's code, if it was one.
    pub code: Option<String>,
    /// The status of the same request made rightly; absent where there is no right way.
    pub control: Option<u16>,
}

/// `POST /steal` and `POST /pass-through`, each with a [`Loot`], answered with an [`Attempt`].
pub(super) fn program(workload_api: Option<&str>) -> anyhow::Result<Router> {
    let endpoint = workload_api.context("the attacker needs `--workload-api`")?;
    let process = Process::new(ReadyFile::default());
    let attacker = Attacker {
        planner: Workload::connect_with_hint(endpoint, PLANNER, &process),
        researcher: Workload::connect_with_hint(endpoint, RESEARCHER, &process),
    };
    Ok(Router::new().route("/steal", post(steal)).route("/pass-through", post(pass_through)).with_state(attacker))
}

#[derive(Clone)]
struct Attacker {
    planner: Workload,
    researcher: Workload,
}

async fn steal(
    State(attacker): State<Attacker>,
    Json(loot): Json<Loot>,
) -> Result<Json<Attempt>, (StatusCode, String)> {
    attacker.steal(&loot).await.map(Json).map_err(|error| failed(&error))
}

async fn pass_through(
    State(attacker): State<Attacker>,
    Json(loot): Json<Loot>,
) -> Result<Json<Attempt>, (StatusCode, String)> {
    attacker.pass_through(&loot).await.map(Json).map_err(|error| failed(&error))
}

/// The attempt could not even be made; that is not a refusal.
fn failed(error: &anyhow::Error) -> (StatusCode, String) {
    (StatusCode::INTERNAL_SERVER_ERROR, format!("{error:#}"))
}

impl Attacker {
    /// Gets an access token as planner and shows it as researcher.
    async fn steal(&self, loot: &Loot) -> anyhow::Result<Attempt> {
        let access_token = self.access_token(loot).await.context("no access token to steal")?;
        let opened = show(&self.planner, loot, &access_token, &mcp::initialize(), None).await?;
        let session = opened.header(mcp::SESSION_HEADER);
        let call = mcp::tool_call("list_tickets", &json!({}));
        let rightly = show(&self.planner, loot, &access_token, &call, Some(session)).await?;
        let stolen = show(&self.researcher, loot, &access_token, &call, Some(session)).await?;
        Ok(Attempt { control: Some(rightly.status.as_u16()), ..attempt(&stolen) })
    }

    /// Shows the user's own token to the tool, as planner.
    async fn pass_through(&self, loot: &Loot) -> anyhow::Result<Attempt> {
        let call = mcp::tool_call("list_tickets", &json!({}));
        Ok(attempt(&show(&self.planner, loot, &loot.user_token, &call, None).await?))
    }

    /// Begins a transaction as planner and exchanges it for the tool: what planner's sidecar does for its app.
    async fn access_token(&self, loot: &Loot) -> anyhow::Result<String> {
        let begin = [
            ("grant_type", EXCHANGE),
            ("subject_token", &loot.user_token),
            ("subject_token_type", ACCESS_TOKEN),
            ("requested_token_type", TXN_TOKEN),
            ("audience", &loot.trust_domain),
            ("scope", "tickets:read tickets:write"),
        ];
        let txn_token = self.exchange(loot, &begin).await?;
        let exchange = [
            ("grant_type", EXCHANGE),
            ("subject_token", txn_token.as_str()),
            ("subject_token_type", TXN_TOKEN),
            ("requested_token_type", ACCESS_TOKEN),
            ("resource", &loot.resource),
            ("scope", "tickets:read"),
        ];
        self.exchange(loot, &exchange).await
    }

    async fn exchange(&self, loot: &Loot, form: &[(&str, &str)]) -> anyhow::Result<String> {
        let call = Call::new(Method::POST, "http://broker/token").form(form);
        let answer = send_as(&self.planner, &loot.broker, &loot.broker_id, call).await?;
        let token = answer.text("/access_token");
        token.with_context(|| format!("the broker answered {} with {:?}", answer.status, answer.refusal()))
    }
}

/// Shows `token` at the tool's mesh door with the SVID of `who`.
async fn show(
    who: &Workload,
    loot: &Loot,
    token: &str,
    message: &Value,
    session: Option<&str>,
) -> anyhow::Result<Answer> {
    let call = mcp::post(&loot.resource, message).header(header::AUTHORIZATION, &format!("Bearer {token}"));
    let call = match session {
        Some(session) => call.header(mcp::SESSION_HEADER, session).header(mcp::VERSION_HEADER, mcp::PROTOCOL_VERSION),
        None => call,
    };
    send_as(who, &loot.door, &loot.door_id, call).await
}

async fn send_as(who: &Workload, address: &str, expect: &str, call: Call) -> anyhow::Result<Answer> {
    timeout(IDENTITY_WAIT, who.wait()).await.context("the Workload API gives no SVID")?;
    let stream = Connector::new(who.clone()).connect(address, &SpiffeId::from_str(expect)?).await?;
    Ok(call.send_over(stream).await?)
}

fn attempt(answer: &Answer) -> Attempt {
    Attempt { status: answer.status.as_u16(), code: answer.refusal(), control: None }
}

//! What is measured and what it is measured against, running: the broker in a stack, callers with SVIDs of their own, and
//! the floor beside it.

use std::{process::Stdio, sync::Arc, time::Duration};

use anyhow::Context as _;
use bytes::Bytes;
use dev::stack::{BROKER, Stack, StackOptions};
use http::Method;
use identity::{SpiffeId, workload_id};
use runtime::mtls::Connector;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
    time::timeout,
};

use crate::load::{Load, Pick, Server, form};

/// The broker's own name.
pub(crate) const BROKER_ID: &str = "spiffe://corp.example/ns/agents/sa/broker";
/// Who asks.
pub(crate) const PLANNER: &str = "spiffe://corp.example/ns/agents/sa/planner";
const FLOOR_ID: &str = "spiffe://corp.example/ns/agents/sa/floor";
/// What users come with.
pub(crate) const SCOPE: &str = "tickets:read tickets:write";
/// Connections: sixteen, as the floors of `dataplane.md` 3f were measured with.
pub(crate) const LINES: usize = 16;
/// Longest wait for the floor.
const FLOOR_WITHIN: Duration = Duration::from_secs(20);

const TOKEN: &str = "/token";
const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS: &str = "urn:ietf:params:oauth:token-type:access_token";
const TXN: &str = "urn:ietf:params:oauth:token-type:txn_token";

/// A broker and one who may ask it.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) stack: Stack,
    pub(crate) server: Server,
    /// The broker's process.
    pub(crate) pid: u32,
}

/// The floor's process. Killed when dropped.
#[derive(Debug)]
pub(crate) struct Floor {
    pub(crate) server: Server,
    pub(crate) pid: u32,
    _child: Child,
}

impl Asked {
    /// A broker without apps and sidecars, on the development Workload API and provider.
    pub(crate) async fn embedded() -> anyhow::Result<Self> {
        Self::start(StackOptions::story()).await
    }

    /// The same, as `options` say.
    pub(crate) async fn start(mut options: StackOptions) -> anyhow::Result<Self> {
        options.members.clear();
        for target in &mut options.targets {
            if let Some(target) = target.as_object_mut() {
                target.insert("connect".to_owned(), json!("127.0.0.1:1"));
            }
        }
        // One workload asks for all here. The limit is looked at on each request all the same.
        if let Some(broker) = options.broker.as_object_mut() {
            broker.insert("limits".to_owned(), json!({ "per_second": 100_000, "burst": 100_000 }));
        }
        let stack = Stack::start(options).await.context("the stack did not start")?;
        let planner = workload_id(PLANNER)?;
        let workload = stack.own_workload(&planner, "planner").await?;
        workload.wait().await;
        let address = stack.broker_token_address().to_owned();
        let server = Server::Mtls { connector: Connector::new(workload), address, id: workload_id(BROKER_ID)? };
        let pid = stack.pid(BROKER).context("the broker has ended")?;
        Ok(Self { stack, server, pid })
    }

    /// Requests to the token endpoint.
    pub(crate) fn load(&self, bodies: Vec<Bytes>, requests: usize) -> Load {
        let path = TOKEN.to_owned();
        Load { server: self.server.clone(), path, bodies: Arc::new(bodies), lines: LINES, requests, pick: Pick::Next }
    }

    /// The floor, with an identity of its own and the broker's public keys.
    pub(crate) async fn floor(&self, planner: &Server) -> anyhow::Result<Floor> {
        let jwks = self.stack.folder().join("floor-jwks.json");
        let public = self.stack.broker_public().context("the broker has no public door")?;
        let answer = dev::apps::Call::new(Method::GET, &format!("{public}/jwks")).send().await?;
        std::fs::write(&jwks, &answer.body)?;
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["floor", "--workload-api", self.stack.workload_api(), "--jwks"]).arg(&jwks);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true).spawn()?;
        let pid = child.id().context("the floor has ended")?;
        let id = workload_id(FLOOR_ID)?;
        let registrar = self.stack.registrar().context("no development Workload API")?;
        registrar.register(pid, &[(id.clone(), None)]).await?;
        let mut lines = BufReader::new(child.stdout.take().context("no output")?).lines();
        let address = timeout(FLOOR_WITHIN, lines.next_line()).await.context("the floor is not ready")??;
        let address = address.context("the floor has ended")?;
        Ok(Floor { server: planner.answered_by(address, id)?, pid, _child: child })
    }
}

impl Floor {
    /// The same requests to the floor.
    pub(crate) fn load(&self, path: &str, like: &Load) -> Load {
        Load { server: self.server.clone(), path: path.to_owned(), ..like.clone() }
    }
}

impl Server {
    /// Another server for the same caller.
    fn answered_by(&self, address: String, id: SpiffeId) -> anyhow::Result<Self> {
        match self {
            Self::Mtls { connector, .. } => Ok(Self::Mtls { connector: connector.clone(), address, id }),
            Self::Plain { .. } => anyhow::bail!("no mTLS"),
        }
    }
}

fn exchange(subject: &str, kind: &str, wanted: &str, rest: &[(&str, &str)]) -> Bytes {
    let fields = [
        ("grant_type", EXCHANGE),
        ("subject_token", subject),
        ("subject_token_type", kind),
        ("requested_token_type", wanted),
    ];
    form(&[fields.as_slice(), rest].concat())
}

/// *begin* with a user's token.
pub(crate) fn begin(user: &str) -> Bytes {
    exchange(user, ACCESS, TXN, &[("audience", "corp.example"), ("scope", SCOPE)])
}

/// *call* of tickets, which passes nothing on: one signature.
pub(crate) fn call(transaction: &str) -> Bytes {
    exchange(transaction, TXN, ACCESS, &[("resource", "https://tickets.tools.svc/mcp"), ("scope", "tickets:read")])
}

/// *renew*.
pub(crate) fn renew(transaction: &str) -> Bytes {
    exchange(transaction, TXN, TXN, &[("audience", "corp.example"), ("scope", SCOPE)])
}

/// The token in an answer.
pub(crate) fn token(answer: &Bytes) -> anyhow::Result<String> {
    let answer: Value = serde_json::from_slice(answer)?;
    answer.get("access_token").and_then(Value::as_str).map(str::to_owned).context("an answer without a token")
}

//! A stack, and callers who stand at its broker and at its mesh doors with SVIDs of their own.

use std::collections::BTreeMap;

use dev::{
    apps::{Answer, Call},
    stack::{Leave, Stack, StackFault, StackOptions},
};
use http::Method;
use identity::{SpiffeId, workload_id};
use runtime::{
    clock,
    mtls::{Connector, TlsStream},
    workload::{JwtSvids, Workload},
};
use serde_json::{Value, json};

use crate::{Form, Line, begin, call};

/// The workloads of the story and one that no policy names, by short name.
pub const MEMBERS: [(&str, &str); 4] = [
    ("planner", "spiffe://corp.example/ns/agents/sa/planner"),
    ("researcher", "spiffe://corp.example/ns/agents/sa/researcher"),
    ("tickets", "spiffe://corp.example/ns/tools/sa/tickets"),
    ("stranger", "spiffe://corp.example/ns/agents/sa/stranger"),
];
/// The broker's SPIFFE ID.
pub const BROKER: &str = "spiffe://corp.example/ns/agents/sa/broker";

/// A running stack with callers. Its processes end with it.
#[derive(Debug)]
pub struct Desk {
    /// The stack.
    pub stack: Stack,
    callers: BTreeMap<String, Caller>,
}

#[derive(Debug)]
struct Caller {
    workload: Workload,
    svids: JwtSvids,
    connector: Connector,
}

impl Desk {
    /// Identity server, provider and broker, without apps and sidecars.
    pub async fn open() -> Self {
        Self::open_with(StackOptions { members: Vec::new(), ..Self::options() }).await
    }

    /// The whole story.
    pub async fn open_story() -> Self {
        Self::open_with(Self::options()).await
    }

    /// The story's options with a provider that signs whatever a test wants, to be changed.
    #[must_use]
    pub fn options() -> StackOptions {
        let mut options = StackOptions::story();
        options.provider_arguments.push("--danger-sign-anything".into());
        options
    }

    /// Any stack.
    pub async fn open_with(options: StackOptions) -> Self {
        Self::try_to_open_with(options).await.unwrap_or_else(|fault| panic!("the stack did not start: {fault:?}"))
    }

    /// Any stack, which may not start.
    ///
    /// # Errors
    /// Why it did not.
    pub async fn try_to_open_with(mut options: StackOptions) -> Result<Self, StackFault> {
        if options.members.is_empty() {
            let mesh = options.targets.iter_mut().filter(|target| target["kind"] != "workload");
            mesh.for_each(|target| target["connect"] = json!("127.0.0.1:1"));
        }
        let stack = Stack::start(options).await?;
        let mut desk = Self { stack, callers: BTreeMap::new() };
        for (name, id) in MEMBERS {
            desk.add_caller(name, id).await;
        }
        Ok(desk)
    }

    /// One more caller.
    pub async fn add_caller(&mut self, name: &str, id: &str) {
        let id = workload_id(id).expect("an id");
        let workload = self.stack.own_workload(&id, name).await.expect("registered");
        workload.wait().await;
        let connector = Connector::new(workload.clone());
        let svids = JwtSvids::new(self.stack.workload_api(), workload.clone());
        self.callers.insert(name.to_owned(), Caller { workload, svids, connector });
    }

    /// Ends all processes in order.
    pub async fn close(self) {
        self.stack.stop(Leave::Nothing).await;
    }

    /// Sends a call to the mTLS listener `address`, where `id` must answer, as `caller`.
    pub async fn send(&self, caller: &str, address: &str, id: &SpiffeId, call: Call) -> Answer {
        call.send_over(self.connect(caller, address, id).await).await.expect("answered")
    }

    /// A connection for HTTP/1.1 to the mTLS listener `address`, where `id` must answer, as `caller`.
    pub async fn connect(&self, caller: &str, address: &str, id: &SpiffeId) -> TlsStream {
        self.caller(caller).connector.connect(address, id).await.expect("connected")
    }

    /// As [`Desk::connect`], to the broker.
    pub async fn connect_to_broker(&self, caller: &str) -> TlsStream {
        self.connect(caller, self.stack.broker_token_address(), &broker_id()).await
    }

    /// A connection for HTTP/2 to the broker as `caller`.
    pub async fn connect_to_broker_by_h2(&self, caller: &str) -> TlsStream {
        let connector = &self.caller(caller).connector;
        connector.connect_h2(self.stack.broker_token_address(), &broker_id()).await.expect("connected")
    }

    /// A connection to the broker as `caller` that stays open between requests.
    pub async fn line(&self, caller: &str) -> Line {
        Line::over(self.connect_to_broker(caller).await).await
    }

    /// The identity of `caller`, to answer with.
    #[must_use]
    pub fn workload(&self, caller: &str) -> Workload {
        self.caller(caller).workload.clone()
    }

    /// Posts `form` to the token endpoint as `caller`.
    pub async fn ask(&self, caller: &str, form: &Form) -> Answer {
        self.to_broker(caller, form.clone().into()).await
    }

    /// Asks as `caller` whether it may call the target with this resource in its own name.
    pub async fn ask_to_use(&self, caller: &str, resource: &str) -> Answer {
        let call = Call::new(Method::POST, "https://broker.agents.svc/use").form(&[("resource", resource)]);
        self.to_broker(caller, call).await
    }

    /// Sends anything to the broker's mTLS listener as `caller`.
    pub async fn to_broker(&self, caller: &str, call: Call) -> Answer {
        self.send(caller, self.stack.broker_token_address(), &broker_id(), call).await
    }

    /// Sends a call to a member's mesh door as `caller`.
    pub async fn to_mesh(&self, caller: &str, member: &str, call: Call) -> Answer {
        let id = MEMBERS.iter().find(|(name, _)| *name == member).map(|(_, id)| *id).expect("a member");
        let address = self.stack.mesh(member).expect("a mesh door");
        self.send(caller, address, &workload_id(id).expect("an id"), call).await
    }

    /// A JWT-SVID of `caller` for `audience`.
    pub async fn jwt_svid(&self, caller: &str, audience: &str) -> String {
        self.caller(caller).svids.fetch(audience, clock::now()).await.expect("an SVID").expose().to_owned()
    }

    /// Alice's token with both scopes.
    pub async fn alice(&self) -> String {
        self.stack.sign_in("alice", "openid tickets:read tickets:write").await.expect("signed in")
    }

    /// A user's token with any header and claims, signed by the provider.
    pub async fn signed(&self, header: &Value, claims: &Value) -> String {
        let url = format!("{}/dev/sign", self.provider());
        let answer = Call::new(Method::POST, &url)
            .json(&json!({"header": header, "claims": claims}))
            .send()
            .await
            .expect("answered");
        answer.json()["token"].as_str().unwrap_or_else(|| panic!("not signed: {}", answer.json())).to_owned()
    }

    /// Tells the provider something (`sign-out`, `disable`, `remove-role`, …).
    pub async fn tell_provider(&self, command: &str, body: &Value) {
        let url = format!("{}/dev/{command}", self.provider());
        let answer = Call::new(Method::POST, &url).json(body).send().await.expect("answered");
        assert!(answer.status.is_success(), "{command}: {} {}", answer.status, answer.json());
    }

    /// How many token exchanges the provider was asked for.
    pub async fn exchanges_at_provider(&self) -> u64 {
        let answer =
            Call::new(Method::GET, &format!("{}/dev/exchanges", self.provider())).send().await.expect("answered");
        answer.json()["exchanges"].as_u64().expect("a count")
    }

    /// T1: alice's transaction token at planner.
    pub async fn begun(&self) -> String {
        let answer = self.ask("planner", &begin(&self.alice().await, "tickets:read tickets:write")).await;
        token(&answer, "access_token")
    }

    /// A1 and T2: planner's call of researcher with `txn_token`.
    pub async fn called_researcher(&self, txn_token: &str) -> (String, String) {
        let answer = self.ask("planner", &call(txn_token, "https://researcher.agents.svc", "")).await;
        (token(&answer, "access_token"), token(&answer, "txn_token"))
    }

    /// A2: researcher's call of tickets with `txn_token`.
    pub async fn called_tickets(&self, txn_token: &str, scope: &str) -> String {
        let answer = self.ask("researcher", &call(txn_token, "https://tickets.tools.svc/mcp", scope)).await;
        token(&answer, "access_token")
    }

    fn caller(&self, name: &str) -> &Caller {
        self.callers.get(name).expect("a caller")
    }

    fn provider(&self) -> &str {
        self.stack.issuer().split("/realms/").next().expect("a base")
    }
}

fn broker_id() -> SpiffeId {
    workload_id(BROKER).expect("an id")
}

fn token(answer: &Answer, member: &str) -> String {
    answer.json()[member]
        .as_str()
        .unwrap_or_else(|| panic!("no {member}: {} {}", answer.status, answer.json()))
        .to_owned()
}

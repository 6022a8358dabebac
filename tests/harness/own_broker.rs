//! A broker of a test's own in the place of the real one: at its address, with its SPIFFE ID, and with a key that the
//! test signs by. Sidecars watch it and believe its tokens; it issues nothing itself.

use std::pin::Pin;

use api::{
    Mcp, Revocations, Snapshot, Target, WatchRequest,
    watch_service_server::{WatchService, WatchServiceServer},
};
use futures_util::{Stream, StreamExt as _, stream};
use hyper_util::service::TowerToHyperService;
use runtime::{
    mtls::Acceptor,
    serve::{self, Listener},
    shutdown::Shutdown,
};
use serde_json::{Value, json};
use tokio::{sync::watch, task::JoinSet};
use tonic::{Request, Response, Status, service::Routes};

use crate::{BROKER, Desk, Forger};

/// The broker. Ends when it is dropped.
#[derive(Debug)]
pub struct OwnBroker {
    signer: Forger,
    said: watch::Sender<Said>,
    _tasks: JoinSet<()>,
}

impl OwnBroker {
    /// Ends the stack's broker and takes its place.
    pub async fn replace(desk: &mut Desk) -> Self {
        desk.stack.halt("broker").await;
        desk.add_caller("broker", BROKER).await;
        let listener = Listener::bind(desk.stack.broker_token_address()).await.expect("the broker's address");
        let signer = Forger::default();
        let (said, saying) = watch::channel(Said { jwks: signer.jwks(), revocations: Revocations::default() });
        let watch = Watch { targets: desk.stack.options().targets.clone() };
        let mut tasks = JoinSet::new();
        tasks.spawn(serve::mtls(listener, Acceptor::new(desk.workload("broker")), Shutdown::new(), move |peer| {
            let told = watch.told(&peer.id().to_string());
            TowerToHyperService::new(Routes::new(WatchServiceServer::new(Telling(told, saying.clone()))))
        }));
        Self { signer, said, _tasks: tasks }
    }

    /// Tells all sidecars that this is what was revoked.
    pub fn revoke(&self, revocations: Revocations) {
        self.said.send_modify(|said| said.revocations = revocations);
    }

    /// Tells all sidecars that it has no key.
    pub fn withdraw_key(&self) {
        self.said.send_modify(|said| said.jwks = json!({"keys": []}));
    }

    /// A token that every sidecar verifies with the key that this broker told it.
    #[must_use]
    pub fn token(&self, typ: &str, claims: &Value) -> String {
        self.signer.token(typ, claims)
    }
}

/// What it tells everybody.
#[derive(Clone, Debug)]
struct Said {
    jwks: Value,
    revocations: Revocations,
}

#[derive(Clone)]
struct Watch {
    targets: Vec<Value>,
}

impl Watch {
    /// What the workload is told: the targets that it serves.
    fn told(&self, workload: &str) -> Snapshot {
        Snapshot {
            generation: 1,
            issuer: "https://broker.agents.svc".into(),
            trust_domain: "corp.example".into(),
            jwks: Vec::new(),
            serves: self.targets.iter().filter(|target| target["workload"] == workload).map(listed).collect(),
            reaches: Vec::new(),
            edge: None,
            reserved: Vec::new(),
            uses: Vec::new(),
            revocations: None,
        }
    }
}

/// A target of broker.yaml as the stream tells it.
fn listed(target: &Value) -> Target {
    let text = |name: &str| target[name].as_str().unwrap_or_default().to_owned();
    let words = |list: &Value| -> Vec<String> {
        list.as_array().into_iter().flatten().filter_map(|word| word.as_str().map(str::to_owned)).collect()
    };
    let tools = |tools: &Value| serde_json::from_value(tools.clone()).expect("tools");
    Target {
        name: text("name"),
        resource: text("resource"),
        hosts: words(&target["hosts"]),
        workload: text("workload"),
        connect: "127.0.0.1:1".into(),
        passes_on: target["passes_on"].is_array().then(|| words(&target["passes_on"]).join(" ")),
        identity_headers: words(&target["identity_headers"]),
        mcp: target["mcp"].is_object().then(|| Mcp { tools: tools(&target["mcp"]["tools"]), ..Mcp::default() }),
        routes: Vec::new(),
    }
}

struct Telling(Snapshot, watch::Receiver<Said>);

#[tonic::async_trait]
impl WatchService for Telling {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<Snapshot, Status>> + Send>>;

    /// One snapshot, and one for each change, else silence: a test is over before a sidecar gives the stream up.
    async fn watch(&self, _request: Request<WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let snapshot = self.0.clone();
        let mut saying = self.1.clone();
        saying.mark_changed();
        let told = stream::unfold(saying, |mut saying| async move {
            saying.changed().await.ok()?;
            let said = saying.borrow_and_update().clone();
            Some((said, saying))
        });
        Ok(Response::new(Box::pin(told.map(move |Said { jwks, revocations }| {
            let (jwks, revocations) = (jwks.to_string().into_bytes(), Some(revocations));
            Ok(Snapshot { jwks, revocations, ..snapshot.clone() })
        }))))
    }
}

//! A service that accepts JWT-SVIDs only, and has them checked by somebody else's library (PyPI `spiffe`), called by an
//! app that knows nothing of it.

use dev::{
    apps::{Answer, Call},
    real::spire::Entry,
    stack::{Peers, Port},
};
use harness::{
    Desk, INVENTORY, Inside, Program, Running, Sink, assert_turned_away, eventually, open_self_door, planner_uses,
    service, shared_keycloak, tells_token,
};
use http::Method;
use rustix::process::Signal;

const SERVICE_ID: &str = "spiffe://corp.example/ns/tools/sa/inventory";
const PLANNER_ID: &str = "spiffe://corp.example/ns/agents/sa/planner";

/// Planner inside of alice's transaction, with a `self` door, and the service.
struct Pod {
    inside: Inside,
    port: Port,
    _tickets: Sink,
}

impl Pod {
    async fn open() -> Self {
        let (tickets, keycloak) = (Sink::open().await, shared_keycloak().await);
        let port = Port::reserve().expect("a port");
        let connect = format!("http://{}", port.address());
        let inside = Inside::open_with(&tickets.url(), |options| {
            options.peers = Peers::RealAt(keycloak);
            options.targets.push(service("inventory", &connect));
            options.policies.extend([planner_uses("inventory")]);
            open_self_door(options, "planner");
        })
        .await;
        Self { inside, port, _tickets: tickets }
    }

    /// Starts the service, with an identity of its own to read SPIRE's keys with.
    async fn start_service(&self) -> Running {
        let python = ::peers::Cache::of_user().and_then(|cache| cache.python("jwt-svid"));
        let python = python.unwrap_or_else(|missing| panic!("{missing}"));
        let stack = &self.inside.desk.stack;
        let entry = Entry {
            id: SERVICE_ID.into(),
            hint: String::new(),
            program: python.canonicalize().expect("the interpreter"),
            uid: rustix::process::geteuid().as_raw(),
            lives: None,
        };
        stack.spire().expect("SPIRE").admit(&[entry]).await.expect("admitted");
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/jwt-svid-service/service.py");
        let running = Program::at(&python)
            .arguments([script])
            .variable("AUDIENCE", INVENTORY)
            .variable("SPIFFE_ENDPOINT_SOCKET", stack.workload_api())
            .variable("PORT", &self.port.address().port().to_string())
            .start();
        let reached = || async { Call::new(Method::GET, &self.direct()).send().await.ok() };
        let answer = eventually("the service listens", reached).await;
        assert_eq!(answer.status, 401, "it lets nobody in without a token");
        running
    }

    fn direct(&self) -> String {
        format!("http://{}/v1/items/7", self.port.address())
    }

    async fn directly(&self, token: &str) -> Answer {
        let call = Call::new(Method::GET, &self.direct()).header("authorization", &format!("Bearer {token}"));
        call.send().await.expect("answered")
    }

    async fn by(&self, door: &str, call: Call) -> Answer {
        let address = self.inside.desk.stack.address("planner-sidecar", door).expect("a door");
        call.send_through(&format!("http://{address}")).await.expect("answered")
    }
}

fn ask() -> Call {
    Call::new(Method::GET, "http://inventory.tool/v1/items/7")
}

#[tokio::test]
async fn the_sidecar_shows_an_svid_that_another_library_accepts_and_the_app_never_sees_it() {
    let pod = Pod::open().await;
    let service = pod.start_service().await;
    let answer = pod.by("self", ask()).await;
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    assert_eq!((answer.status.as_u16(), answer.text("/spiffe_id").as_deref()), (200, Some(PLANNER_ID)), "{text}");
    assert!(!tells_token(&format!("{text} {:?}", answer.headers)), "the app sees no SVID");
    let own = ask().header("authorization", "Bearer of-the-app");
    assert_eq!(pod.by("self", own).await.text("/spiffe_id").as_deref(), Some(PLANNER_ID), "the app's own is replaced");
    service.signal(Signal::TERM);
    let finished = service.end().await;
    assert!(!tells_token(&finished.stdout) && !tells_token(&finished.stderr));
    pod.inside.close().await;
}

#[tokio::test]
async fn the_service_lets_in_no_other_token_and_no_door_lends_another_ones_rights() {
    let pod = Pod::open().await;
    let _service = pod.start_service().await;
    let desk: &Desk = &pod.inside.desk;
    assert_eq!(pod.directly(&desk.jwt_svid("planner", INVENTORY).await).await.status, 200, "control");
    assert_eq!(pod.directly(&desk.alice().await).await.status, 401, "a user's token");
    assert_eq!(pod.directly(&desk.jwt_svid("planner", "https://elsewhere").await).await.status, 401, "for others");
    let outside = pod.by("agent", ask()).await;
    assert_turned_away("N110", &outside, 403, "call.no_transaction");
    assert_turned_away("N110, in a transaction", &pod.inside.through(ask()).await, 403, "call.wrong_door");
    pod.inside.close().await;
}

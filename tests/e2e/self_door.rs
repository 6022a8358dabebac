//! Calls in the workload's own name, by a door of their own: a JWT-SVID for exactly that service, after the broker's
//! recorded yes, and no way from one door to the other (`protocol.md` §1, §6; N110).

use bytes::Bytes;
use dev::apps::{Answer, Call};
use harness::{
    Folder, INVENTORY, Inside, Received, Sink, assert_turned_away, open_self_door, planner_uses, service, tells_token,
    tool,
};
use http::{Method, Response, StatusCode, header};
use http_body_util::Full;
use identity::{RawToken, SpiffeId, SvidRule, verify};
use runtime::clock;
use serde_json::json;

/// An open transaction at planner, whose sidecar has a `self` door besides, and a service that accepts JWT-SVIDs.
struct Pod {
    inside: Inside,
    service: Sink,
    tickets: Sink,
}

impl Pod {
    async fn open() -> Self {
        let (service_app, tickets) = (Sink::answering(answer).await, Sink::open().await);
        let inside = Inside::open_with(&tickets.url(), |options| {
            let mut inventory = service("inventory", &service_app.url());
            inventory["routes"] = json!([{ "methods": ["GET", "POST"], "path": "/items/*" }]);
            options.targets.push(inventory);
            options.policies.extend([planner_uses("inventory")]);
            open_self_door(options, "planner");
            open_self_door(options, "tickets");
        })
        .await;
        Self { inside, service: service_app, tickets }
    }

    async fn own(&self, call: Call) -> Answer {
        call.send_through(&own_door(&self.inside, "planner")).await.expect("answered")
    }

    fn uses_recorded(&self) -> usize {
        self.inside.desk.stack.records().iter().filter(|line| line["t"] == "use").count()
    }

    /// The bearer token that the service was shown last.
    fn shown(&self) -> String {
        let received = self.service.received();
        let last = received.last().expect("a call");
        let value = last.headers[header::AUTHORIZATION].to_str().expect("text");
        value.strip_prefix("Bearer ").expect("a bearer").to_owned()
    }

    /// Who an SVID proves, if it is for `audience` and no other.
    async fn proves(&self, svid: &str, audience: &str) -> Option<SpiffeId> {
        let workload = self.inside.desk.workload("planner");
        let keys = workload.jwt_keys().await.expect("keys");
        let domain = workload.identity(clock::now()).expect("an identity").trust_domain().clone();
        let raw = RawToken::parse(svid.to_owned()).expect("short");
        let rule = SvidRule { audience, trust_domain: &domain };
        verify(&raw, &keys, &rule, clock::now()).ok().map(|proof| proof.id().clone())
    }
}

fn own_door(inside: &Inside, member: &str) -> String {
    format!("http://{}", inside.desk.stack.address(&format!("{member}-sidecar"), "self").expect("a self door"))
}

/// A service that repeats what it was sent, or refuses, as its path says.
fn answer(received: &Received) -> Response<Full<Bytes>> {
    let shown = received.headers.get(header::AUTHORIZATION).cloned();
    let body = match received.line.split('/').next_back().unwrap_or_default() {
        "repeat-in-body" => format!("you sent: {}", shown.as_ref().map_or("", |value| value.to_str().expect("text"))),
        _ => "ok".to_owned(),
    };
    let coding = if received.line.ends_with("coded") { "gzip" } else { "identity" };
    let mut response = Response::new(Full::new(Bytes::from(body)));
    let headers = response.headers_mut();
    headers.insert("x-service", "inventory".parse().expect("a value"));
    headers.insert(header::CONTENT_ENCODING, coding.parse().expect("a value"));
    if let Some(shown) = shown.filter(|_| received.line.ends_with("repeat-in-headers")) {
        headers.insert("x-seen", shown.clone());
        headers.insert(header::AUTHORIZATION, shown);
    }
    if received.line.ends_with("refuse") {
        headers.insert(header::WWW_AUTHENTICATE, "Bearer realm=\"inventory\"".parse().expect("a value"));
        *response.status_mut() = StatusCode::UNAUTHORIZED;
    }
    response
}

fn get(path: &str) -> Call {
    Call::new(Method::GET, &format!("http://inventory.tool/v1/items/{path}"))
}

#[tokio::test]
async fn an_app_that_knows_nothing_is_proved_to_the_service_and_to_no_other() {
    let pod = Pod::open().await;
    let call = Call::new(Method::POST, "http://inventory.tool/v1/items/7?fields=all")
        .header("authorization", "Bearer of-the-app")
        .header("countersign-handle", &pod.inside.handle)
        .header("x-forwarded-user", "mallory")
        .header("cookie", "a=1")
        .json(&json!({"count": 3}));
    let answer = pod.own(call).await;
    assert_eq!((answer.status.as_u16(), answer.header("x-service")), (200, "inventory"), "{}", answer.json());
    let received = pod.service.received();
    let [one] = received.as_slice() else { panic!("{received:?}") };
    assert_eq!((one.line.as_str(), &one.body[..]), ("POST /v1/items/7?fields=all", br#"{"count":3}"#.as_slice()));
    assert_eq!(one.headers["host"], "inventory.tools.svc", "the host that the service knows");
    assert_eq!(one.headers.get_all("authorization").iter().count(), 1, "the app's own is gone");
    assert_eq!(one.headers["cookie"], "a=1");
    let gone = |name: &str| name.starts_with("countersign") || name.starts_with("x-forwarded") || name == "txn-token";
    assert!(!one.headers.keys().any(|name| gone(name.as_str())), "{:?}", one.headers);
    let planner = harness::MEMBERS[0].1;
    assert_eq!(pod.proves(&pod.shown(), INVENTORY).await.map(|id| id.to_string()).as_deref(), Some(planner));
    for other in ["https://inventory.tools.svc", harness::TICKETS, "https://broker.agents.svc"] {
        assert!(pod.proves(&pod.shown(), other).await.is_none(), "{other}");
    }
    let first = pod.shown();
    assert_eq!(pod.own(get("8")).await.status, 200);
    assert_eq!((pod.shown(), pod.uses_recorded()), (first, 1), "one yes and one SVID serve both");
    let metrics = pod.inside.desk.stack.metrics("planner-sidecar").await.expect("metrics");
    for counted in [
        r#"requests_total{door="self",outcome="forwarded"} 2"#,
        r#"broker_calls_total{operation="use",outcome="granted"} 1"#,
    ] {
        assert!(metrics.contains(counted), "{counted} in {metrics}");
    }
    pod.inside.close().await;
}

#[tokio::test]
async fn what_the_service_says_passes_but_never_what_it_was_shown() {
    let pod = Pod::open().await;
    let refused = pod.own(get("refuse")).await;
    assert_eq!((refused.status.as_u16(), &refused.body[..]), (401, b"ok".as_slice()), "its own no is the app's to see");
    assert_eq!(refused.header("www-authenticate"), "Bearer realm=\"inventory\"");
    let repeated = pod.own(get("repeat-in-headers")).await;
    assert_eq!((repeated.status.as_u16(), repeated.header("x-service")), (200, "inventory"));
    assert!(!tells_token(&format!("{:?}", repeated.headers)), "{:?}", repeated.headers);
    assert!(!repeated.headers.contains_key("x-seen") && !repeated.headers.contains_key("authorization"));
    let cut_off = get("repeat-in-body").send_through(&own_door(&pod.inside, "planner")).await;
    assert!(cut_off.is_err(), "cut off before the signature: {cut_off:?}");
    let signature = pod.shown().rsplit('.').next().expect("a signature").to_owned();
    let log = pod.inside.desk.stack.log_of("planner-sidecar");
    assert!(log.contains("its answer is cut off") && !log.contains(&signature), "told without it");
    pod.inside.close().await;
}

/// What cannot be looked through whole could hold the SVID.
#[tokio::test]
async fn an_answer_that_cannot_be_looked_into_is_neither_asked_for_nor_carried() {
    let pod = Pod::open().await;
    let choosy = get("7")
        .header("accept-encoding", "gzip")
        .header("Accept_Encoding", "br")
        .header("range", "bytes=0-9,10-20")
        .header("if-range", "\"a\"")
        .header("Range", "bytes=5-");
    assert_eq!(pod.own(choosy).await.status, 200);
    let seen = pod.service.received();
    let asked_for = |name: &str| seen[0].headers.get_all(name).iter().cloned().collect::<Vec<_>>();
    assert_eq!(asked_for("accept-encoding"), ["identity"]);
    for name in ["accept_encoding", "range", "if-range"] {
        assert!(asked_for(name).is_empty(), "{name}");
    }
    assert_turned_away("coded all the same", &pod.own(get("coded")).await, 502, "peer.answer");
    pod.inside.close().await;
}

/// Two resources of one server, which keeps what it was sent and shows it later.
#[tokio::test]
async fn an_svid_for_one_resource_does_not_come_back_through_another() {
    let kept = std::sync::Mutex::new(String::new());
    let server = Sink::answering(move |received: &Received| {
        let mut kept = kept.lock().expect("not poisoned");
        let answer = if received.line.ends_with("log") { kept.clone() } else { "ok".to_owned() };
        kept.push_str(&format!("{:?}\n", received.headers[header::AUTHORIZATION].to_str()));
        Response::new(Full::new(Bytes::from(answer)))
    })
    .await;
    let inside = Inside::open_with("http://127.0.0.1:1", |options| {
        for name in ["inventory", "clock"] {
            options.targets.push(service(name, &server.url()));
            options.policies.extend([planner_uses(name)]);
        }
        open_self_door(options, "planner");
    })
    .await;
    let door = own_door(&inside, "planner");
    let call = |url: &str| Call::new(Method::GET, url).send_through(&door);
    assert_eq!(call("http://inventory.tool/v1/x").await.expect("answered").status, 200);
    let cut_off = call("http://clock.tool/v1/log").await;
    assert!(cut_off.is_err(), "cut off before the signature: {cut_off:?}");
    inside.close().await;
}

#[tokio::test]
async fn no_door_stands_in_for_another() {
    let pod = Pod::open().await;
    let agent = pod.inside.proxy();
    let without = get("7").send_through(&agent).await.expect("answered");
    assert_turned_away("N110", &without, 403, "call.no_transaction");
    assert_turned_away("N110, within a transaction", &pod.inside.through(get("7")).await, 403, "call.wrong_door");
    let list = || Call::new(Method::POST, "http://tickets.tool/mcp").json(&tool("list_tickets"));
    assert_turned_away("a mesh target", &pod.own(list()).await, 403, "call.wrong_door");
    let with_handle = list().header("countersign-handle", &pod.inside.handle);
    assert_turned_away("with a handle", &pod.own(with_handle).await, 403, "call.wrong_door");
    assert_eq!(pod.inside.through(list()).await.status, 200, "by its own door it is reached");
    assert_eq!((pod.service.received().len(), pod.tickets.received().len(), pod.uses_recorded()), (0, 1, 0));
    pod.inside.close().await;
}

#[tokio::test]
async fn only_what_is_listed_and_mapped_is_called() {
    let pod = Pod::open().await;
    let evil = Sink::open().await;
    for url in [evil.url(), "http://inventory.tools.svc/v1/items/7".into(), "https://inventory.tool/v1/items/7".into()]
    {
        assert_turned_away(&url, &pod.own(Call::new(Method::GET, &url)).await, 403, "call.unlisted_host");
    }
    for (method, path) in [
        (Method::GET, "/v1/items"),
        (Method::GET, "/v1/admin"),
        (Method::GET, "/"),
        (Method::GET, "/v1/items/../admin"),
        (Method::GET, "/v1/items/%2e%2e/admin"),
        (Method::DELETE, "/v1/items/7"),
    ] {
        let call = Call::new(method.clone(), &format!("http://inventory.tool{path}"));
        assert_turned_away(&format!("{method} {path}"), &pod.own(call).await, 403, "call.unmapped");
    }
    let overridden = get("7").header("x-http-method-override", "DELETE");
    assert_turned_away("another method by a header", &pod.own(overridden).await, 400, "call.malformed");
    let twice = get("7").header("authorization", "a").header("authorization", "b");
    assert_turned_away("two credentials", &pod.own(twice).await, 400, "call.credential_headers");
    let direct = Call::new(Method::GET, &format!("{}/v1/items/7", own_door(&pod.inside, "planner")));
    assert_turned_away("no proxy request", &direct.send().await.expect("answered"), 400, "call.malformed");
    let elsewhere = get("7").send_through(&own_door(&pod.inside, "tickets")).await.expect("answered");
    assert_turned_away("a workload that no rule names", &elsewhere, 403, "call.unlisted_host");
    assert!(pod.service.received().is_empty() && evil.received().is_empty() && pod.uses_recorded() == 0);
    pod.inside.close().await;
}

#[tokio::test]
async fn without_a_rule_nothing_is_sent() {
    let service_app = Sink::open().await;
    let inside = Inside::open_with("http://127.0.0.1:1", |options| {
        options.targets.push(service("inventory", &service_app.url()));
        // Its heads match planner, so planner knows of the target; its condition does not hold.
        let rule = r#"@id("anyone-else") permit (principal is Workload, action == Action::"use", resource == Target::"inventory")
            unless { principal == Workload::"spiffe://corp.example/ns/agents/sa/planner" };"#;
        options.policies.insert("anyone-else.cedar".to_owned(), rule.to_owned());
        open_self_door(options, "planner");
    })
    .await;
    let answer = get("7").send_through(&own_door(&inside, "planner")).await.expect("answered");
    assert_turned_away("no rule", &answer, 403, "policy.no_rule");
    assert!(service_app.received().is_empty());
    inside.close().await;
}

#[tokio::test]
async fn without_the_broker_or_an_identity_nothing_is_sent() {
    let mut pod = Pod::open().await;
    pod.inside.desk.stack.halt("broker").await;
    assert_turned_away("no broker", &pod.own(get("7")).await, 503, "fault.broker");
    assert!(pod.service.received().is_empty());
    pod.inside.desk.stack.revive("broker").await.expect("back");
    assert_eq!(pod.own(get("7")).await.status, 200, "and it is asked again");
    pod.inside.desk.stack.halt("broker").await;
    assert_eq!(pod.own(get("8")).await.status, 200, "a yes holds for its minute");
    let pid = pod.inside.desk.stack.pid("planner-sidecar").expect("running");
    pod.inside.desk.stack.registrar().expect("embedded").remove(pid).await.expect("removed");
    let door = own_door(&pod.inside, "planner");
    let noticed = || async {
        let answer = get("9").send_through(&door).await.expect("answered");
        Some(answer).filter(|answer| answer.status != 200)
    };
    let answer = harness::eventually("the sidecar has noticed", noticed).await;
    assert_turned_away("no identity", &answer, 503, "fault.identity");
    let before = pod.service.received().len();
    pod.own(get("9")).await;
    assert_eq!(pod.service.received().len(), before, "nothing leaves");
    pod.inside.close().await;
}

/// A certificate authority, and a service's certificate of it for `name`, as PEM files in `folder`.
fn certified(folder: &Folder, name: &str) -> (String, String, String) {
    let mut authority = rcgen::CertificateParams::new(Vec::new()).expect("parameters");
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority_key = rcgen::KeyPair::generate().expect("a key");
    let ca = authority.self_signed(&authority_key).expect("a certificate");
    let issuer = rcgen::Issuer::new(authority, authority_key);
    let key = rcgen::KeyPair::generate().expect("a key");
    let leaf = rcgen::CertificateParams::new(vec![name.to_owned()]).expect("parameters");
    let leaf = leaf.signed_by(&key, &issuer).expect("a certificate");
    let write = |kind: &str, pem: &str| folder.write(&format!("{name}.{kind}"), pem);
    (write("ca", &ca.pem()), write("crt", &leaf.pem()), write("key", &key.serialize_pem()))
}

#[tokio::test]
async fn over_tls_a_service_must_prove_the_host_of_its_resource() {
    let folder = Folder::new();
    let (ca, certificate, key) = certified(&folder, "inventory.tools.svc");
    let good = Sink::over_tls(&certificate, &key).await;
    let (_unknown, certificate, key) = certified(&folder, "clock.tools.svc");
    let unknown = Sink::over_tls(&certificate, &key).await;
    let url = |sink: &Sink| format!("https://{}", sink.address());
    let inside = Inside::open_with("http://127.0.0.1:1", |options| {
        let anyone = |name: &str| {
            let rule = format!(
                r#"@id("anyone-{name}") permit (principal is Workload, action == Action::"use", resource == Target::"{name}");"#
            );
            (format!("anyone-{name}.cedar"), rule)
        };
        for (name, connect) in [
            ("inventory", url(&good)),
            ("renamed", url(&good)),
            ("clock", url(&unknown)),
            ("gone", "https://127.0.0.1:1".to_owned()),
        ] {
            options.targets.push(service(name, &connect));
            options.policies.extend([anyone(name)]);
        }
        open_self_door(options, "planner");
        open_self_door(options, "tickets");
        let file = options.sidecars.get_mut("planner").expect("planner's file");
        file["outside"] = json!({ "ca": ca });
    })
    .await;
    let call = async |member: &str, host: &str| {
        let call = Call::new(Method::GET, &format!("http://{host}.tool/v1/x"));
        call.send_through(&own_door(&inside, member)).await.expect("answered")
    };
    assert_eq!(call("planner", "inventory").await.status, 200, "{}", inside.desk.stack.log_of("planner-sidecar"));
    let received = good.received();
    assert_eq!((received.len(), &received[0].headers["host"]), (1, &"inventory.tools.svc".parse().expect("a value")));
    let renamed = call("planner", "renamed").await;
    assert_turned_away("another name", &renamed, 502, "peer.wrong_identity");
    assert_turned_away("another authority", &call("planner", "clock").await, 502, "peer.wrong_identity");
    assert_turned_away("nobody there", &call("planner", "gone").await, 503, "peer.unreachable");
    let before = inside.desk.stack.records().len();
    assert_turned_away("no authority configured", &call("tickets", "inventory").await, 502, "peer.no_roots");
    assert_eq!(inside.desk.stack.records().len(), before, "the broker was not even asked");
    assert_eq!((good.received().len(), unknown.received().len()), (1, 0), "nothing was sent");
    inside.close().await;
}

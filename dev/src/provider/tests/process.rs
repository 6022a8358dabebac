//! The provider as a process of its own: loopback only, and the keys of a real Workload API.

use std::fs;

use eventually::eventually;
use identity::TrustDomain;
use runtime::{ready_file::ReadyFile, workload::JwtSvids};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::*;
use crate::identity as workloads;

const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::test]
async fn it_listens_on_loopback_only() {
    for listen in ["0.0.0.0:0", "10.0.0.1:8080", "[::]:0"] {
        let options = Options {
            listen: listen.parse().expect("an address"),
            realm: Realm::demo(SpiffeId::new(BROKER).expect("an id")),
            svid_keys: SvidKeys::Fixed(KeySet::default()),
            danger_sign_anything: false,
        };
        let fault = Server::bind(options).await.expect_err("refused");
        assert!(matches!(fault, Fault::NotLoopback(_)), "{fault}");
        assert!(fault.to_string().contains("is not a loopback address"), "{fault}");
    }
}

/// Sends one request over a connection of its own and returns status line, head and body as text.
async fn raw(address: &str, head: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(address).await.expect("connected");
    let request = format!(
        "{head} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-length: {}\r\n\
         content-type: application/x-www-form-urlencoded\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("answered");
    answer
}

#[tokio::test]
async fn a_broker_with_nothing_but_its_svid_exchanges_a_token() {
    tokio::time::timeout(PATIENCE, story()).await.expect("it ends");
}

async fn story() {
    let folder = std::env::temp_dir().join(format!("cs-op-{}", std::process::id()));
    let domain = TrustDomain::new("corp.example").expect("a domain");
    let options = workloads::Options {
        socket: folder.join("api.sock"),
        trust_domain: domain.clone(),
        lives: workloads::Lives::default(),
    };
    let api = workloads::Server::bind(&options).expect("bound");
    let (registrar, control) = workloads::Registrar::pair().expect("a pair");
    let ready = folder.join("ready.json");
    let process = Process::new(ReadyFile::new(Some(ready.clone())));
    let (endpoint, shutdown) = (api.endpoint(), process.shutdown.clone());
    process.shutdown.spawn("api", async move { api.serve(control, shutdown).await.expect("served") });
    let broker = Realm::demo_broker(&domain).expect("an id");
    registrar.register(std::process::id(), &[(broker.clone(), None)]).await.expect("registered");

    let workload = Workload::connect(&endpoint, &process);
    let options = Options {
        listen: "127.0.0.1:0".parse().expect("an address"),
        realm: Realm::demo(broker),
        svid_keys: SvidKeys::Workload(workload.clone()),
        danger_sign_anything: false,
    };
    let own = process.clone();
    process.shutdown.spawn("provider", async move { serve(options, &own).await.expect("served") });
    let issuer = eventually("the ready file is written", || async {
        let addresses: Value = serde_json::from_slice(&fs::read(&ready).ok()?).expect("JSON");
        Some(addresses["issuer"].as_str().expect("an issuer").to_owned())
    })
    .await;
    let address = issuer.trim_start_matches("http://").trim_end_matches("/realms/agents").to_owned();

    let post = format!("POST /realms/agents{TOKEN}");
    let form = [
        ("grant_type", "password"),
        ("client_id", "console"),
        ("username", "alice"),
        ("password", "alice"),
        ("scope", "tickets:read"),
    ];
    let signed_in = raw(&address, &post, &encoded(&form)).await;
    let body: Value = serde_json::from_str(signed_in.split_once("\r\n\r\n").expect("a body").1).expect("JSON");
    let svid = JwtSvids::new(&endpoint, workload).fetch(&issuer, now()).await.expect("an SVID");
    let mut form = EXCHANGE.to_vec();
    form.extend([
        ("client_assertion", svid.expose()),
        ("subject_token", body["access_token"].as_str().expect("a token")),
    ]);
    let exchanged = raw(&address, &post, &encoded(&form)).await;
    assert!(exchanged.starts_with("HTTP/1.1 200"), "{exchanged}");

    registrar.rotate_jwt_key(workloads::Old::Dropped).await.expect("rotated");
    let refused = raw(&address, &post, &encoded(&form)).await;
    assert!(refused.starts_with("HTTP/1.1 401"), "a dropped key is refused at once: {refused}");
    assert!(process.shutdown.drain(PATIENCE).await.is_empty());
    fs::remove_dir_all(folder).expect("removed");
}

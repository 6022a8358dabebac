//! The server's promises, kept over a real socket with the client that the sidecars use.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use futures_util::StreamExt as _;
use identity::SpiffeId;
use serde_json::{Value, json};
use spiffe::{WorkloadApiClient, WorkloadApiError, X509Context};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixStream,
};
use tonic::{
    Code, Request, Status, codegen::http::uri::PathAndQuery, metadata::AsciiMetadataValue, transport::Endpoint,
};
use tonic_prost::ProstCodec;
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

use super::{
    book::BookFault,
    proto::{JwtBundlesRequest, JwtBundlesResponse, JwtsvidRequest, JwtsvidResponse},
    wire::Identity,
    *,
};

/// Everything here is local: whatever takes longer than this hangs.
const PATIENCE: Duration = Duration::from_secs(20);

struct Stand {
    registrar: Registrar,
    endpoint: String,
    folder: PathBuf,
    shutdown: Shutdown,
}

impl Stand {
    fn start() -> Self {
        Self::start_with(Lives::default())
    }

    fn start_with(lives: Lives) -> Self {
        let folder = folder();
        let server = Server::bind(&options(folder.join("api.sock"), lives)).expect("bound");
        let (registrar, control) = Registrar::pair().expect("a pair");
        let (endpoint, shutdown) = (server.endpoint(), Shutdown::new());
        let stop = shutdown.clone();
        shutdown.spawn("server", async move { server.serve(control, stop).await.expect("served") });
        Self { registrar, endpoint, folder, shutdown }
    }

    async fn register(&self, names: &[(&str, Option<&str>)]) {
        let identities: Vec<_> = names.iter().map(|(name, hint)| (id(name), *hint)).collect();
        self.registrar.register(std::process::id(), &identities).await.expect("registered");
    }

    async fn client(&self) -> WorkloadApiClient {
        WorkloadApiClient::connect_to(&self.endpoint).await.expect("connected")
    }
}

impl Drop for Stand {
    fn drop(&mut self) {
        self.shutdown.trigger();
        fs::remove_dir_all(&self.folder).expect("removed");
    }
}

fn folder() -> PathBuf {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    std::env::temp_dir().join(format!("cs-id-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed)))
}

fn options(socket: PathBuf, lives: Lives) -> Options {
    Options { socket, trust_domain: TrustDomain::new("corp.example").expect("a domain"), lives }
}

fn id(name: &str) -> SpiffeId {
    SpiffeId::new(format!("spiffe://corp.example/ns/agents/sa/{name}")).expect("an id")
}

fn part(token: &str, index: usize) -> Value {
    let part = token.split('.').nth(index).expect("a part");
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(part).expect("base64url")).expect("JSON")
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("it ends")
}

/// A call without the client's help, so that it can be wrong.
async fn raw<Q, A>(endpoint: &str, method: &str, message: Q, header: Option<&str>) -> Result<A, Status>
where
    Q: prost::Message + Send + Sync + 'static,
    A: prost::Message + Default + Send + Sync + 'static,
{
    let channel = Endpoint::from_shared(endpoint.to_owned()).expect("an endpoint").connect().await.expect("connected");
    let mut grpc = tonic::client::Grpc::new(channel);
    grpc.ready().await.expect("ready");
    let mut request = Request::new(message);
    if let Some(header) = header {
        request.metadata_mut().insert("workload.spiffe.io", AsciiMetadataValue::try_from(header).expect("ASCII"));
    }
    let path = PathAndQuery::try_from(format!("/SpiffeWorkloadAPI/{method}")).expect("a path");
    grpc.unary(request, path, ProstCodec::<Q, A>::default()).await.map(tonic::Response::into_inner)
}

#[tokio::test]
async fn a_registered_process_gets_all_five_answers() {
    let stand = Stand::start();
    stand.register(&[("planner", None)]).await;
    let client = stand.client().await;
    assert_eq!(client.fetch_x509_svid().await.expect("an SVID").spiffe_id(), &id("planner"));
    let domain = TrustDomain::new("corp.example").expect("a domain");
    let bundles = client.fetch_x509_bundles().await.expect("bundles");
    assert_eq!(bundles.get(&domain).expect("ours").authorities().len(), 1);
    let token = client.fetch_jwt_token(["https://a"], None).await.expect("a token");
    let keys = client.fetch_jwt_bundles().await.expect("keys");
    let kid = part(&token, 0)["kid"].as_str().expect("a kid").to_owned();
    assert!(keys.get(&domain).expect("ours").find_jwt_authority(&kid).is_some());
    let proved = client.validate_jwt_token("https://a", &token).await.expect("it is good");
    assert_eq!(proved.spiffe_id(), &id("planner"));
    assert!(client.validate_jwt_token("https://b", &token).await.is_err());
}

#[tokio::test]
async fn an_unregistered_process_gets_no_identity_from_any_call() {
    let stand = Stand::start();
    // Another process is registered: its identity is not for us.
    let mut other = std::process::Command::new("sleep").arg("600").spawn().expect("sleep starts");
    stand.registrar.register(other.id(), &[(id("planner"), None)]).await.expect("registered");
    let client = stand.client().await;
    let calls = tokio::join!(
        client.fetch_x509_svid(),
        client.fetch_x509_bundles(),
        client.fetch_jwt_token(["a"], None),
        client.fetch_jwt_bundles(),
        client.validate_jwt_token("a", "b.c.d"),
    );
    let faults = [calls.0.err(), calls.1.err(), calls.2.err(), calls.3.err(), calls.4.err()];
    for fault in faults {
        assert!(matches!(fault, Some(WorkloadApiError::NoIdentityIssued)), "{fault:?}");
    }
    other.kill().expect("kill");
    other.wait().expect("reaped");
}

#[tokio::test]
async fn a_call_before_the_registration_waits_for_it() {
    let stand = Stand::start();
    let client = stand.client().await;
    let (svid, ()) = tokio::join!(client.fetch_x509_svid(), stand.register(&[("planner", None)]));
    assert_eq!(svid.expect("an SVID").spiffe_id(), &id("planner"));
}

#[tokio::test]
async fn a_request_without_the_security_header_is_refused() {
    let stand = Stand::start();
    stand.register(&[("planner", None)]).await;
    for header in [None, Some("false"), Some("True")] {
        let answer: Result<JwtBundlesResponse, _> =
            raw(&stand.endpoint, "FetchJWTBundles", JwtBundlesRequest {}, header).await;
        let status = answer.expect_err("refused");
        assert_eq!((status.code(), status.message()), (Code::InvalidArgument, "security header missing from request"));
    }
}

#[tokio::test]
async fn a_jwt_svid_needs_an_audience_and_an_own_id() {
    let stand = Stand::start();
    stand.register(&[("planner", None)]).await;
    let ask = |audience: &[&str], spiffe_id: &str| {
        let audience = audience.iter().map(|one| (*one).to_owned()).collect();
        let request = JwtsvidRequest { audience, spiffe_id: spiffe_id.to_owned() };
        raw::<_, JwtsvidResponse>(&stand.endpoint, "FetchJWTSVID", request, Some("true"))
    };
    for audience in [&[][..], &[""], &["a", ""]] {
        let status = ask(audience, "").await.expect_err("refused");
        assert_eq!((status.code(), status.message()), (Code::InvalidArgument, "audience must be specified"));
    }
    let status = ask(&["a"], "spiffe://corp.example/ns/agents/sa/broker").await.expect_err("refused");
    assert_eq!((status.code(), status.message()), (Code::PermissionDenied, "no identity issued"));
    assert_eq!(ask(&["a"], "not an id").await.expect_err("refused").code(), Code::InvalidArgument);
    assert_eq!(ask(&["a"], "spiffe://corp.example/ns/agents/sa/planner").await.expect("signed").svids.len(), 1);
}

#[tokio::test]
async fn a_jwt_svid_says_what_spires_says_and_no_more() {
    let stand = Stand::start_with(Lives::new(Duration::from_secs(60), Duration::from_secs(7)).expect("lives"));
    stand.register(&[("planner", None)]).await;
    let token = stand.client().await.fetch_jwt_token(["https://a", "https://b"], None).await.expect("a token");
    let (header, claims) = (part(&token, 0), part(&token, 1));
    assert_eq!(header, json!({ "alg": "ES256", "kid": header["kid"], "typ": "JWT" }));
    let issued = claims["iat"].as_u64().expect("iat");
    let expected = json!({ "aud": ["https://a", "https://b"], "exp": issued + 7, "iat": issued, "sub": id("planner").to_string() });
    assert_eq!(claims, expected);
}

#[tokio::test]
async fn an_x509_svid_is_a_strict_leaf() {
    let stand = Stand::start_with(Lives::new(Duration::from_secs(90), Duration::from_secs(60)).expect("lives"));
    stand.register(&[("planner", None)]).await;
    let svid = stand.client().await.fetch_x509_svid().await.expect("an SVID");
    let (_, leaf) = X509Certificate::from_der(svid.cert_chain()[0].as_bytes()).expect("DER");
    let names = leaf.subject_alternative_name().expect("well formed").expect("there").value.general_names.clone();
    assert_eq!(names, [GeneralName::URI("spiffe://corp.example/ns/agents/sa/planner")]);
    assert!(!leaf.basic_constraints().expect("well formed").expect("explicit").value.ca);
    let usage = leaf.key_usage().expect("well formed").expect("there").value.flags;
    assert_eq!(usage, 1, "digitalSignature only");
    let extended = leaf.extended_key_usage().expect("well formed").expect("there").value.clone();
    assert!(extended.server_auth && extended.client_auth && !extended.any);
    let validity = leaf.validity();
    assert_eq!(validity.not_after.timestamp() - validity.not_before.timestamp(), 100, "10 s back and 90 s of life");
}

#[tokio::test]
async fn several_identities_come_in_order_with_their_hints() {
    let stand = Stand::start();
    stand.register(&[("zeta", Some("external")), ("alpha", None)]).await;
    stand.register(&[("middle", Some("late")), ("zeta", None)]).await;
    let svids = stand.client().await.fetch_all_x509_svids().await.expect("SVIDs");
    let held: Vec<_> = svids.iter().map(|svid| (svid.spiffe_id().clone(), svid.hint())).collect();
    assert_eq!(held, [(id("zeta"), Some("external")), (id("alpha"), None), (id("middle"), Some("late"))]);
    let tokens = stand.client().await.fetch_all_jwt_svids(["a"], None).await.expect("tokens");
    assert_eq!(tokens.iter().map(|token| token.hint()).collect::<Vec<_>>(), [Some("external"), None, Some("late")]);
}

/// What grpcio 1.85.3 sends on a Unix socket, as it was recorded, but for the path: preface, settings, a request with
/// names in letters and the socket's path as `:authority`, its message; then a second request that refers to the first.
fn grpc_python() -> Vec<u8> {
    let frame = |kind: u8, flags: u8, stream: u8, payload: &[u8]| {
        [&u32::try_from(payload.len()).expect("short").to_be_bytes()[1..], &[kind, flags, 0, 0, 0, stream], payload]
            .concat()
    };
    let settings = b"\0\x02\0\0\0\0\0\x03\0\0\0\0\0\x04\0@\0\0\0\x05\0@\0\0\0\x06\0\0@\0\xfe\x03\0\0\0\x01";
    let first = b"@\x05:path\"/SpiffeWorkloadAPI/FetchJWTBundles@\n:authority\x16tmp%2Fcs-id%2Fapi.sock\x83\x86\
        @\x0ccontent-type\x10application/grpc@\x02te\x08trailers@\x14grpc-accept-encoding\x17identity, deflate, gzip\
        @\x0cgrpc-timeout\x04687m@\nuser-agent0grpc-python/1.85.3 grpc-c/58.0.0 (linux; chttp2)\
        \0\x12workload.spiffe.io\x04true";
    let second = b"\xc4\xc3\x83\x86\xc2\xc1\xc0@\x0cgrpc-timeout\x04701m\xbf\0\x12workload.spiffe.io\x04true";
    let message = [0; 5];
    [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".as_slice(),
        &frame(4, 0, 0, settings),
        &frame(8, 0, 0, &[0, 0x3f, 0, 1]),
        &frame(4, 1, 0, &[]),
        &frame(1, 4, 1, first),
        &frame(0, 1, 1, &message),
        &frame(1, 4, 3, second),
        &frame(0, 1, 3, &message),
    ]
    .concat()
}

#[tokio::test]
async fn a_python_client_whose_authority_is_a_path_is_answered() {
    let stand = Stand::start();
    stand.register(&[("planner", None)]).await;
    let path = stand.endpoint.trim_start_matches("unix://");
    let mut socket = UnixStream::connect(path).await.expect("connected");
    socket.write_all(&grpc_python()).await.expect("written");
    // A stream of the API does not end, so both messages are the sign.
    let mut answered = Vec::new();
    while answered.len() < 2 {
        let mut head = [0; 9];
        within(socket.read_exact(&mut head)).await.expect("a frame");
        let length = usize::from(head[1]) * 256 + usize::from(head[2]);
        let mut payload = vec![0; length];
        within(socket.read_exact(&mut payload)).await.expect("a payload");
        assert!(!matches!(head[3], 3 | 7), "no RST_STREAM, no GOAWAY: {head:?} {payload:?}");
        if head[3] == 0 && String::from_utf8_lossy(&payload).contains("spiffe://corp.example") {
            answered.push(head[8]);
        }
    }
    answered.sort_unstable();
    assert_eq!(answered, [1, 3]);
}

#[tokio::test]
async fn a_removed_registration_ends_open_streams() {
    let stand = Stand::start();
    stand.register(&[("planner", None)]).await;
    let mut stream = stand.client().await.stream_x509_contexts().await.expect("a stream");
    within(stream.next()).await.expect("a message").expect("a context");
    stand.registrar.remove(std::process::id()).await.expect("removed");
    let end = within(stream.next()).await.expect("a message");
    assert!(matches!(end, Err(WorkloadApiError::NoIdentityIssued)), "{end:?}");
    assert!(within(stream.next()).await.is_none());
}

#[tokio::test]
async fn the_registration_of_a_dead_process_is_dropped() {
    let domain = TrustDomain::new("corp.example").expect("a domain");
    let book = Arc::new(Book::new(domain, Lives::default(), clock::now()).expect("a book"));
    let mut child = std::process::Command::new("sleep").arg("600").spawn().expect("sleep starts");
    let identity = Identity { spiffe_id: id("planner"), hint: String::new() };
    let process = book.register(child.id(), vec![identity]).expect("registered");
    child.kill().expect("kill");
    within(book::outlive(Arc::clone(&book), process, Shutdown::new())).await;
    assert!(matches!(book.remove(child.id()), Err(BookFault::NotRegistered(_))));
    child.wait().expect("reaped");
}

#[tokio::test]
async fn a_rotated_authority_reaches_open_streams_and_can_be_dropped() {
    let stand = Stand::start();
    stand.register(&[("planner", None)]).await;
    let domain = TrustDomain::new("corp.example").expect("a domain");
    let authorities = |context: &X509Context| context.bundle_set().get(&domain).expect("ours").authorities().len();
    let mut stream = stand.client().await.stream_x509_contexts().await.expect("a stream");
    let mut next = async || within(stream.next()).await.expect("a message").expect("a context");
    let first = next().await;
    stand.registrar.rotate_ca(Old::Kept).await.expect("rotated");
    let second = next().await;
    assert_ne!(first.default_svid().expect("one").cert_chain(), second.default_svid().expect("one").cert_chain());
    assert_eq!(authorities(&second), 2);
    stand.registrar.rotate_ca(Old::Dropped).await.expect("rotated");
    assert_eq!(authorities(&next().await), 1);
}

#[tokio::test]
async fn a_dropped_jwt_key_verifies_nothing_any_more() {
    let stand = Stand::start();
    stand.register(&[("planner", None)]).await;
    let client = stand.client().await;
    let token = client.fetch_jwt_token(["a"], None).await.expect("a token");
    stand.registrar.rotate_jwt_key(Old::Kept).await.expect("rotated");
    client.validate_jwt_token("a", &token).await.expect("still good");
    stand.registrar.rotate_jwt_key(Old::Dropped).await.expect("rotated");
    assert!(client.validate_jwt_token("a", &token).await.is_err());
}

#[tokio::test]
async fn x509_svids_are_renewed_at_half_of_their_life() {
    let stand = Stand::start();
    stand.register(&[("planner", None)]).await;
    let mut stream = stand.client().await.stream_x509_contexts().await.expect("a stream");
    let mut next = async || within(stream.next()).await.expect("a message").expect("a context");
    let long = next().await;
    stand
        .registrar
        .set_lives(Lives::new(Duration::from_secs(1), Duration::from_secs(1)).expect("lives"))
        .await
        .expect("set");
    let short = next().await;
    let renewed = next().await;
    let chains = [long, short, renewed].map(|context| context.default_svid().expect("one").cert_chain().to_vec());
    assert!(chains[0] != chains[1] && chains[1] != chains[2]);
}

#[tokio::test]
async fn the_server_ends_with_its_supervisor() {
    let mut stand = Stand::start();
    let (unused, _end) = Registrar::pair().expect("a pair");
    drop(std::mem::replace(&mut stand.registrar, unused));
    within(stand.shutdown.cancelled()).await;
    assert!(within(stand.shutdown.drain(PATIENCE)).await.is_empty());
    assert!(!stand.folder.join("api.sock").exists());
}

#[tokio::test]
async fn bad_registrations_are_refused() {
    let stand = Stand::start();
    let own = std::process::id();
    let foreign = SpiffeId::new("spiffe://other.example/a").expect("an id");
    let domain = SpiffeId::new("spiffe://corp.example").expect("an id");
    let many: Vec<_> = (0..17).map(|number| (id(&number.to_string()), None)).collect();
    for (pid, identities) in [
        (own, vec![(foreign, None)]),
        (own, vec![(domain, None)]),
        (own, vec![]),
        (own, many),
        (0, vec![(id("planner"), None)]),
        (u32::MAX, vec![(id("planner"), None)]),
    ] {
        let answer = stand.registrar.register(pid, &identities).await;
        assert!(matches!(answer, Err(RegistrarFault::Refused(_))), "{pid} {identities:?} {answer:?}");
    }
    assert!(matches!(stand.registrar.remove(own).await, Err(RegistrarFault::Refused(_))));
}

#[tokio::test]
async fn what_is_no_socket_cannot_be_the_control_channel() {
    let folder = folder();
    let server = Server::bind(&options(folder.join("api.sock"), Lives::default())).expect("bound");
    let null = fs::File::open("/dev/null").expect("opened");
    assert!(matches!(server.serve(null.into(), Shutdown::new()).await, Err(Fault::Control(_))));
    fs::remove_dir_all(folder).expect("removed");
}

#[tokio::test]
async fn anybody_may_connect_and_a_socket_left_behind_is_replaced() {
    let folder = folder();
    let path = folder.join("api.sock");
    let bind = || Server::bind(&options(path.clone(), Lives::default()));
    let server = bind().expect("bound");
    assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o777);
    assert_eq!(fs::metadata(&folder).expect("there").permissions().mode() & 0o777, 0o700);
    assert!(matches!(bind().err(), Some(Fault::Socket(SocketFault::InUse(_)))));
    drop(server);
    // As after SIGKILL: the file stays, nobody listens.
    drop(std::os::unix::net::UnixListener::bind(&path).expect("bound"));
    drop(bind().expect("replaced"));
    fs::write(&path, "no socket").expect("written");
    assert!(matches!(bind().err(), Some(Fault::Socket(SocketFault::InUse(_)))));
    fs::remove_dir_all(folder).expect("removed");
}

#[tokio::test]
async fn a_path_that_no_socket_can_have_is_named() {
    let path = PathBuf::from(format!("/tmp/{}", "x".repeat(103)));
    let fault = Server::bind(&options(path, Lives::default())).expect_err("refused");
    assert!(fault.to_string().contains("has 108 bytes, and a Unix socket takes at most 107"), "{fault}");
}

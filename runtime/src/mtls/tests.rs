//! Who may talk to whom. The authority and its SVIDs are made here; `workload` and `serve` use them too.

use std::sync::Arc;

use identity::UnixTime;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType, date_time_ymd};
use rustls::{NamedGroup, ProtocolVersion, client::ResolvesClientCert, pki_types::PrivateKeyDer, sign::CertifiedKey};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    sync::watch,
    task::JoinHandle,
};

use super::*;
use crate::{
    shutdown::tests::task,
    workload::{Identity, State},
};

pub(crate) const PLANNER: &str = "spiffe://corp.example/ns/agents/sa/planner";
pub(crate) const TICKETS: &str = "spiffe://corp.example/ns/tools/sa/tickets";

/// A certificate authority of the trust domain `corp.example`.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
}

/// A leaf with its key.
pub(crate) struct Svid {
    pub(crate) certificate: CertificateDer<'static>,
    pub(crate) key: PrivateKeyDer<'static>,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.subject_alt_names = vec![SanType::URI("spiffe://corp.example".try_into().unwrap())];
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap().der().clone();
        Self { issuer: Issuer::new(params, key), certificate }
    }

    /// A leaf for `ids`, changed by `change` before it is signed.
    pub(crate) fn leaf(&self, ids: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Svid {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.subject_alt_names = ids.iter().map(|id| SanType::URI((*id).try_into().unwrap())).collect();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap().der().clone();
        Svid { certificate, key: PrivateKeyDer::Pkcs8(key.serialize_der().into()) }
    }

    pub(crate) fn bundles(&self) -> Bundles {
        Bundles::from([(identity::TrustDomain::new("corp.example").unwrap(), vec![self.certificate.clone()])])
    }

    pub(crate) fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    pub(crate) fn identity(&self, svid: Svid) -> Identity {
        Identity::new(vec![svid.certificate], svid.key, self.bundles()).unwrap()
    }

    /// A workload that holds a good SVID for `id`.
    pub(crate) fn workload(&self, id: &str) -> Workload {
        holding(self.identity(self.leaf(&[id], |_| {})))
    }

    /// Credentials with `svid` that trust this authority, good or not.
    fn credentials(&self, svid: Svid) -> Credentials {
        Credentials::new(vec![svid.certificate], svid.key, &self.bundles()).unwrap()
    }
}

pub(crate) fn expired(params: &mut CertificateParams) {
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2020, 1, 2);
}

pub(crate) fn holding(identity: Identity) -> Workload {
    Workload::over(watch::channel(State::Held(identity.into())).1)
}

fn id(text: &str) -> SpiffeId {
    text.parse().unwrap()
}

type Accepted = JoinHandle<Result<(TlsStream, Peer), HandshakeFault>>;

/// Accepts one connection as `workload`.
async fn accept_one(workload: Workload) -> (String, Accepted) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let accepted = async move { Acceptor::new(workload).accept(listener.accept().await.unwrap().0).await };
    (address, task(accepted))
}

#[tokio::test]
async fn both_sides_know_each_other_and_agree_on_post_quantum_tls_1_3() {
    let authority = Authority::new();
    let (address, accepted) = accept_one(authority.workload(TICKETS)).await;
    let connector = Connector::new(authority.workload(PLANNER));
    let mut client = connector.connect(&address, &id(TICKETS)).await.unwrap();
    let (mut server, peer) = accepted.await.unwrap().unwrap();
    assert_eq!(peer.id(), &id(PLANNER));
    assert_eq!(client.agreed(), (Some(ProtocolVersion::TLSv1_3), Some(NamedGroup::X25519MLKEM768)));
    assert!(!client.is_http2() && !server.is_http2());
    client.write_all(b"ping").await.unwrap();
    let mut read = [0; 4];
    server.read_exact(&mut read).await.unwrap();
    assert_eq!(&read, b"ping");
}

#[tokio::test]
async fn connect_h2_agrees_on_http_2() {
    let authority = Authority::new();
    let (address, accepted) = accept_one(authority.workload(TICKETS)).await;
    let client = Connector::new(authority.workload(PLANNER)).connect_h2(&address, &id(TICKETS)).await.unwrap();
    assert!(client.is_http2() && accepted.await.unwrap().unwrap().0.is_http2());
}

#[tokio::test]
async fn another_identity_than_expected_is_refused_during_the_handshake() {
    let authority = Authority::new();
    let (address, accepted) = accept_one(authority.workload(TICKETS)).await;
    let fault = Connector::new(authority.workload(PLANNER)).connect(&address, &id(PLANNER)).await.unwrap_err();
    let ConnectFault::WrongIdentity { expected, found } = fault else { panic!("{fault:?}") };
    assert_eq!((expected, found), (id(PLANNER), id(TICKETS)));
    assert!(matches!(accepted.await.unwrap(), Err(HandshakeFault::Tls(_))));
}

#[tokio::test]
async fn an_expired_own_svid_neither_accepts_nor_connects() {
    let authority = Authority::new();
    let stale = || holding(authority.identity(authority.leaf(&[TICKETS], expired)));
    let (address, accepted) = accept_one(stale()).await;
    let _tcp = TcpStream::connect(&address).await.unwrap();
    let fault = accepted.await.unwrap().unwrap_err();
    assert!(matches!(fault, HandshakeFault::NoIdentity(IdentityFault::Expired(_))), "{fault:?}");
    let fault = Connector::new(stale()).connect(&address, &id(TICKETS)).await.unwrap_err();
    assert!(matches!(fault, ConnectFault::NoIdentity(IdentityFault::Expired(_))), "{fault:?}");
}

#[tokio::test]
async fn without_an_identity_nothing_is_accepted_and_after_its_loss_neither() {
    for state in [State::Waiting, State::Lost] {
        let (address, accepted) = accept_one(Workload::over(watch::channel(state).1)).await;
        let _tcp = TcpStream::connect(&address).await.unwrap();
        assert!(matches!(accepted.await.unwrap(), Err(HandshakeFault::NoIdentity(_))));
    }
}

/// The SVIDs of `tokens.md` N21, and their like.
fn bad_svids(authority: &Authority) -> Vec<(&'static str, Svid)> {
    vec![
        ("two ids", authority.leaf(&[TICKETS, PLANNER], |_| {})),
        ("an id and a URL", authority.leaf(&[TICKETS, "https://corp.example"], |_| {})),
        ("no id", authority.leaf(&[], |_| {})),
        ("id of a trust domain", authority.leaf(&["spiffe://corp.example"], |_| {})),
        ("CA", authority.leaf(&[TICKETS], |params| params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0)))),
        ("keyCertSign", authority.leaf(&[TICKETS], |params| params.key_usages.push(KeyUsagePurpose::KeyCertSign))),
        ("cRLSign", authority.leaf(&[TICKETS], |params| params.key_usages.push(KeyUsagePurpose::CrlSign))),
        ("no digitalSignature", authority.leaf(&[TICKETS], |params| params.key_usages.clear())),
        ("expired", authority.leaf(&[TICKETS], expired)),
        ("not yet valid", authority.leaf(&[TICKETS], |params| params.not_before = date_time_ymd(4000, 1, 1))),
        ("other authority", Authority::new().leaf(&[TICKETS], |_| {})),
        ("other trust domain", authority.leaf(&["spiffe://partner.example/a"], |_| {})),
    ]
}

#[tokio::test]
async fn bad_certificates_of_clients_are_refused() {
    let authority = Authority::new();
    for (name, svid) in bad_svids(&authority) {
        let (address, accepted) = accept_one(authority.workload(PLANNER)).await;
        let client = TlsConnector::from(authority.credentials(svid).client(&id(PLANNER), HTTP_1));
        let tcp = TcpStream::connect(&address).await.unwrap();
        let dialled = client.connect(server_name(&address).unwrap(), tcp).await;
        assert!(matches!(accepted.await.unwrap(), Err(HandshakeFault::Tls(_))), "{name}");
        // The refusal reaches the client as an alert on its first read, not as a silent end.
        let told = dialled.unwrap().read_u8().await.unwrap_err();
        assert!(told.get_ref().is_some_and(|fault| matches!(fault.downcast_ref(), Some(TlsError::AlertReceived(_)))));
    }
}

#[tokio::test]
async fn bad_certificates_of_servers_are_refused() {
    let authority = Authority::new();
    let connector = Connector::new(authority.workload(PLANNER));
    for (name, svid) in bad_svids(&authority) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let acceptor = TlsAcceptor::from(authority.credentials(svid).server());
        let accepted = task(async move { acceptor.accept(listener.accept().await.unwrap().0).await });
        let fault = connector.connect(&address, &id(TICKETS)).await.unwrap_err();
        assert!(matches!(fault, ConnectFault::Handshake { .. }), "{name}: {fault:?}");
        assert!(accepted.await.unwrap().is_err(), "{name}");
    }
}

#[tokio::test]
async fn a_client_without_a_certificate_is_refused() {
    let authority = Authority::new();
    let (address, accepted) = accept_one(authority.workload(TICKETS)).await;
    let mut config = (*authority.credentials(authority.leaf(&[PLANNER], |_| {})).client(&id(TICKETS), HTTP_1)).clone();
    config.client_auth_cert_resolver = Arc::new(NoCertificate);
    let tcp = TcpStream::connect(&address).await.unwrap();
    let mut client = TlsConnector::from(Arc::new(config)).connect(server_name(&address).unwrap(), tcp).await.unwrap();
    assert!(client.read_u8().await.is_err());
    assert!(matches!(accepted.await.unwrap(), Err(HandshakeFault::Tls(_))));
}

#[derive(Debug)]
struct NoCertificate;

impl ResolvesClientCert for NoCertificate {
    fn resolve(&self, _: &[&[u8]], _: &[rustls::SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        None
    }

    fn has_certs(&self) -> bool {
        false
    }
}

#[tokio::test]
async fn tls_1_2_is_refused_with_an_alert() {
    let (address, accepted) = accept_one(Authority::new().workload(TICKETS)).await;
    let mut tcp = TcpStream::connect(&address).await.unwrap();
    tcp.write_all(&client_hello_1_2()).await.unwrap();
    let mut answer = Vec::new();
    tcp.read_to_end(&mut answer).await.unwrap();
    // RFC 8446 §6: record type 21, level fatal, protocol_version (70) or handshake_failure (40).
    assert!(matches!(answer[..], [21, 3, _, 0, 2, 2, 70 | 40]), "{answer:?}");
    assert!(matches!(accepted.await.unwrap(), Err(HandshakeFault::Tls(_))));
}

/// A ClientHello without `supported_versions`, as TLS 1.2 clients send it (RFC 5246 §7.4.1.2).
fn client_hello_1_2() -> Vec<u8> {
    let extensions: &[u8] = &[
        0x00, 0x0a, 0x00, 0x04, 0x00, 0x02, 0x00, 0x17, // supported_groups: secp256r1
        0x00, 0x0d, 0x00, 0x04, 0x00, 0x02, 0x04, 0x03, // signature_algorithms: ecdsa_secp256r1_sha256
        0x00, 0x17, 0x00, 0x00, // extended_master_secret
    ];
    let mut hello = vec![0x03, 0x03];
    hello.extend([7; 32]); // random
    hello.extend([0x00, 0x00, 0x02, 0xc0, 0x2b, 0x01, 0x00]); // no session, ECDHE_ECDSA_AES_128_GCM, no compression
    hello.extend([0x00, u8::try_from(extensions.len()).unwrap()]);
    hello.extend(extensions);
    let length = u8::try_from(hello.len()).unwrap();
    let mut record = vec![0x16, 0x03, 0x01, 0x00, length.saturating_add(4), 0x01, 0x00, 0x00, length];
    record.extend(hello);
    record
}

#[tokio::test(start_paused = true)]
async fn a_silent_client_does_not_hold_the_handshake() {
    let (address, accepted) = accept_one(Authority::new().workload(TICKETS)).await;
    let _silent = TcpStream::connect(&address).await.unwrap();
    assert!(matches!(accepted.await.unwrap(), Err(HandshakeFault::TimedOut)));
}

#[tokio::test(start_paused = true)]
async fn a_silent_server_does_not_hold_the_connect() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let fault = Connector::new(Authority::new().workload(PLANNER)).connect(&address, &id(TICKETS)).await.unwrap_err();
    assert!(matches!(&fault, ConnectFault::Unreachable { source, .. } if source.kind() == io::ErrorKind::TimedOut));
}

#[tokio::test]
async fn nobody_listening_is_unreachable() {
    let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().to_string();
    let fault = Connector::new(Authority::new().workload(PLANNER)).connect(&address, &id(TICKETS)).await.unwrap_err();
    assert!(matches!(fault, ConnectFault::Unreachable { .. }), "{fault:?}");
}

#[tokio::test]
async fn a_rotated_identity_is_used_by_the_next_connection() {
    let (old, new) = (Authority::new(), Authority::new());
    let planner = |authority: &Authority| State::Held(authority.identity(authority.leaf(&[PLANNER], |_| {})).into());
    let (state, watch) = watch::channel(planner(&old));
    let connector = Connector::new(Workload::over(watch));
    state.send_replace(planner(&new));
    let (address, accepted) = accept_one(new.workload(TICKETS)).await;
    assert!(connector.connect(&address, &id(TICKETS)).await.is_ok());
    assert!(accepted.await.unwrap().is_ok());
    // The old authority left the bundle with the same message: what it signed is refused from now on.
    let (address, _accepted) = accept_one(old.workload(TICKETS)).await;
    assert!(matches!(connector.connect(&address, &id(TICKETS)).await, Err(ConnectFault::Handshake { .. })));
}

#[test]
fn the_host_is_read_out_of_an_address() {
    assert!(matches!(server_name("[::1]:1"), Some(ServerName::IpAddress(_))));
    assert!(matches!(server_name("tickets.tools.svc:8443"), Some(ServerName::DnsName(_))));
    assert!(server_name("nothing").is_none());
    assert!(server_name("a b:1").is_none());
}

#[test]
fn life_ends_at_not_after() {
    let authority = Authority::new();
    let identity = authority.identity(authority.leaf(&[PLANNER], expired));
    let end = identity.not_after();
    let workload = holding(identity);
    assert!(workload.identity(end.minus(Duration::from_secs(1))).is_ok());
    assert_eq!(workload.identity(end).unwrap_err(), IdentityFault::Expired(end));
    assert_eq!(end, UnixTime::from_secs(1_577_923_200).unwrap());
}

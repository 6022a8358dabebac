//! TLS 1.3 with a client certificate, or an alert: no door speaks an older TLS or to a stranger (N10, T16).

use harness::{Desk, alert_without_certificate};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

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
    hello.extend([0x00, u8::try_from(extensions.len()).expect("short")]);
    hello.extend(extensions);
    let length = u8::try_from(hello.len()).expect("short");
    let mut record = vec![0x16, 0x03, 0x01, 0x00, length + 4, 0x01, 0x00, 0x00, length];
    record.extend(hello);
    record
}

#[tokio::test]
async fn every_mtls_door_speaks_tls_1_3_with_a_certificate_or_not_at_all() {
    let desk = Desk::open_story().await;
    let mesh = ["planner", "researcher", "tickets"].map(|member| desk.stack.mesh(member).expect("a door"));
    for door in mesh.into_iter().chain([desk.stack.broker_token_address()]) {
        let mut tcp = TcpStream::connect(door).await.expect("connected");
        tcp.write_all(&client_hello_1_2()).await.expect("written");
        let mut answer = Vec::new();
        tcp.read_to_end(&mut answer).await.expect("closed in order");
        // RFC 8446 §6: record type 21, level fatal, protocol_version (70).
        assert!(matches!(answer[..], [21, 3, _, 0, 2, 2, 70]), "{door}: {answer:?}");
        let alert = alert_without_certificate(door).await;
        assert!(alert.contains("CertificateRequired"), "N10 {door}: {alert}");
        let mut tcp = TcpStream::connect(door).await.expect("connected");
        tcp.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("written");
        let mut answer = Vec::new();
        tcp.read_to_end(&mut answer).await.expect("closed in order");
        assert!(!answer.starts_with(b"HTTP"), "{door} speaks clear text");
    }
    desk.close().await;
}

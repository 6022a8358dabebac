//! Connections by somebody whom the stack's identity server never saw.

use std::sync::Arc;

use rustls::{
    ClientConfig, DigitallySignedStruct, Error, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use tokio::{io::AsyncReadExt as _, net::TcpStream};
use tokio_rustls::{TlsConnector, client::TlsStream};

/// Connects without a client certificate; returns the alert that ends the connection.
pub async fn alert_without_certificate(address: &str) -> String {
    let config = builder().with_no_client_auth();
    alert(address, config).await
}

/// Connects with a certificate that names `id` and that a CA of its own signed; returns the alert.
pub async fn rogue_certificate_is_refused(address: &str, id: &str) -> String {
    let key = rcgen::KeyPair::generate().expect("a key");
    let mut parameters = rcgen::CertificateParams::default();
    parameters.subject_alt_names = vec![rcgen::SanType::URI(id.try_into().expect("a URI"))];
    let certificate = parameters.self_signed(&key).expect("a certificate");
    alert_with_certificate(address, certificate.der().to_vec(), key.serialize_der()).await
}

/// Connects with this certificate and its key (PKCS#8), both DER; returns the alert that ends the connection.
pub async fn alert_with_certificate(address: &str, certificate: Vec<u8>, key: Vec<u8>) -> String {
    let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key));
    let config = builder().with_client_auth_cert(vec![certificate.into()], private).expect("a pair");
    alert(address, config).await
}

/// A TLS connection to whoever answers at `address`, without a client certificate.
pub async fn tls_without_certificate(address: &str) -> TlsStream<TcpStream> {
    let config = builder().with_no_client_auth();
    let stream = TcpStream::connect(address).await.expect("connected");
    let name = ServerName::try_from("broker.agents.svc").expect("a name");
    TlsConnector::from(Arc::new(config)).connect(name, stream).await.expect("a handshake")
}

fn builder() -> rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("versions")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyServer))
}

/// In TLS 1.3 the server judges the client after the client's handshake has ended: its alert comes at the first read.
async fn alert(address: &str, config: ClientConfig) -> String {
    let stream = TcpStream::connect(address).await.expect("connected");
    let name = ServerName::try_from("broker.agents.svc").expect("a name");
    let refused = match TlsConnector::from(Arc::new(config)).connect(name, stream).await {
        Err(refused) => refused,
        Ok(mut open) => match open.read(&mut [0; 1]).await {
            Err(refused) => refused,
            Ok(read) => panic!("the connection stood open and gave {read} bytes"),
        },
    };
    refused.to_string()
}

/// Accepts any server: the test is about what the server says of us.
#[derive(Debug)]
struct AnyServer;

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("TLS 1.2 is never spoken".into()))
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256, SignatureScheme::ED25519]
    }
}

//! TLS to services that are no part of the mesh: they prove a host name by a certificate of an authority that a file
//! lists, and by nothing else. TLS 1.3 only. It shows no certificate of ours: strangers need not know our SVID.

use std::{error::Error, fmt, io, net::IpAddr, path::Path, sync::Arc};

use rustls::{ClientConfig, Error as TlsError, RootCertStore, client::Resumption, pki_types::ServerName};
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::TlsConnector;

use crate::{
    mtls::{CONNECT_MAX, TlsStream},
    tls::{Clock, DoorTls, DoorTlsFault, provider},
};

const HTTP_1: &[u8] = b"http/1.1";

/// Opens TLS connections to services whose certificates are of known authorities.
#[derive(Clone)]
pub struct Outside(Arc<ClientConfig>);

/// Why a connection failed. Nothing of the request was sent.
#[derive(Debug, thiserror::Error)]
pub enum OutsideFault {
    /// No name, no route, nobody listens, or no answer within [`CONNECT_MAX`].
    #[error("`{address}` cannot be reached")]
    Unreachable {
        /// Where we tried.
        address: String,
        /// What happened.
        #[source]
        source: io::Error,
    },
    /// Who answered did not prove the name.
    #[error("`{address}` did not prove that it is `{name}`")]
    Unproved {
        /// Where we tried.
        address: String,
        /// Who should have answered.
        name: String,
        /// What is wrong with its certificate.
        #[source]
        source: io::Error,
    },
    /// It speaks no TLS 1.3, or broke off.
    #[error("handshake with `{address}` failed")]
    Handshake {
        /// With whom we tried.
        address: String,
        /// What happened.
        #[source]
        source: io::Error,
    },
}

impl Outside {
    /// Trusts the certificate authorities of a PEM file and nobody else.
    ///
    /// # Errors
    /// The [`DoorTlsFault`]: the file is missing, no PEM, empty, or holds what is no authority.
    pub fn from_pem_file(ca: &Path) -> Result<Self, DoorTlsFault> {
        let mut roots = RootCertStore::empty();
        for authority in DoorTls::chain(ca)? {
            let unusable = |source| DoorTlsFault::NoAuthority { path: ca.to_owned(), source };
            roots.add(authority).map_err(unusable)?;
        }
        let mut config = ClientConfig::builder_with_details(Arc::new(provider()), Arc::new(Clock))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(DoorTlsFault::Unusable)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.resumption = Resumption::disabled();
        config.alpn_protocols = vec![HTTP_1.to_vec()];
        Ok(Self(Arc::new(config)))
    }

    /// Connects to `address` (`host:port`) for HTTP/1.1, within [`CONNECT_MAX`]. Who answers must prove `name`, a host
    /// name or an address, whatever `address` says. Dropped half-way, the connection is closed.
    ///
    /// # Errors
    /// The [`OutsideFault`].
    pub async fn connect(&self, address: &str, name: &str) -> Result<TlsStream, OutsideFault> {
        let unreachable = |source| OutsideFault::Unreachable { address: address.to_owned(), source };
        let server = server_name(name).ok_or_else(|| unreachable(io::ErrorKind::InvalidInput.into()))?;
        let connector = TlsConnector::from(Arc::clone(&self.0));
        let connect = async {
            let tcp = TcpStream::connect(address).await.map_err(unreachable)?;
            tcp.set_nodelay(true).map_err(unreachable)?;
            connector.connect(server, tcp).await.map_err(|source| {
                let address = address.to_owned();
                if is_about_the_certificate(&source) {
                    OutsideFault::Unproved { address, name: name.to_owned(), source }
                } else {
                    OutsideFault::Handshake { address, source }
                }
            })
        };
        let connected = timeout(CONNECT_MAX, connect).await;
        let tls = connected.map_err(|_elapsed| unreachable(io::ErrorKind::TimedOut.into()))??;
        Ok(TlsStream::new(tls.into()))
    }
}

impl fmt::Debug for Outside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Outside(..)")
    }
}

fn server_name(name: &str) -> Option<ServerName<'static>> {
    match name.parse::<IpAddr>() {
        Ok(ip) => Some(ServerName::IpAddress(ip.into())),
        Err(_not_an_address) => ServerName::try_from(name.to_owned()).ok(),
    }
}

fn is_about_the_certificate(fault: &io::Error) -> bool {
    let cause: Option<&(dyn Error + Send + Sync + 'static)> = fault.get_ref();
    let tls = cause.and_then(|cause| cause.downcast_ref::<TlsError>());
    matches!(tls, Some(TlsError::InvalidCertificate(_) | TlsError::NoCertificatesPresented))
}

#[cfg(test)]
mod tests {
    use std::{fs, path::PathBuf};

    use rcgen::SanType;
    use rustls::pki_types::pem::PemObject as _;
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
    };

    use super::*;
    use crate::{
        mtls::tests::{Authority, Svid},
        shutdown::tests::task,
    };

    const NAME: &str = "inventory.tools.svc";

    /// A service on loopback that answers `x` to everybody who connects with TLS.
    async fn service(Svid { certificate, key }: Svid) -> String {
        let acceptor = DoorTls::of(vec![certificate], key).unwrap().acceptor();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        drop(task(async move {
            while let Ok((tcp, _from)) = listener.accept().await {
                if let Ok(mut tls) = acceptor.accept(tcp).await {
                    tls.write_all(b"x").await.ok();
                    tls.shutdown().await.ok();
                }
            }
        }));
        address
    }

    fn named(authority: &Authority, name: &str) -> Svid {
        authority.leaf(&[], |params| params.subject_alt_names = vec![SanType::DnsName(name.try_into().unwrap())])
    }

    /// The authority's certificate as a file, for as long as the value lives.
    struct CaFile(PathBuf);

    impl CaFile {
        fn of(authority: &Authority, test: &str) -> Self {
            let path = std::env::temp_dir().join(format!("runtime-outside-{test}-{}.pem", std::process::id()));
            let body = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, authority.certificate());
            fs::write(&path, format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n")).unwrap();
            assert!(rustls::pki_types::CertificateDer::from_pem_file(&path).is_ok());
            Self(path)
        }
    }

    impl Drop for CaFile {
        fn drop(&mut self) {
            fs::remove_file(&self.0).ok();
        }
    }

    #[tokio::test]
    async fn a_service_that_proves_its_name_is_spoken_to_wherever_it_listens() {
        let authority = Authority::new();
        let ca = CaFile::of(&authority, "good");
        let address = service(named(&authority, NAME)).await;
        let mut tls = Outside::from_pem_file(&ca.0).unwrap().connect(&address, NAME).await.unwrap();
        assert_eq!(tls.read_u8().await.unwrap(), b'x');
    }

    #[tokio::test]
    async fn another_name_or_another_authority_proves_nothing() {
        let authority = Authority::new();
        let ca = CaFile::of(&authority, "bad");
        let outside = Outside::from_pem_file(&ca.0).unwrap();
        for svid in [named(&authority, "evil.example"), named(&Authority::new(), NAME)] {
            let address = service(svid).await;
            let fault = outside.connect(&address, NAME).await.unwrap_err();
            assert!(matches!(fault, OutsideFault::Unproved { .. }), "{fault:?}");
        }
    }

    #[tokio::test]
    async fn what_is_no_tls_or_not_there_is_told_apart() {
        let authority = Authority::new();
        let ca = CaFile::of(&authority, "other");
        let outside = Outside::from_pem_file(&ca.0).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let plain = task(async move { listener.accept().await.unwrap().0.write_all(b"HTTP/1.1 400\r\n\r\n").await });
        let fault = outside.connect(&address, NAME).await.unwrap_err();
        assert!(matches!(fault, OutsideFault::Handshake { .. }), "{fault:?}");
        plain.await.unwrap().unwrap();
        let fault = outside.connect(&address, NAME).await.unwrap_err();
        assert!(matches!(fault, OutsideFault::Unreachable { .. }), "{fault:?}");
        assert!(matches!(outside.connect(&address, "a b").await, Err(OutsideFault::Unreachable { .. })));
    }

    #[test]
    fn a_file_without_an_authority_is_refused() {
        let fault = Outside::from_pem_file(Path::new("/nowhere/ca.pem")).unwrap_err();
        assert_eq!(fault.to_string(), "cannot read `/nowhere/ca.pem`");
    }
}

//! What all TLS in a process shares: one provider with TLS 1.3 suites only and post-quantum key exchange first, and our
//! clock. Also the server side of doors whose certificate comes from files. No resumption, no tickets, anywhere.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    ServerConfig,
    crypto::{
        CryptoProvider,
        aws_lc_rs::{cipher_suite, default_provider, kx_group},
    },
    pki_types::{
        CertificateDer, PrivateKeyDer, UnixTime,
        pem::{self, PemObject as _},
    },
    server::NoServerSessionStorage,
    time_provider::TimeProvider,
};

use crate::clock;

/// Protocols that a door offers, best first.
pub(crate) const DOOR_PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// The provider: TLS 1.3 suites only, so TLS 1.2 cannot be negotiated whatever features a build unified;
/// X25519MLKEM768 first.
#[must_use]
pub fn provider() -> CryptoProvider {
    CryptoProvider {
        cipher_suites: vec![
            cipher_suite::TLS13_AES_256_GCM_SHA384,
            cipher_suite::TLS13_AES_128_GCM_SHA256,
            cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
        ],
        kx_groups: vec![kx_group::X25519MLKEM768, kx_group::X25519, kx_group::SECP256R1, kx_group::SECP384R1],
        ..default_provider()
    }
}

/// Makes [`provider`] the process-wide one, which every TLS library in the process uses. A second call changes nothing.
pub fn install_provider() {
    if provider().install_default().is_err() {
        tracing::debug!("a TLS provider was installed before");
    }
}

/// rustls asks our clock, so that there is one.
#[derive(Debug)]
pub(crate) struct Clock;

impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(std::time::Duration::from_secs(clock::now().secs())))
    }
}

/// The server side of a door with a certificate from files and no client certificate.
#[derive(Clone, Debug)]
pub struct DoorTls(Arc<ServerConfig>);

/// Why a certificate or key could not be used. It names the file, never its content.
#[derive(Debug, thiserror::Error)]
pub enum DoorTlsFault {
    /// Missing, unreadable, or not PEM.
    #[error("cannot read `{path}`", path = path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What happened.
        #[source]
        source: io::Error,
    },
    /// The file holds no certificate.
    #[error("`{path}` holds no certificate", path = .0.display())]
    Empty(PathBuf),
    /// The file holds a certificate by which nobody can be proved.
    #[error("`{path}` holds a certificate that cannot be an authority", path = path.display())]
    NoAuthority {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: rustls::Error,
    },
    /// The key is of an unknown kind or belongs to another certificate.
    #[error("certificate and key do not fit")]
    Unusable(#[source] rustls::Error),
}

impl DoorTls {
    /// Reads a PEM chain (leaf first) and its PEM key (PKCS#8, PKCS#1 or SEC1).
    ///
    /// # Errors
    /// The [`DoorTlsFault`].
    pub fn from_pem_files(certificate: &Path, key: &Path) -> Result<Self, DoorTlsFault> {
        Self::of(Self::chain(certificate)?, Self::private_key(key)?)
    }

    pub(crate) fn chain(file: &Path) -> Result<Vec<CertificateDer<'static>>, DoorTlsFault> {
        let chain: Vec<_> =
            CertificateDer::pem_file_iter(file).and_then(Iterator::collect).map_err(|fault| unreadable(file, fault))?;
        if chain.is_empty() { Err(DoorTlsFault::Empty(file.to_owned())) } else { Ok(chain) }
    }

    pub(crate) fn private_key(file: &Path) -> Result<PrivateKeyDer<'static>, DoorTlsFault> {
        PrivateKeyDer::from_pem_file(file).map_err(|fault| unreadable(file, fault))
    }

    pub(crate) fn of(chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> Result<Self, DoorTlsFault> {
        let mut config = ServerConfig::builder_with_details(Arc::new(provider()), Arc::new(Clock))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
            .map_err(DoorTlsFault::Unusable)?;
        harden(&mut config);
        Ok(Self(Arc::new(config)))
    }

    pub(crate) fn acceptor(&self) -> tokio_rustls::TlsAcceptor {
        Arc::clone(&self.0).into()
    }
}

/// No resumption, so that withdrawn trust bites on the next connection; ALPN of our servers.
pub(crate) fn harden(config: &mut ServerConfig) {
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.alpn_protocols = DOOR_PROTOCOLS.map(<[u8]>::to_vec).to_vec();
}

fn unreadable(path: &Path, fault: pem::Error) -> DoorTlsFault {
    let source =
        if let pem::Error::Io(source) = fault { source } else { io::Error::new(io::ErrorKind::InvalidData, fault) };
    DoorTlsFault::Unreadable { path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use rustls::NamedGroup;

    use super::*;

    #[test]
    fn the_provider_knows_tls_1_3_only_and_prefers_post_quantum_key_exchange() {
        let provider = provider();
        assert!(provider.cipher_suites.iter().all(|suite| suite.tls13().is_some()));
        assert_eq!(provider.kx_groups.first().map(|group| group.name()), Some(NamedGroup::X25519MLKEM768));
    }

    #[test]
    fn a_missing_certificate_is_named() {
        let fault = DoorTls::from_pem_files(Path::new("/nowhere/tls.crt"), Path::new("/nowhere/tls.key")).unwrap_err();
        assert_eq!(fault.to_string(), "cannot read `/nowhere/tls.crt`");
    }
}

//! Where the broker listens. A door without TLS is refused outside of loopback.

use std::net::SocketAddr;

use runtime::{config::Problems, tls::DoorTls};

use super::raw::RawPublic;

/// The door without client certificates.
#[derive(Debug)]
pub(crate) struct Public {
    pub(crate) listen: String,
    pub(crate) tls: PublicTls,
}

/// How the public door protects what it serves.
#[derive(Debug)]
pub(crate) enum PublicTls {
    /// TLS 1.3 with a certificate from files.
    Files(DoorTls),
    /// Clear text, on loopback.
    Loopback,
}

impl Public {
    pub(super) fn read(raw: &RawPublic, problems: &mut Problems) -> Option<Self> {
        check_address("public.listen", &raw.listen, problems);
        let tls = match &raw.tls {
            Some(files) => match DoorTls::from_pem_files(&files.certificate, &files.key) {
                Ok(tls) => PublicTls::Files(tls),
                Err(fault) => {
                    problems.at("public.tls", fault.to_string());
                    return None;
                }
            },
            None => {
                if !raw.listen.parse::<SocketAddr>().is_ok_and(|address| address.ip().is_loopback()) {
                    problems.at("public.listen", format!("`{}` is not loopback, so it needs `public.tls`", raw.listen));
                }
                PublicTls::Loopback
            }
        };
        Some(Self { listen: raw.listen.clone(), tls })
    }
}

pub(super) fn check_address(key: &str, address: &str, problems: &mut Problems) {
    let parts = address.rsplit_once(':');
    if parts.is_none_or(|(host, port)| host.is_empty() || port.parse::<u16>().is_err()) {
        problems.at(key, format!("`{address}` is no `host:port`"));
    }
}

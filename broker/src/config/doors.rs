//! Where the broker listens. A door without TLS is refused outside of loopback.

use std::net::SocketAddr;

use identity::check_address;
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
        is_address("public.listen", &raw.listen, problems);
        let tls = match &raw.tls {
            Some(files) => PublicTls::Files(problems.door_tls("public.tls", &files.certificate, &files.key)?),
            None => {
                check_loopback(&raw.listen, problems);
                PublicTls::Loopback
            }
        };
        Some(Self { listen: raw.listen.clone(), tls })
    }
}

fn check_loopback(listen: &str, problems: &mut Problems) {
    match listen.parse::<SocketAddr>() {
        Ok(address) if address.ip().is_loopback() => {}
        Ok(_) => problems.at("public.listen", format!("`{listen}` is not loopback, so it needs `public.tls`")),
        Err(_name) if check_address(listen).is_ok() => {
            let message = "without `public.tls` write 127.0.0.1 or [::1]: names are not resolved here";
            problems.at("public.listen", format!("`{listen}`: {message}"));
        }
        // Told already.
        Err(_malformed) => {}
    }
}

pub(super) fn is_address(key: &str, address: &str, problems: &mut Problems) {
    if let Err(fault) = check_address(address) {
        problems.at(key, fault.to_string());
    }
}

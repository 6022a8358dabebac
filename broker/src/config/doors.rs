//! Where the broker listens. A door without TLS is refused outside of loopback.

use std::{net::SocketAddr, path::PathBuf};

use identity::check_address;
use runtime::{admin::AdminListen, config::Problems, tls::DoorTls};

use super::{
    is_origin,
    raw::{RawAssertions, RawTls},
};
use crate::rate::RateLimit;

/// All doors.
#[derive(Debug)]
pub(crate) struct Doors {
    pub(crate) listen: String,
    pub(crate) public: Public,
    pub(crate) assertions: Option<Assertions>,
    pub(crate) admin: AdminListen,
    /// A Unix socket that only the broker's own user may open: orders about keys.
    pub(crate) orders: PathBuf,
    /// How often each workload may ask.
    pub(crate) rate: RateLimit,
}

/// A door without client certificates.
#[derive(Debug)]
pub(crate) struct Public {
    pub(crate) listen: String,
    pub(crate) tls: PublicTls,
}

/// How such a door protects what it serves.
#[derive(Debug)]
pub(crate) enum PublicTls {
    /// TLS 1.3 with a certificate from files.
    Files(DoorTls),
    /// Clear text, on loopback.
    Loopback,
}

/// The door for clients that show a JWT-SVID.
#[derive(Debug)]
pub(crate) struct Assertions {
    pub(crate) door: Public,
    /// By which clients reach it.
    pub(crate) url: String,
}

impl Public {
    /// The door that is written under `key`.
    pub(super) fn read(key: &str, listen: &str, tls: Option<&RawTls>, problems: &mut Problems) -> Option<Self> {
        is_address(&format!("{key}.listen"), listen, problems);
        let tls = match tls {
            Some(files) => {
                PublicTls::Files(problems.door_tls(&format!("{key}.tls"), &files.certificate, &files.key)?)
            }
            None => {
                check_loopback(key, listen, problems);
                PublicTls::Loopback
            }
        };
        Some(Self { listen: listen.to_owned(), tls })
    }
}

impl Assertions {
    pub(super) fn read(raw: &RawAssertions, issuer: &str, problems: &mut Problems) -> Option<Self> {
        let url = raw.url.as_deref().unwrap_or(issuer);
        if raw.url.is_some() && !is_origin(url) {
            problems.at("assertions.url", format!("`{url}` must be `https://host[:port]` and nothing more"));
        }
        let door = Public::read("assertions", &raw.listen, raw.tls.as_ref(), problems)?;
        Some(Self { door, url: url.to_owned() })
    }
}

fn check_loopback(key: &str, listen: &str, problems: &mut Problems) {
    let place = format!("{key}.listen");
    match listen.parse::<SocketAddr>() {
        Ok(address) if address.ip().is_loopback() => {}
        Ok(_) => problems.at(&place, format!("`{listen}` is not loopback, so it needs `{key}.tls`")),
        Err(_name) if check_address(listen).is_ok() => {
            let message = format!("without `{key}.tls` write 127.0.0.1 or [::1]: names are not resolved here");
            problems.at(&place, format!("`{listen}`: {message}"));
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

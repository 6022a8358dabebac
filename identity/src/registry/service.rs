//! Where a service listens that is no part of the mesh. Clear text never leaves the host, because a JWT-SVID is a
//! bearer token: whoever reads it can use it.

use std::{
    net::{IpAddr, SocketAddr},
    str::FromStr,
};

use url::{Host, Url};

/// The address of a service that speaks plain HTTP on loopback, or HTTPS.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ServiceAddress {
    /// In clear text on loopback.
    Plain(SocketAddr),
    /// `host:port` over TLS. The certificate must be for the host of the target's resource: this says only where it is.
    Tls(String),
}

/// Why a text is no [`ServiceAddress`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ServiceAddressFault {
    /// `http://` elsewhere.
    #[error("`{0}` is not on loopback, and a JWT-SVID must not leave the host in clear text; write `https://`")]
    NotLoopback(String),
    /// `http://` with a name.
    #[error("`{0}`: write `http://127.0.0.1:<port>`, or `https://`: a name could be resolved to another host")]
    Named(String),
    /// Anything else.
    #[error("`{0}` is no `https://<host>[:<port>]`, and no `http://127.0.0.1:<port>`")]
    Malformed(String),
}

impl FromStr for ServiceAddress {
    type Err = ServiceAddressFault;

    fn from_str(text: &str) -> Result<Self, ServiceAddressFault> {
        let malformed = || ServiceAddressFault::Malformed(text.to_owned());
        let url = Url::parse(text).map_err(|_no_url| malformed())?;
        let bare = url.path() == "/"
            && url.query().is_none()
            && url.fragment().is_none()
            && url.username().is_empty()
            && url.password().is_none();
        let (Some(host), Some(port), true) = (url.host(), url.port_or_known_default(), bare) else {
            return Err(malformed());
        };
        let ip = match (url.scheme(), &host) {
            ("https", _) => return Ok(Self::Tls(format!("{host}:{port}"))),
            ("http", Host::Ipv4(address)) => IpAddr::from(*address),
            ("http", Host::Ipv6(address)) => IpAddr::from(*address),
            ("http", Host::Domain(_)) => return Err(ServiceAddressFault::Named(text.to_owned())),
            _other_scheme => return Err(malformed()),
        };
        if ip.is_loopback() {
            Ok(Self::Plain(SocketAddr::new(ip, port)))
        } else {
            Err(ServiceAddressFault::NotLoopback(text.to_owned()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_is_reached_over_tls_or_on_loopback() {
        for (text, address) in [
            ("https://inventory.corp.example", "inventory.corp.example:443"),
            ("https://10.0.0.7:8443/", "10.0.0.7:8443"),
            ("https://[2001:db8::7]:8443", "[2001:db8::7]:8443"),
        ] {
            assert_eq!(text.parse(), Ok(ServiceAddress::Tls(address.to_owned())), "{text}");
        }
        for (text, address) in [("http://127.0.0.1:9000", "127.0.0.1:9000"), ("http://[::1]", "[::1]:80")] {
            assert_eq!(text.parse(), Ok(ServiceAddress::Plain(address.parse().expect("an address"))), "{text}");
        }
    }

    #[test]
    fn clear_text_to_elsewhere_is_refused() {
        let parsed = |text: &str| text.parse::<ServiceAddress>().expect_err("refused");
        for text in ["http://10.0.0.7:80", "http://0.0.0.0:80", "http://[::]:80", "http://[::ffff:127.0.0.1]:80"] {
            assert_eq!(parsed(text), ServiceAddressFault::NotLoopback(text.to_owned()));
        }
        for text in ["http://localhost:9000", "http://inventory.tools.svc"] {
            assert_eq!(parsed(text), ServiceAddressFault::Named(text.to_owned()));
        }
        for text in [
            "",
            "inventory.tools.svc:8443",
            "https://",
            "https://inventory.tools.svc/v1",
            "https://u@inventory.tools.svc",
            "https://inventory.tools.svc?x",
            "ftp://127.0.0.1:21",
            "unix:///run/x.sock",
        ] {
            assert_eq!(parsed(text), ServiceAddressFault::Malformed(text.to_owned()));
        }
    }
}

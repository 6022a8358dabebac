//! `host:port` as configuration says it. Resolves nothing and says nothing about who may be there.

/// Why a text is no `host:port`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressFault {
    /// `https://host:8443` and the like: what is spoken there is not the writer's choice.
    #[error("`{0}` is a URL; write host:port without a scheme")]
    Url(String),
    /// Anything else.
    #[error("`{0}` is no `host:port`, as in `tickets.tools.svc:8443` or `[::1]:8443`")]
    Malformed(String),
}

/// Checks that `text` is `host:port`: a name, an IPv4 address or an IPv6 address in brackets, and a port of 16 bits.
///
/// # Errors
/// The [`AddressFault`].
pub fn check_address(text: &str) -> Result<(), AddressFault> {
    if text.contains("://") {
        return Err(AddressFault::Url(text.to_owned()));
    }
    let fits = text.rsplit_once(':').is_some_and(|(host, port)| is_host(host) && port.parse::<u16>().is_ok());
    if fits { Ok(()) } else { Err(AddressFault::Malformed(text.to_owned())) }
}

fn is_host(host: &str) -> bool {
    match host.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')) {
        Some(inner) => inner.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_host_with_a_port_is_an_address() {
        for good in ["tickets.tools.svc:8443", "127.0.0.1:0", "[::1]:8443", "my_host:1"] {
            assert_eq!(check_address(good), Ok(()), "{good}");
        }
        for url in ["https://tickets.tools.svc:8443", "http://0.0.0.0:8443"] {
            assert_eq!(check_address(url), Err(AddressFault::Url(url.to_owned())));
        }
        for bad in ["", "tickets", ":8443", "tickets:", "tickets:65536", "a/b:1", "::1:8443", "[x]:1", "u@h:1", "a:1/"]
        {
            assert_eq!(check_address(bad), Err(AddressFault::Malformed(bad.to_owned())), "{bad}");
        }
    }
}

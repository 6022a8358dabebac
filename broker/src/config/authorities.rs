//! Which OpenID providers are asked. An issuer that can be read on the wire is refused outside of loopback.

use std::collections::BTreeSet;

use runtime::config::Problems;
use url::{Host, Url};

use super::raw::RawAuthority;

/// One OpenID provider.
#[derive(Clone, Debug)]
pub(crate) struct AuthorityConfig {
    /// Stands before its subjects where there are several authorities.
    pub(crate) name: Option<String>,
    /// Issuer URL, byte for byte as tokens say it.
    pub(crate) issuer: String,
    /// The same, taken apart.
    pub(crate) url: Url,
    /// The broker's client there.
    pub(crate) client_id: String,
}

impl AuthorityConfig {
    /// Audiences that no target may have.
    pub(super) fn reserved(&self) -> [String; 2] {
        [self.issuer.clone(), format!("{}/protocol/openid-connect/token", self.issuer)]
    }

    /// Whether it is spoken to in clear text, which is allowed on loopback only.
    pub(crate) fn is_clear_text(&self) -> bool {
        self.url.scheme() == "http"
    }
}

pub(super) fn read(raw: &[RawAuthority], problems: &mut Problems) -> Vec<AuthorityConfig> {
    if raw.is_empty() {
        problems.at("authorities", "must name an OpenID provider, as in `- keycloak: https://…/realms/agents`");
    }
    let (mut issuers, mut names) = (BTreeSet::new(), BTreeSet::new());
    let mut authorities = Vec::new();
    for (index, raw_authority) in raw.iter().enumerate() {
        let key = |name: &str| format!("authorities[{index}].{name}");
        let Some(issuer) = &raw_authority.keycloak else {
            problems
                .at(&key("keycloak"), "is missing: the issuer URL of a Keycloak realm is the only kind of authority");
            continue;
        };
        if raw_authority.client_id.is_empty() {
            problems.at(&key("client_id"), "must not be empty");
        }
        if !issuers.insert(issuer) {
            problems.at(&key("keycloak"), format!("`{issuer}` stands twice"));
        }
        match &raw_authority.name {
            Some(name) if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') => {
                problems.at(&key("name"), format!("`{name}` must hold letters, digits and `-` only"));
            }
            Some(name) if !names.insert(name) => problems.at(&key("name"), format!("`{name}` stands twice")),
            None if raw.len() > 1 => {
                problems.at(&key("name"), "is missing: with several authorities each needs one, as subjects carry it");
            }
            Some(_) | None => {}
        }
        match issuer_url(issuer) {
            Ok(url) => authorities.push(AuthorityConfig {
                name: raw_authority.name.clone().filter(|_name| raw.len() > 1),
                issuer: issuer.clone(),
                url,
                client_id: raw_authority.client_id.clone(),
            }),
            Err(message) => problems.at(&key("keycloak"), message),
        }
    }
    authorities
}

/// OpenID Connect Discovery §4.1: https, no query, no fragment. Clear text on loopback, for development.
fn issuer_url(issuer: &str) -> Result<Url, String> {
    let url = Url::parse(issuer).map_err(|fault| format!("`{issuer}` is no URL: {fault}"))?;
    let names_user = !url.username().is_empty() || url.password().is_some();
    if url.query().is_some() || url.fragment().is_some() || names_user || issuer.ends_with('/') {
        return Err(format!("`{issuer}` must have no user, query, fragment and final slash"));
    }
    match url.scheme() {
        "https" => Ok(url),
        "http" if on_loopback(&url) => Ok(url),
        "http" => Err(format!("`{issuer}` is clear text; `http` is allowed on loopback only, use `https`")),
        scheme => Err(format!("`{issuer}` has the scheme `{scheme}`; use `https`")),
    }
}

fn on_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

//! Which OpenID providers are believed, and which of them are asked. An issuer that can be read on the wire is refused
//! outside of loopback.

use std::{collections::BTreeSet, time::Duration};

use runtime::config::Problems;
use url::{Host, Url};

use super::{
    life::duration,
    raw::{RawAuthority, RawTarget},
};

/// Longest time without a reading of the event logs, and the shortest: they are read every second.
const CONFIRM_WITHIN_MAX: Duration = Duration::from_secs(60);
const CONFIRM_WITHIN_MIN: Duration = Duration::from_secs(2);

/// Where a plain provider's groups and roles stand, if nothing else is said.
const GROUPS_CLAIM: &str = "groups";
const ROLES_CLAIM: &str = "roles";

/// One OpenID provider.
#[derive(Clone, Debug)]
pub(crate) struct AuthorityConfig {
    /// Stands before its subjects where there are several authorities.
    pub(crate) name: Option<String>,
    /// Issuer URL, byte for byte as tokens say it.
    pub(crate) issuer: String,
    /// The same, taken apart.
    pub(crate) url: Url,
    pub(crate) kind: AuthorityKind,
    /// After so long without a reading of its event logs nothing is issued for its users.
    pub(crate) confirm_within: Duration,
}

/// What a provider can do for us.
#[derive(Clone, Debug)]
pub(crate) enum AuthorityKind {
    /// A realm of Keycloak: it confirms users and sessions.
    Keycloak {
        /// The broker's client there.
        client_id: String,
    },
    /// It signs users' tokens, and that is all.
    OpenId {
        /// What stands for the broker in `aud`.
        audience: String,
        groups_claim: String,
        roles_claim: String,
    },
}

impl AuthorityConfig {
    /// Audiences that no target may have.
    pub(super) fn reserved(&self) -> Vec<String> {
        let issuer = self.issuer.clone();
        match &self.kind {
            AuthorityKind::Keycloak { .. } => vec![format!("{issuer}/protocol/openid-connect/token"), issuer],
            AuthorityKind::OpenId { .. } => vec![issuer],
        }
    }

    /// Whether it is asked about users, or its tokens are all that it says.
    pub(crate) const fn is_asked(&self) -> bool {
        match &self.kind {
            AuthorityKind::Keycloak { .. } => true,
            AuthorityKind::OpenId { .. } => false,
        }
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
        let Some((kind_key, issuer, kind)) = kind(raw_authority, &key, problems) else { continue };
        if !issuers.insert(issuer) {
            problems.at(&key(kind_key), format!("`{issuer}` stands twice"));
        }
        match issuer_url(issuer) {
            Ok(url) => authorities.push(AuthorityConfig {
                name: raw_authority.name.clone().filter(|_name| raw.len() > 1),
                issuer: issuer.clone(),
                url,
                kind,
                confirm_within: confirm_within(raw_authority.confirm_within.as_ref(), &key("confirm_within"), problems),
            }),
            Err(message) => problems.at(&key(kind_key), message),
        }
    }
    authorities
}

/// The key that says the kind, the issuer, and the kind. What belongs to the other kind is refused: whoever wrote it
/// expects something that would not be.
fn kind<'r>(
    raw: &'r RawAuthority,
    key: &impl Fn(&str) -> String,
    problems: &mut Problems,
) -> Option<(&'static str, &'r String, AuthorityKind)> {
    let (foreign, other): (&[(&str, &Option<String>)], _) = match (&raw.keycloak, &raw.oidc) {
        (Some(_), None) => (
            &[("audience", &raw.audience), ("groups_claim", &raw.groups_claim), ("roles_claim", &raw.roles_claim)],
            "oidc",
        ),
        (None, Some(_)) => (&[("client_id", &raw.client_id), ("confirm_within", &raw.confirm_within)], "keycloak"),
        (Some(_), Some(_)) | (None, None) => (&[], ""),
    };
    for (name, _value) in foreign.iter().filter(|(_name, value)| value.is_some()) {
        problems.at(&key(name), format!("belongs to the other kind of authority, `{other}`; leave it out"));
    }
    let mut needed = |kind: &str, name: &str, value: &Option<String>| {
        let value = value.clone().filter(|value| !value.is_empty());
        if value.is_none() {
            problems.at(&key(name), format!("is missing or empty, and an authority with `{kind}` needs it"));
        }
        value
    };
    match (&raw.keycloak, &raw.oidc) {
        (Some(issuer), None) => {
            let client_id = needed("keycloak", "client_id", &raw.client_id)?;
            Some(("keycloak", issuer, AuthorityKind::Keycloak { client_id }))
        }
        (None, Some(issuer)) => {
            let audience = needed("oidc", "audience", &raw.audience)?;
            let claim = |name: &Option<String>, usual: &str| name.clone().unwrap_or_else(|| usual.to_owned());
            let groups_claim = claim(&raw.groups_claim, GROUPS_CLAIM);
            let roles_claim = claim(&raw.roles_claim, ROLES_CLAIM);
            Some(("oidc", issuer, AuthorityKind::OpenId { audience, groups_claim, roles_claim }))
        }
        (Some(_), Some(_)) => {
            problems.at(&key("oidc"), "stands beside `keycloak`; an authority is of one kind");
            None
        }
        (None, None) => {
            let message =
                "is missing: the issuer URL of a Keycloak realm, or `oidc` with that of a plain OpenID provider";
            problems.at(&key("keycloak"), message);
            None
        }
    }
}

/// It can be set shorter than the design's, never longer (`protocol.md` §7).
fn confirm_within(text: Option<&String>, key: &str, problems: &mut Problems) -> Duration {
    let Some(text) = text else { return CONFIRM_WITHIN_MAX };
    match duration(text) {
        Some(within) if (CONFIRM_WITHIN_MIN..=CONFIRM_WITHIN_MAX).contains(&within) => within,
        Some(_) | None => {
            problems.at(key, format!("`{text}` must be 2s to 60s, as in `30s`"));
            CONFIRM_WITHIN_MAX
        }
    }
}

/// The token endpoint of a provider that is never asked is not known here, so no target may lie at its origin: a
/// JWT-SVID for it could be a client assertion there (`protocol.md` §6).
pub(super) fn check_targets(authorities: &[AuthorityConfig], targets: &[RawTarget], problems: &mut Problems) {
    let plain = authorities.iter().filter(|authority| !authority.is_asked());
    let origins: Vec<_> = plain.map(|authority| authority.url.origin()).collect();
    for (index, target) in targets.iter().enumerate() {
        let lies_there = |url: Url| origins.contains(&url.origin());
        if Url::parse(&target.resource).is_ok_and(lies_there) {
            let message = "lies at the origin of an OpenID provider (target.reserved_audience)";
            problems.at(&format!("targets[{index}].resource"), message);
        }
    }
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

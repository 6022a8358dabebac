//! Workloads where users may enter, from which applications of which authority, and with which scopes at most.

use identity::{Scopes, SpiffeId, TrustDomain, workload_id};
use runtime::config::Problems;

use super::{
    authorities::{AuthorityConfig, AuthorityKind},
    raw::{RawAuthority, RawEdge},
};

/// One edge.
#[derive(Clone, Debug)]
pub(crate) struct Edge {
    pub(crate) workload: SpiffeId,
    pub(crate) login_clients: Vec<LoginClient>,
    pub(crate) scopes: Scopes,
}

/// An application where users sign in. Two authorities' clients of one name are two.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LoginClient {
    /// Issuer URL of its authority.
    pub(crate) issuer: String,
    pub(crate) id: String,
}

/// All edges; a workload is in it at most once.
#[derive(Clone, Debug, Default)]
pub(crate) struct Edges(Vec<Edge>);

/// What a text in `login_clients` stands for.
#[derive(Debug)]
pub(super) struct LoginClients<'r>(Vec<(Option<&'r str>, &'r str)>);

impl Edge {
    /// Whether users of this authority may enter at all.
    pub(crate) fn knows(&self, issuer: &str) -> bool {
        self.login_clients.iter().any(|known| known.issuer == issuer)
    }

    /// Whether users may enter who signed in there.
    pub(crate) fn admits(&self, issuer: &str, client: &str) -> bool {
        self.login_clients.iter().any(|known| known.issuer == issuer && known.id == client)
    }
}

#[cfg(test)]
impl From<Vec<Edge>> for Edges {
    fn from(edges: Vec<Edge>) -> Self {
        Self(edges)
    }
}

impl Edges {
    /// The edge that this workload is, if it is one.
    pub(crate) fn of(&self, workload: &SpiffeId) -> Option<&Edge> {
        self.0.iter().find(|edge| edge.workload == *workload)
    }

    /// Every login client of this authority at any edge.
    pub(crate) fn login_clients(&self, issuer: &str) -> Vec<&str> {
        let all = self.0.iter().flat_map(|edge| &edge.login_clients);
        all.filter(|client| client.issuer == issuer).map(|client| client.id.as_str()).collect()
    }

    pub(super) fn read(
        raw: &[RawEdge],
        clients: &LoginClients<'_>,
        trust_domain: Option<&TrustDomain>,
        problems: &mut Problems,
    ) -> Self {
        let mut edges = Self::default();
        for (index, raw_edge) in raw.iter().enumerate() {
            let key = |name: &str| format!("edges[{index}].{name}");
            let workload = workload_id(&raw_edge.workload);
            match &workload {
                Err(fault) => problems.at(&key("workload"), format!("`{}` is {fault}", raw_edge.workload)),
                Ok(id) if trust_domain.is_some_and(|domain| id.trust_domain() != domain) => {
                    problems.at(&key("workload"), format!("`{id}` is outside of the trust domain"));
                }
                Ok(id) if edges.of(id).is_some() => problems.at(&key("workload"), format!("`{id}` stands twice")),
                Ok(_) => {}
            }
            if raw_edge.login_clients.is_empty() || raw_edge.login_clients.iter().any(String::is_empty) {
                problems.at(&key("login_clients"), "must name the clients whose users may enter here");
            }
            let mut login_clients = Vec::new();
            for (place, text) in raw_edge.login_clients.iter().enumerate() {
                match clients.find(text) {
                    Ok(client) => login_clients.push(client),
                    Err(message) => problems.at(&format!("edges[{index}].login_clients[{place}]"), message),
                }
            }
            let scopes = raw_edge.scopes.join(" ").parse::<Scopes>();
            match &scopes {
                Err(fault) => problems.at(&key("scopes"), fault.to_string()),
                Ok(scopes) if scopes.is_empty() => {
                    problems.at(&key("scopes"), "must name a scope: nothing could enter here")
                }
                Ok(_) => {}
            }
            if let (Ok(workload), Ok(scopes)) = (workload, scopes) {
                edges.0.push(Edge { workload, login_clients, scopes });
            }
        }
        edges
    }
}

impl<'r> LoginClients<'r> {
    pub(super) fn new(raw: &'r [RawAuthority]) -> Self {
        let issuer = |raw: &'r RawAuthority| raw.keycloak.as_deref().or(raw.oidc.as_deref()).unwrap_or_default();
        Self(raw.iter().map(|raw| (raw.name.as_deref(), issuer(raw))).collect())
    }

    /// With one authority every text is a client of it, and its name before one is left from when there were several: as
    /// a part of the client it would let nobody in. With several, a client that does not say whose it is could be
    /// anybody's of that name.
    fn find(&self, text: &str) -> Result<LoginClient, String> {
        if let [(name, issuer)] = self.0.as_slice() {
            let qualified = text.split_once(':').filter(|(before, _client)| *name == Some(*before));
            if let Some((_name, client)) = qualified {
                return Err(format!("`{text}`: with one authority write the client alone, `{client}`"));
            }
            return Ok(LoginClient { issuer: (*issuer).to_owned(), id: text.to_owned() });
        }
        let named = text.split_once(':').filter(|(_name, client)| !client.is_empty());
        let found = named.and_then(|(name, client)| {
            let (_name, issuer) = self.0.iter().find(|(known, _issuer)| *known == Some(name))?;
            Some(LoginClient { issuer: (*issuer).to_owned(), id: client.to_owned() })
        });
        found.ok_or_else(|| {
            let names: Vec<&str> = self.0.iter().filter_map(|(name, _issuer)| *name).collect();
            let example = names.first().copied().unwrap_or("name");
            let client = text.rsplit(':').find(|part| !part.is_empty() && !names.contains(part)).unwrap_or("console");
            let names = if names.is_empty() {
                "no authority has a name yet".to_owned()
            } else {
                format!("names: `{}`", names.join("`, `"))
            };
            format!(
                "`{text}` does not say which authority's client it is; with several authorities write \
                 `<name>:<client>`, as in `{example}:{client}` ({names})"
            )
        })
    }
}

/// An ID token is for the application where the user signed in; it must never do for an access token.
pub(super) fn check_audiences(edges: &Edges, authorities: &[AuthorityConfig], problems: &mut Problems) {
    for (index, authority) in authorities.iter().enumerate() {
        match &authority.kind {
            AuthorityKind::OpenId { audience, .. }
                if edges.login_clients(&authority.issuer).contains(&audience.as_str()) =>
            {
                problems.at(
                    &format!("authorities[{index}].audience"),
                    format!("`{audience}` is a login client too, whose ID tokens are for it; the broker needs an audience of its own"),
                );
            }
            AuthorityKind::OpenId { .. } | AuthorityKind::Keycloak { .. } => {}
        }
    }
}

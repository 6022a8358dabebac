//! Who and what the realm knows: users, clients, scopes. A small table in code; tests add to it before the start.

use identity::{SpiffeId, TrustDomain};
use url::Url;

use super::{handle::HandleFault, sign_in::loopback};

/// A realm.
#[derive(Clone, Debug)]
pub struct Realm {
    /// Its name, as in `/realms/{name}`.
    pub name: String,
    /// Who can sign in.
    pub users: Vec<User>,
    /// Programs that may ask for tokens, or that tokens may be for.
    pub clients: Vec<Client>,
    /// Scopes; a user gets one only with its role.
    pub scopes: Vec<RoleScope>,
}

/// Somebody who can sign in. The password is no secret: it stands in the documentation.
#[derive(Clone, Debug)]
pub struct User {
    /// `preferred_username`, and the name at the login form.
    pub name: String,
    /// The password.
    pub password: String,
    /// `sub`.
    pub subject: String,
    /// `groups`.
    pub groups: Vec<String>,
    /// Realm roles held.
    pub roles: Vec<String>,
    /// A disabled user cannot sign in, and no token of hers is exchanged.
    pub enabled: bool,
}

/// A client.
#[derive(Clone, Debug)]
pub struct Client {
    /// `client_id`.
    pub id: String,
    /// What it may do.
    pub kind: ClientKind,
}

/// What a client may do.
#[derive(Clone, Debug)]
pub enum ClientKind {
    /// Signs users in: public, with PKCE; the password grant too, in development only.
    Login {
        /// `aud` of the tokens that it gets.
        audience: String,
        /// Where it is told that a session of its own ended (`backchannel.logout.url`).
        backchannel_logout: Option<Url>,
    },
    /// Exchanges tokens; authenticates with a JWT-SVID.
    Exchange {
        /// The workload that it is.
        workload: SpiffeId,
        /// The audiences that it can ask for.
        audiences: Vec<String>,
    },
    /// Can be an audience, and nothing else.
    Audience,
}

/// A scope that needs a realm role.
#[derive(Clone, Debug)]
pub struct RoleScope {
    /// The scope.
    pub name: String,
    /// The role.
    pub role: String,
}

impl Realm {
    /// The demo's realm: alice (support; reads and writes tickets) and bob (reads tickets), `console` and `txn-broker`.
    /// `broker` is the workload that `txn-broker` is.
    #[must_use]
    pub fn demo(broker: SpiffeId) -> Self {
        let user = |name: &str, subject: &str, groups: &[&str], roles: &[&str]| User {
            name: name.to_owned(),
            password: name.to_owned(),
            subject: subject.to_owned(),
            groups: owned(groups),
            roles: owned(roles),
            enabled: true,
        };
        let audience = "txn-broker".to_owned();
        let exchange = ClientKind::Exchange { workload: broker, audiences: vec![audience.clone()] };
        Self {
            name: "agents".to_owned(),
            users: vec![
                user("alice", "alice", &["support"], &["tickets-reader", "tickets-writer"]),
                user("bob", "bob", &[], &["tickets-reader"]),
            ],
            clients: vec![
                Client {
                    id: "console".to_owned(),
                    kind: ClientKind::Login { audience: audience.clone(), backchannel_logout: None },
                },
                Client { id: audience, kind: exchange },
            ],
            scopes: vec![
                RoleScope { name: "tickets:read".to_owned(), role: "tickets-reader".to_owned() },
                RoleScope { name: "tickets:write".to_owned(), role: "tickets-writer".to_owned() },
            ],
        }
    }

    /// The same with more scopes, which every user may have. One that is known already stays as it is.
    #[must_use]
    pub fn with_scopes(mut self, scopes: &[String]) -> Self {
        for scope in scopes {
            if self.role_of(scope).is_none() && scope != "openid" {
                self.scopes.push(RoleScope { name: scope.clone(), role: scope.clone() });
                self.users.iter_mut().for_each(|user| user.roles.push(scope.clone()));
            }
        }
        self
    }

    /// The broker's workload in the demo: `spiffe://DOMAIN/ns/agents/sa/broker`; `None` where the name gets too long.
    #[must_use]
    pub fn demo_broker(domain: &TrustDomain) -> Option<SpiffeId> {
        SpiffeId::from_segments(domain.clone(), &["ns", "agents", "sa", "broker"]).ok()
    }

    /// Says where the login client `client` is told that a session of its own ended; `None`: nowhere.
    ///
    /// # Errors
    /// [`HandleFault::NoClient`], [`HandleFault::ForeignUrl`].
    pub fn set_backchannel_logout(&mut self, client: &str, url: Option<&str>) -> Result<(), HandleFault> {
        let url = url.map(|text| loopback(text).ok_or(HandleFault::ForeignUrl)).transpose()?;
        let known = self.clients.iter_mut().find(|known| known.id == client).map(|client| &mut client.kind);
        match known {
            Some(ClientKind::Login { backchannel_logout, .. }) => {
                *backchannel_logout = url;
                Ok(())
            }
            Some(ClientKind::Exchange { .. } | ClientKind::Audience) | None => Err(HandleFault::NoClient),
        }
    }

    /// Where a login client is told that a session of its own ended.
    pub(super) fn backchannel_logout(&self, client: &str) -> Option<&Url> {
        match &self.client(client)?.kind {
            ClientKind::Login { backchannel_logout, .. } => backchannel_logout.as_ref(),
            ClientKind::Exchange { .. } | ClientKind::Audience => None,
        }
    }

    pub(super) fn client(&self, id: &str) -> Option<&Client> {
        self.clients.iter().find(|client| client.id == id)
    }

    /// The exchange client that a workload is, with the audiences that it can ask for.
    pub(super) fn exchanger(&self, id: &SpiffeId) -> Option<(&str, &[String])> {
        self.clients.iter().find_map(|client| match &client.kind {
            ClientKind::Exchange { workload, audiences } if workload == id => {
                Some((client.id.as_str(), audiences.as_slice()))
            }
            ClientKind::Exchange { .. } | ClientKind::Login { .. } | ClientKind::Audience => None,
        })
    }

    /// The trust domains of the exchange clients.
    pub(super) fn exchanger_domains(&self) -> impl Iterator<Item = &TrustDomain> {
        self.clients.iter().filter_map(|client| match &client.kind {
            ClientKind::Exchange { workload, .. } => Some(workload.trust_domain()),
            ClientKind::Login { .. } | ClientKind::Audience => None,
        })
    }

    pub(super) fn user(&self, name: &str) -> Option<&User> {
        self.users.iter().find(|user| user.name == name)
    }

    pub(super) fn user_mut(&mut self, name: &str) -> Option<&mut User> {
        self.users.iter_mut().find(|user| user.name == name)
    }

    /// The role that a scope needs; `None` for a scope that the realm does not know.
    pub(super) fn role_of(&self, scope: &str) -> Option<&str> {
        self.scopes.iter().find(|known| known.name == scope).map(|known| known.role.as_str())
    }
}

impl User {
    pub(super) fn holds(&self, role: &str) -> bool {
        self.roles.iter().any(|held| held == role)
    }
}

fn owned(list: &[&str]) -> Vec<String> {
    list.iter().map(|item| (*item).to_owned()).collect()
}

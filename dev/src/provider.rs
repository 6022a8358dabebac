//! DEVELOPMENT ONLY. A small OpenID provider that stands in for Keycloak 26.7 where Countersign looks: URL layout,
//! claims, answers and refusals are those of `keycloak.md` §2–§4, and it keeps the two logs of §7.3. It listens on loopback only, its users' passwords are
//! their names, and it never holds a client secret: `txn-broker` authenticates with its JWT-SVID.
//!
//! `serve → http (routes) → sign_in | grants | exchange | logout | events | control → state (sessions, users), token → key`.

mod answer;
mod assertion;
mod control;
mod events;
mod exchange;
mod form;
mod grants;
mod handle;
mod http;
mod key;
mod logout;
mod random;
mod realm;
mod sign_in;
mod state;
mod token;

#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, io, net::SocketAddr, sync::Arc};

use aws_lc_rs::error::Unspecified;
use hyper_util::service::TowerToHyperService;
use identity::KeySet;
use runtime::{
    process::Process,
    serve::{self, Listener},
    shutdown::Shutdown,
    workload::{self, Workload},
};

pub use handle::{HandleFault, ProviderHandle};
pub use realm::{Client, ClientKind, Realm, RoleScope, User};

use key::RealmKey;
use state::State;

/// What the provider is started with.
#[derive(Debug)]
pub struct Options {
    /// Where it listens: loopback only; port 0 chooses one.
    pub listen: SocketAddr,
    /// Users, clients, scopes.
    pub realm: Realm,
    /// What verifies the JWT-SVID of a client.
    pub svid_keys: SvidKeys,
    /// Whether `POST /dev/sign` signs whatever it is given, so that tests can forge tokens with the real key.
    pub danger_sign_anything: bool,
}

/// Where the keys that verify JWT-SVIDs come from.
#[derive(Debug)]
pub enum SvidKeys {
    /// The Workload API: asked at each exchange, so that a rotation is seen at once.
    Workload(Workload),
    /// A set that never changes.
    Fixed(KeySet),
}

/// Why the provider could not start.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// An address beyond this host.
    #[error("`{0}` is not a loopback address, and the development provider listens nowhere else")]
    NotLoopback(SocketAddr),
    /// The address cannot be had, or the ready file cannot be written.
    #[error("the development provider cannot start at `{address}`")]
    Start {
        /// The address.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// No key could be made.
    #[error("the development provider cannot make its key")]
    Key(#[from] Unspecified),
}

/// A provider whose port is open and does not answer yet.
#[derive(Debug)]
pub struct Server {
    listener: Listener,
    provider: Arc<Provider>,
}

/// What all requests share.
#[derive(Debug)]
struct Provider {
    address: SocketAddr,
    issuer: String,
    key: RealmKey,
    svid_keys: SvidKeys,
    danger_sign_anything: bool,
    state: State,
}

impl Server {
    /// Opens the port and makes the key.
    ///
    /// # Errors
    /// The [`Fault`].
    pub async fn bind(options: Options) -> Result<Self, Fault> {
        let address = options.listen;
        if !address.ip().is_loopback() {
            return Err(Fault::NotLoopback(address));
        }
        let bound = Listener::bind(&address.to_string()).await;
        let listener = bound.map_err(|source| Fault::Start { address, source })?;
        let address = listener.address();
        let provider = Provider {
            address,
            issuer: format!("http://{address}/realms/{}", options.realm.name),
            key: RealmKey::generate()?,
            svid_keys: options.svid_keys,
            danger_sign_anything: options.danger_sign_anything,
            state: State::new(options.realm),
        };
        Ok(Self { listener, provider: Arc::new(provider) })
    }

    /// The issuer URL: `http://127.0.0.1:PORT/realms/NAME`.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.provider.issuer
    }

    /// Controls the provider from within the same process.
    #[must_use]
    pub fn handle(&self) -> ProviderHandle {
        ProviderHandle::new(Arc::clone(&self.provider))
    }

    /// Serves until `shutdown`. Dropped half-way, it accepts no more.
    pub async fn serve(self, shutdown: Shutdown) {
        tracing::warn!(issuer = self.provider.issuer, "development only: this provider's passwords are public");
        if self.provider.danger_sign_anything {
            tracing::warn!("`POST /dev/sign` signs any token: for tests only");
        }
        let router = http::router(self.provider);
        serve::plain(self.listener, shutdown, move |_from| TowerToHyperService::new(router.clone())).await;
    }
}

/// Runs the provider as a process of its own (`countersign dev provider`): binds, writes the ready file
/// (`{"issuer":"http://127.0.0.1:P/realms/agents"}`) once the Workload API gave an identity, serves until shutdown.
///
/// # Errors
/// The [`Fault`].
pub async fn serve(options: Options, process: &Process) -> Result<(), Fault> {
    let server = Server::bind(options).await?;
    let address = server.provider.address;
    // Without the keys of the trust domain no exchange can succeed, so it is not ready before.
    tokio::select! {
        () = server.provider.svid_keys.known() => {}
        () = process.shutdown.cancelled() => return Ok(()),
    }
    let ready = process.ready_file.write(&BTreeMap::from([("issuer", server.issuer().to_owned())]));
    ready.map_err(|source| Fault::Start { address, source })?;
    server.serve(process.shutdown.clone()).await;
    Ok(())
}

impl SvidKeys {
    /// Waits until keys can be had; for ever, if this process is not registered. May be dropped at any time.
    async fn known(&self) {
        match self {
            Self::Fixed(_) => {}
            Self::Workload(workload) => {
                drop(workload.watch().wait_for(|state| matches!(state, workload::State::Held(_))).await);
            }
        }
    }

    /// The keys now; none when they cannot be had, and then no client is known.
    async fn current(&self) -> KeySet {
        match self {
            Self::Fixed(keys) => keys.clone(),
            Self::Workload(workload) => workload.jwt_keys().await.unwrap_or_else(|fault| {
                tracing::warn!(%fault, "no keys for JWT-SVIDs: every client assertion is refused");
                KeySet::default()
            }),
        }
    }
}

//! The broker's doors: all are bound before any of them serves.

use std::{collections::BTreeMap, fmt::Display, sync::Arc};

use anyhow::Context as _;
use runtime::{
    admin,
    mtls::Acceptor,
    process::Process,
    serve::{self, Listener, Streams, UnixDoor},
    shutdown::Shutdown,
};

use crate::{
    config::{Assertions, Doors, PublicTls},
    http,
    keys::Rotation,
    parties::Parties,
    watch,
};

/// Bound doors, which serve nobody yet.
pub(super) struct Bound {
    config: Doors,
    token: Listener,
    public: Listener,
    assertions: Option<(Assertions, Listener)>,
    orders: UnixDoor,
    /// Where they listen, by name.
    pub(super) addresses: BTreeMap<&'static str, String>,
}

impl Bound {
    /// Binds every door.
    ///
    /// # Errors
    /// An address or a socket cannot be listened on.
    pub(super) async fn open(mut config: Doors, process: &Process) -> anyhow::Result<Self> {
        let Process { telemetry, shutdown, .. } = process;
        let assertions = match config.assertions.take() {
            Some(door) => {
                let listener = bind("assertions.listen", &door.door.listen)
                    .await?
                    .counted(telemetry, "assertions")
                    .with(Streams::STRANGERS);
                Some((door, listener))
            }
            None => None,
        };
        let token = bind("listen", &config.listen).await?.counted(telemetry, "token").with(Streams::FORMS);
        let public =
            bind("public.listen", &config.public.listen).await?.counted(telemetry, "public").with(Streams::STRANGERS);
        let orders = UnixDoor::bind(&config.orders).with_context(|| cannot("keys.socket", &config.orders.display()))?;
        let admin = admin::serve(&config.admin, telemetry.clone(), shutdown)
            .await
            .with_context(|| cannot("admin.listen", &config.admin))?;
        let mut addresses = BTreeMap::from([
            ("token", token.address().to_string()),
            ("public", public.address().to_string()),
            ("admin", admin),
        ]);
        addresses.extend(assertions.iter().map(|(_config, door)| ("assertions", door.address().to_string())));
        Ok(Self { config, token, public, assertions, orders, addresses })
    }

    /// Serves at all of them until the shutdown.
    pub(super) fn serve(self, parties: Arc<Parties>, process: &Process) {
        let Self { config, token, public, assertions, orders, addresses: _ } = self;
        let Process { telemetry, shutdown, .. } = process;
        let advertised = assertions.as_ref().map(|(config, _listener)| config.url.as_str());
        serve_orders(orders, parties.rotation.clone(), shutdown);
        let everybody = http::everybody(&parties, advertised, telemetry);
        let watch = watch::router(Arc::clone(&parties), shutdown.clone());
        let acceptor = Acceptor::new(parties.workload.clone());
        let door = http::InsideDoor::new(parties, config.rate);
        let inside = http::inside(&door, advertised, watch);
        shutdown.spawn(
            "token door",
            serve::mtls(token, acceptor, shutdown.clone(), move |peer| http::with_peer(inside.clone(), peer)),
        );
        serve_anonymous("public door", config.public.tls, public, everybody, shutdown);
        if let Some((config, listener)) = assertions {
            let router = http::assertions(&door, telemetry);
            serve_anonymous("assertions door", config.door.tls, listener, router, shutdown);
        }
    }
}

async fn bind(key: &str, address: &str) -> anyhow::Result<Listener> {
    Listener::bind(address).await.with_context(|| cannot(key, &address))
}

fn cannot(key: &str, place: &dyn Display) -> String {
    format!("cannot listen on `{place}` (`{key}`)")
}

fn serve_orders(door: UnixDoor, rotation: Rotation, shutdown: &Shutdown) {
    let router = http::keys(rotation);
    let make = move || http::anonymous(router.clone());
    shutdown.spawn("keys door", serve::unix(door, shutdown.clone(), make));
}

fn serve_anonymous(name: &'static str, tls: PublicTls, listener: Listener, router: axum::Router, shutdown: &Shutdown) {
    let make = move |_from| http::anonymous(router.clone());
    match tls {
        PublicTls::Files(tls) => shutdown.spawn(name, serve::tls(listener, tls, shutdown.clone(), make)),
        PublicTls::Loopback => shutdown.spawn(name, serve::plain(listener, shutdown.clone(), make)),
    }
}

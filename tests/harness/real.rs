//! Real peers: one Keycloak for all tests of this program, with a realm for each, and a SPIRE for each.

use dev::stack::{Peers, SharedKeycloak, StackOptions};
use tokio::sync::OnceCell;

use crate::Desk;

static KEYCLOAK: OnceCell<SharedKeycloak> = OnceCell::const_new();

/// Base URL of the Keycloak that all tests share. The first to ask starts it.
///
/// # Panics
/// Where it cannot be had: `cargo xtask peers fetch` says why.
pub async fn shared_keycloak() -> String {
    let start = || async { SharedKeycloak::start().await.unwrap_or_else(|fault| panic!("no Keycloak: {fault}")) };
    KEYCLOAK.get_or_init(start).await.base().to_owned()
}

impl Desk {
    /// The story's options on a SPIRE and a realm of this test's own, to be changed.
    pub async fn real_options() -> StackOptions {
        StackOptions { peers: Peers::RealAt(shared_keycloak().await), ..StackOptions::story() }
    }

    /// As [`Desk::open`], on real peers.
    pub async fn open_real() -> Self {
        Self::open_with(StackOptions { members: Vec::new(), ..Self::real_options().await }).await
    }

    /// As [`Desk::open_story`], on real peers.
    pub async fn open_real_story() -> Self {
        Self::open_with(Self::real_options().await).await
    }
}

//! Real peers: one Keycloak for all tests of this program, with a realm for each, and a SPIRE for each.

use dev::{
    apps::{Answer, Call},
    stack::{Peers, SharedKeycloak, StackOptions},
};
use http::Method;
use serde_json::json;
use tokio::sync::OnceCell;

use crate::Desk;

const QUESTION: &str = "Which of my tickets are open?";

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

    /// What a user with this token gets who asks planner at its edge.
    pub async fn ask_planner(&self, token: &str) -> Answer {
        let url = format!("{}/ask", self.stack.edge("planner").expect("an edge"));
        let call = Call::new(Method::POST, &url).header("authorization", &format!("Bearer {token}"));
        call.json(&json!({"question": QUESTION})).send().await.expect("answered")
    }

    /// What a sidecar's or the broker's readiness says.
    pub async fn readiness(&self, process: &str) -> Answer {
        let url = format!("http://{}/ready", self.stack.address(process, "admin").expect("an admin door"));
        Call::new(Method::GET, &url).send().await.expect("answered")
    }
}

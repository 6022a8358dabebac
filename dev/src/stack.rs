//! DEVELOPMENT ONLY. A whole stack on this machine, each part a process of its own: Workload API, OpenID provider,
//! broker, apps, sidecars. For `countersign demo` and for the end-to-end tests.
//! It leaves no process behind, however it ends, and gives no child more of the environment than it needs.
//!
//! `start → folder, ports → identity → provider, apps → files → broker → sidecars`, each waited for with a bound.

mod child;
mod fault;
mod files;
mod folder;
mod foundation;
mod guest;
mod identities;
mod leftover;
mod options;
mod peers_alone;
mod policies;
mod ports;
mod questions;
mod shared_keycloak;
mod start;
mod users;
mod yaml;

use std::{collections::BTreeMap, fs, path::Path};

use http::Method;
use identity::SpiffeId;
use runtime::{process::Process, ready_file::ReadyFile, workload::Workload};
use serde_json::Value;

pub(crate) use self::leftover::{hold, is_work_folder};
use self::{child::Child, folder::Folder, identities::Identities};
pub use self::{
    fault::{LOG_TAIL_LINES, Problem, StackFault},
    folder::Leave,
    guest::{Guest, GuestDoors, GuestSidecar, SidecarRecipe},
    options::{App, Edge, KeycloakSpeed, Member, Peers, StackOptions},
    peers_alone::PeersAlone,
    policies::default_policies,
    ports::Port,
    questions::Seen,
    shared_keycloak::SharedKeycloak,
};
use crate::{
    apps::Call,
    identity::Registrar,
    real::{admin::Admin, realm, spire::Spire},
};

/// The broker's process.
pub const BROKER: &str = "broker";
/// The OpenID provider's process.
pub const PROVIDER: &str = "provider";
/// The development Workload API's process.
pub const IDENTITY: &str = "identity";
/// Keycloak's process.
pub const KEYCLOAK: &str = "keycloak";
/// SPIRE's server.
pub const SPIRE_SERVER: &str = "spire-server";
/// SPIRE's agent: the Workload API.
pub const SPIRE_AGENT: &str = "spire-agent";
/// The server that publishes SPIRE's JWT keys.
pub const SPIRE_KEYS: &str = "spire-keys";

/// A running stack. Dropping it ends every process; [`Stack::stop`] does so in order.
///
/// ```no_run
/// # async fn example() -> Result<(), dev::stack::StackFault> {
/// use dev::{apps::Call, stack::{Leave, Stack, StackOptions}};
///
/// let mut options = StackOptions::story();
/// options.broker = serde_json::json!({ "life": { "access_token": "2s" } });
/// let stack = Stack::start(options).await?;
/// let token = stack.sign_in("alice", "tickets:read tickets:write").await?;
/// let ask = format!("{}/ask", stack.edge("planner").expect("planner has an edge"));
/// let answer = Call::new(http::Method::POST, &ask)
///     .header("authorization", &format!("Bearer {token}"))
///     .json(&serde_json::json!({ "question": "Which of my tickets are open?" }))
///     .send()
///     .await;
/// assert!(answer.is_ok_and(|answer| answer.status.is_success()));
/// stack.stop(Leave::Nothing).await;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Stack {
    options: StackOptions,
    folder: Folder,
    /// In the order in which they were started.
    children: Vec<Child>,
    /// Dropped last but for the folder: the development Workload API ends with it.
    identities: Identities,
    workload_api: String,
    issuer: String,
    admin: Option<Admin>,
    #[expect(dead_code, reason = "held, not read: while a process is down nobody else is given its ports")]
    ports: BTreeMap<String, Port>,
}

impl Stack {
    /// Starts everything and waits until all of it is ready. Dropped half-way, every process that was started ends.
    ///
    /// # Errors
    /// The [`StackFault`] says which process failed and how its log ends. The work folder stays then.
    pub async fn start(options: StackOptions) -> Result<Self, StackFault> {
        start::start(options).await
    }

    /// Signs `user` in at the provider by the client `console` (at Keycloak `test-login`), and returns the user's access
    /// token.
    ///
    /// # Errors
    /// [`Problem::Refused`] when the provider says no.
    pub async fn sign_in(&self, user: &str, scope: &str) -> Result<String, StackFault> {
        self.sign_in_with(user, scope, &[]).await
    }

    /// As [`Stack::sign_in`], with more parameters: `dev_life` sets the life of the token in seconds.
    ///
    /// # Errors
    /// As [`Stack::sign_in`].
    pub async fn sign_in_with(&self, user: &str, scope: &str, more: &[(&str, &str)]) -> Result<String, StackFault> {
        let mut form = self.sign_in_form(user, scope);
        form.extend_from_slice(more);
        let provider = if self.options.peers == Peers::Embedded { PROVIDER } else { KEYCLOAK };
        let url = format!("{}/protocol/openid-connect/token", self.issuer);
        let answer = Call::new(Method::POST, &url)
            .form(&form)
            .send()
            .await
            .map_err(|fault| self.fault(provider, fault.into()))?;
        answer.text("/access_token").ok_or_else(|| self.fault(provider, Problem::Refused(answer.status)))
    }

    /// What [`Stack::sign_in`] posts to the provider's token endpoint.
    #[must_use]
    pub fn sign_in_form<'a>(&self, user: &'a str, scope: &'a str) -> Vec<(&'a str, &'a str)> {
        let mut form = vec![("grant_type", "password")];
        match self.options.peers {
            Peers::Embedded => form.extend([("client_id", "console"), ("username", user), ("password", user)]),
            Peers::Real | Peers::RealAt(_) => {
                let password = realm::password(user).unwrap_or_default();
                let secret = peers::development::TEST_LOGIN_SECRET;
                form.extend([("client_id", realm::TEST_LOGIN), ("client_secret", secret)]);
                form.extend([("username", user), ("password", password)]);
            }
        }
        form.push(("scope", scope));
        form
    }

    /// Base URL of a workload's edge door; `None` where it has none.
    #[must_use]
    pub fn edge(&self, workload: &str) -> Option<String> {
        self.address(&child::sidecar_name(workload), "edge").map(|address| format!("http://{address}"))
    }

    /// `host:port` of a workload's mesh door.
    #[must_use]
    pub fn mesh(&self, workload: &str) -> Option<&str> {
        self.address(&child::sidecar_name(workload), "mesh")
    }

    /// Base URL of a workload's agent door: the `HTTP_PROXY` of its app.
    #[must_use]
    pub fn agent(&self, workload: &str) -> Option<String> {
        self.address(&child::sidecar_name(workload), "agent").map(|address| format!("http://{address}"))
    }

    /// Base URL of an app itself, past any sidecar.
    #[must_use]
    pub fn app(&self, workload: &str) -> Option<String> {
        self.address(workload, "app").map(|address| format!("http://{address}"))
    }

    /// `host:port` of the broker's token endpoint.
    #[must_use]
    pub fn broker_token_address(&self) -> &str {
        self.address(BROKER, "token").unwrap_or_default()
    }

    /// Base URL of the broker's public door.
    #[must_use]
    pub fn broker_public(&self) -> Option<String> {
        self.address(BROKER, "public").map(|address| format!("http://{address}"))
    }

    /// The provider's issuer URL.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The Workload API: `unix:///…`.
    #[must_use]
    pub fn workload_api(&self) -> &str {
        &self.workload_api
    }

    /// Gives and takes identities, rotates keys, where the Workload API is the development one.
    #[must_use]
    pub const fn registrar(&self) -> Option<&Registrar> {
        match &self.identities {
            Identities::Embedded(registrar) => Some(registrar),
            Identities::Spire { .. } => None,
        }
    }

    /// The same, where it is SPIRE's.
    #[must_use]
    pub const fn spire(&self) -> Option<&Spire> {
        match &self.identities {
            Identities::Embedded(_) => None,
            Identities::Spire { spire, .. } => Some(spire),
        }
    }

    /// The administrator of the realm, where the provider is a Keycloak.
    #[must_use]
    pub const fn admin(&self) -> Option<&Admin> {
        self.admin.as_ref()
    }

    /// What the stack was started with.
    #[must_use]
    pub fn options(&self) -> &StackOptions {
        &self.options
    }

    /// The work folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// An identity for this very process, to speak mTLS with: registers its pid for `id` and follows it by `hint`,
    /// which must be unique in the stack.
    ///
    /// # Errors
    /// [`Problem::Register`].
    pub async fn own_workload(&self, id: &SpiffeId, hint: &str) -> Result<Workload, StackFault> {
        self.identities.give_us(id, hint).await.map_err(|problem| self.fault(IDENTITY, problem))?;
        let process = Process::new(ReadyFile::default());
        Ok(Workload::connect_with_hint(&self.workload_api, hint, &process))
    }

    /// Gives a process that was started beside the stack the identity `id`.
    ///
    /// # Errors
    /// The identity server took it not.
    pub async fn give(&self, pid: u32, id: &SpiffeId) -> Result<(), StackFault> {
        self.identities.give(pid, id).await.map_err(|problem| self.fault(IDENTITY, problem))
    }

    /// The broker's records so far, in order. A last line that is not whole yet is left out.
    #[must_use]
    pub fn records(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.folder.record()).unwrap_or_default();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// Where the records lie.
    #[must_use]
    pub fn record_file(&self) -> std::path::PathBuf {
        self.folder.record()
    }

    /// Everything that a process has written to stdout and stderr; empty for an unknown one.
    #[must_use]
    pub fn log_of(&self, process: &str) -> String {
        fs::read_to_string(self.folder.log(process)).unwrap_or_default()
    }

    /// Names of all processes, in the order in which they were started.
    pub fn processes(&self) -> impl Iterator<Item = &str> {
        self.children.iter().map(Child::name)
    }

    /// Process id of a running process.
    #[must_use]
    pub fn pid(&self, process: &str) -> Option<u32> {
        self.child(process)?.pid()
    }

    /// An address from a process's ready file, such as `admin` of `broker`.
    #[must_use]
    pub fn address(&self, process: &str, name: &str) -> Option<&str> {
        self.child(process)?.address(name)
    }

    /// The first process that ended without being told to, with the end of its log.
    pub fn first_ended(&mut self) -> Option<StackFault> {
        let (name, status) =
            self.children.iter_mut().find_map(|child| Some((child.name().to_owned(), child.ended()?)))?;
        Some(self.fault(&name, Problem::EndedLater(status)))
    }

    /// Ends one process, in order, and keeps its place: [`Stack::revive`] starts it again at the same addresses.
    pub async fn halt(&mut self, process: &str) {
        if let Some(child) = self.children.iter_mut().find(|child| child.name() == process) {
            child.stop().await;
        }
    }

    /// Starts a process again that ended, with the same identity, files and ports. The development Workload API's keys are
    /// gone: it comes back with others, and our own workloads ([`Stack::own_workload`]) must be given theirs again.
    ///
    /// # Errors
    /// As [`Stack::start`].
    pub async fn revive(&mut self, process: &str) -> Result<(), StackFault> {
        start::revive(self, process).await
    }

    /// Ends every process, the Workload API last, then removes what is not left.
    pub async fn stop(mut self, leave: Leave) {
        for child in self.children.iter_mut().filter(|child| child.name() != IDENTITY) {
            child.tell_to_stop();
        }
        for child in self.children.iter_mut().rev() {
            child.stop().await;
        }
        self.folder.leave(leave);
    }

    /// A fault of `process`, with the end of its log.
    #[must_use]
    pub fn fault(&self, process: &str, problem: Problem) -> StackFault {
        StackFault::of(process, problem, &self.folder)
    }

    fn child(&self, process: &str) -> Option<&Child> {
        self.children.iter().find(|child| child.name() == process)
    }
}

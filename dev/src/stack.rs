//! DEVELOPMENT ONLY. A whole stack on this machine, each part a process of its own: Workload API, OpenID provider,
//! broker, apps, sidecars. For `countersign demo` and for the end-to-end tests.
//! It leaves no process behind, however it ends, and gives no child more of the environment than it needs.
//!
//! `start → folder, ports → identity → provider, apps → files → broker → sidecars`, each waited for with a bound.

mod child;
mod fault;
mod files;
mod folder;
mod options;
mod policies;
mod ports;
mod start;
mod yaml;

use std::{collections::BTreeMap, fs, path::Path};

use http::{Method, StatusCode};
use identity::SpiffeId;
use runtime::{process::Process, ready_file::ReadyFile, workload::Workload};
use serde::Deserialize;
use serde_json::Value;

use self::{child::Child, folder::Folder};
pub use self::{
    fault::{LOG_TAIL_LINES, Problem, StackFault},
    folder::Leave,
    options::{App, Edge, Member, StackOptions},
    policies::default_policies,
    ports::Port,
};
use crate::{
    apps::{Attempt, Call, Loot},
    identity::Registrar,
};

/// The broker's process.
pub const BROKER: &str = "broker";
/// The OpenID provider's process.
pub const PROVIDER: &str = "provider";
/// The Workload API's process.
pub const IDENTITY: &str = "identity";

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
    /// Dropped last but for the folder: the Workload API ends with it.
    registrar: Registrar,
    workload_api: String,
    issuer: String,
    #[expect(dead_code, reason = "held, not read: while a process is down nobody else is given its ports")]
    ports: BTreeMap<String, Port>,
}

/// What an app's process received so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct Seen {
    /// Compact JWS strings.
    pub tokens: usize,
    /// Requests.
    pub requests: usize,
    /// Connections, also without a request.
    pub connections: usize,
}

impl Stack {
    /// Starts everything and waits until all of it is ready. Dropped half-way, every process that was started ends.
    ///
    /// # Errors
    /// The [`StackFault`] says which process failed and how its log ends. The work folder stays then.
    pub async fn start(options: StackOptions) -> Result<Self, StackFault> {
        start::start(options).await
    }

    /// Signs `user` in at the provider by the client `console`, and returns the user's access token.
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
        let mut form = vec![
            ("grant_type", "password"),
            ("client_id", "console"),
            ("username", user),
            ("password", user),
            ("scope", scope),
        ];
        form.extend_from_slice(more);
        let url = format!("{}/protocol/openid-connect/token", self.issuer);
        let answer = Call::new(Method::POST, &url)
            .form(&form)
            .send()
            .await
            .map_err(|fault| self.fault(PROVIDER, fault.into()))?;
        answer.text("/access_token").ok_or_else(|| self.fault(PROVIDER, Problem::Refused(answer.status)))
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

    /// Gives and takes identities, rotates keys.
    #[must_use]
    pub fn registrar(&self) -> &Registrar {
        &self.registrar
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
        let registered = self.registrar.register(std::process::id(), &[(id.clone(), Some(hint))]).await;
        registered.map_err(|fault| self.fault(IDENTITY, fault.into()))?;
        let process = Process::new(ReadyFile::default());
        Ok(Workload::connect_with_hint(&self.workload_api, hint, &process))
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

    /// What an app's process received so far.
    ///
    /// # Errors
    /// [`Problem::Call`] when it does not answer, [`Problem::Refused`] when it is no app of ours.
    pub async fn seen(&self, app: &str) -> Result<Seen, StackFault> {
        let answer = self.ask(app, "control", "/seen").await?;
        serde_json::from_slice(&answer.body).map_err(|_other| self.fault(app, Problem::Refused(answer.status)))
    }

    /// What the Workload API says to an app's process: `PermissionDenied`, as it must be.
    ///
    /// # Errors
    /// As [`Stack::seen`].
    pub async fn identity_of_app(&self, app: &str) -> Result<String, StackFault> {
        let answer = self.ask(app, "control", "/identity").await?;
        Ok(answer.text("/identity").unwrap_or_default())
    }

    /// The metrics of a broker or sidecar, as text.
    ///
    /// # Errors
    /// As [`Stack::seen`].
    pub async fn metrics(&self, process: &str) -> Result<String, StackFault> {
        let answer = self.ask(process, "admin", "/metrics").await?;
        Ok(String::from_utf8_lossy(&answer.body).into_owned())
    }

    /// Has the process `attacker` try `attempt` (`steal` or `pass-through`).
    ///
    /// # Errors
    /// [`Problem::Attack`] when the attempt could not even be made.
    pub async fn attack(&self, attacker: &str, attempt: &str, loot: &Loot) -> Result<Attempt, StackFault> {
        let url = format!("{}/{attempt}", self.app(attacker).unwrap_or_default());
        let body = serde_json::to_value(loot).unwrap_or_default();
        let answer = Call::new(Method::POST, &url).json(&body).send().await;
        let answer = answer.map_err(|fault| self.fault(attacker, fault.into()))?;
        serde_json::from_slice(&answer.body)
            .map_err(|_other| self.fault(attacker, Problem::Attack(String::from_utf8_lossy(&answer.body).into_owned())))
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

    /// Starts a process again that ended, with the same identity, files and ports.
    ///
    /// # Errors
    /// As [`Stack::start`]. The Workload API cannot be revived: its keys are gone.
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

    async fn ask(&self, process: &str, door: &str, path: &str) -> Result<crate::apps::Answer, StackFault> {
        let address = self.address(process, door).unwrap_or_default();
        let asked = Call::new(Method::GET, &format!("http://{address}{path}")).send().await;
        let answer = asked.map_err(|fault| self.fault(process, fault.into()))?;
        if answer.status == StatusCode::OK {
            Ok(answer)
        } else {
            Err(self.fault(process, Problem::Refused(answer.status)))
        }
    }

    fn child(&self, process: &str) -> Option<&Child> {
        self.children.iter().find(|child| child.name() == process)
    }
}

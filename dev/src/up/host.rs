//! The one owner of the stack of an instance: starts it, answers who wants to join, notices what ends, and ends all in
//! order: guests first, then broker, provider and identity server, then the place.

mod members;

use std::{collections::BTreeMap, io, time::Duration};

use identity::TrustDomain;
use runtime::{causes::causes, shutdown::Shutdown};
use serde_json::json;
use tokio::{
    sync::mpsc,
    time::{MissedTickBehavior, interval},
};

use self::members::Members;
use super::{
    door::{self, Request},
    paste,
    place::{Cleared, Place, PlaceFault, Taken},
    realm,
    wire::{Answer, Ask, Invitation, Status, Wish, WorkloadStatus},
    workloads::{Workloads, is_mesh, own_id},
};
use crate::{
    real::{admin::AdminFault, spire::Spire},
    stack::{Guest, KEYCLOAK, Leave, Stack, StackFault, StackOptions},
};

/// How often it is looked whether a process ended.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Questions that may wait: each connection has one at most.
const QUESTIONS_MAX: usize = 128;
/// Longest wait for guests at the end. Each connection gives up by itself before.
const GUESTS_END_MAX: Duration = Duration::from_secs(25);

/// What to start, and where.
#[derive(Clone, Debug)]
pub struct UpOptions {
    /// Where it can be found.
    pub place: Place,
    /// The stack. Its members are left out, and the mesh targets' `connect` is filled in.
    pub stack: StackOptions,
}

/// A running instance.
#[derive(Debug)]
pub struct Up {
    taken: Taken,
    stack: Stack,
    trust_domain: TrustDomain,
    workloads: Workloads,
    members: Members,
    /// Names of users whose subject is no name.
    users: BTreeMap<String, String>,
    requests: mpsc::Receiver<Request>,
    shutdown: Shutdown,
}

/// What happens while it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// The place is ours; the processes are being started.
    Starting,
    /// What a killed instance left was removed.
    Cleared(&'a Cleared),
    /// A workload's sidecar runs.
    Joined(&'a str),
    /// It has ended.
    Left(&'a str),
}

/// Why an instance did not start or go on.
#[derive(Debug, thiserror::Error)]
pub enum UpFault {
    /// The place cannot be had.
    #[error(transparent)]
    Place(#[from] PlaceFault),
    /// The trust domain is none.
    #[error("`{0}` is no trust domain: write it in lower case, as in corp.example")]
    TrustDomain(String),
    /// No port could be reserved.
    #[error("no port can be reserved")]
    Port(#[source] io::Error),
    /// The stack.
    #[error(transparent)]
    Stack(#[from] Box<StackFault>),
}

impl Up {
    /// Takes the place, starts the stack and waits until it is ready. Dropped half-way, nothing stays.
    ///
    /// # Errors
    /// [`UpFault`]; [`PlaceFault::Taken`] when one of this name runs.
    pub async fn start(options: UpOptions, tell: &mut impl FnMut(Event<'_>)) -> Result<Self, UpFault> {
        let UpOptions { place, mut stack } = options;
        let (taken, cleared) = place.take()?;
        tell(Event::Starting);
        if cleared.anything {
            tell(Event::Cleared(&cleared));
        }
        let named = stack.trust_domain.parse();
        let trust_domain: TrustDomain = named.map_err(|_malformed| UpFault::TrustDomain(stack.trust_domain.clone()))?;
        stack.members.clear();
        let workloads = Workloads::of(&trust_domain, &stack.targets, &stack.edges);
        let members = Members::reserve(&workloads).map_err(UpFault::Port)?;
        for target in stack.targets.iter_mut().filter(|target| is_mesh(target)) {
            let mesh = own_id(target, &trust_domain).and_then(|id| members.mesh(&id));
            if let (Some(mesh), Some(target)) = (mesh, target.as_object_mut()) {
                target.insert("connect".to_owned(), json!(mesh.to_string()));
            }
        }
        // Providers know the demo's scopes; these must be known to them besides.
        let scopes = workloads.edge_scopes();
        stack.provider_arguments.extend(scopes.iter().flat_map(|scope| ["--scope".to_owned(), scope.clone()]));
        let stack = Box::pin(Stack::start(stack)).await.map_err(Box::new)?;
        let mut users = BTreeMap::new();
        if let Some(admin) = stack.admin() {
            let fault = |fault: AdminFault| Box::new(stack.fault(KEYCLOAK, fault.into()));
            realm::learn_scopes(admin, &scopes).await.map_err(fault)?;
            users = realm::users(admin).await.map_err(fault)?;
        }
        taken.note(stack.folder())?;
        let listener = taken.listen()?;
        let shutdown = Shutdown::new();
        let (sender, requests) = mpsc::channel(QUESTIONS_MAX);
        shutdown.spawn("door", door::serve(listener, sender, shutdown.clone()));
        Ok(Self { taken, stack, trust_domain, workloads, members, users, requests, shutdown })
    }

    /// The stack.
    #[must_use]
    pub const fn stack(&self) -> &Stack {
        &self.stack
    }

    /// Who may join.
    #[must_use]
    pub const fn workloads(&self) -> &Workloads {
        &self.workloads
    }

    /// A command that signs alice in with `scope`, in lines.
    #[must_use]
    pub fn sign_in(&self, scope: &str) -> Vec<String> {
        paste::sign_in(&self.stack, "alice", scope)
    }

    /// Answers until `stop` ends, or until a process of the stack ends, which is the fault. [`Up::end`] comes after it.
    ///
    /// # Errors
    /// [`UpFault::Stack`].
    pub async fn serve(
        &mut self,
        stop: impl Future<Output = ()>,
        tell: &mut impl FnMut(Event<'_>),
    ) -> Result<(), UpFault> {
        let mut stop = std::pin::pin!(stop);
        let mut looks = interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = &mut stop => return Ok(()),
                _tick = looks.tick() => if let Some(fault) = self.stack.first_ended() {
                    return Err(Box::new(fault).into());
                },
                request = self.requests.recv() => match request {
                    Some(request) => Box::pin(self.handle(request, tell)).await,
                    // The door is gone; it never goes before the end.
                    None => return Ok(()),
                },
            }
        }
    }

    /// Ends guests, then the stack, then gives the place back. What is left of the work folder is `leave`.
    pub async fn end(self, leave: Leave) {
        let Self { taken, stack, requests, shutdown, members, .. } = self;
        drop(requests);
        let unfinished = shutdown.drain(GUESTS_END_MAX).await;
        if !unfinished.is_empty() {
            tracing::warn!("a workload did not end in time");
        }
        stack.stop(leave).await;
        drop((members, taken));
    }

    async fn handle(&mut self, request: Request, tell: &mut impl FnMut(Event<'_>)) {
        match request {
            Request::Asked { lease, pid, ask, answer } => {
                let answered = match ask {
                    Ask::Join(wish) => self.join(lease, &wish).await,
                    Ask::Started { pid: started } => self.started(lease, pid, started, tell).await,
                    Ask::Status {} => Ok(Answer::Status(Box::new(self.status()))),
                };
                let answered = answered.unwrap_or_else(|why| Answer::Refused { why });
                if answer.send(answered).is_err() {
                    tracing::debug!("a guest left before it was answered");
                }
            }
            Request::Left { lease } => {
                if let Some((name, true)) = self.members.leave(lease) {
                    tell(Event::Left(&name));
                }
            }
        }
    }

    async fn join(&mut self, lease: u64, wish: &Wish) -> Result<Answer, String> {
        let workload = self.workloads.find(&wish.workload, &self.trust_domain)?;
        let name = workload.name.clone();
        if wish.edge && workload.edge.is_none() {
            return Err(format!(
                "users do not enter at `{name}`: the registry has no entry for it under `edges`, so its sidecar would \
                 refuse every one (edge.not_registered)"
            ));
        }
        let guest = Guest { name: name.clone(), id: workload.id };
        let member = self.members.join(lease, &guest)?;
        let doors = member.ports.doors(wish.edge, wish.own, wish.port);
        self.stack.write_guest(&guest, &doors, wish.outside.as_deref()).map_err(|fault| causes(&fault))?;
        let sidecar = match &member.recipe {
            Some(recipe) => recipe.clone(),
            None => {
                let recipe = self.stack.expect_guest(&guest).await.map_err(|fault| causes(&fault))?;
                member.recipe.insert(recipe).clone()
            }
        };
        let scope = workload.edge.filter(|_scopes| wish.edge).map(|scopes| scopes.join(" "));
        Ok(Answer::Invited(Box::new(Invitation {
            name,
            id: guest.id.to_string(),
            sidecar,
            port: doors.app.port(),
            users: self.users.clone(),
            sign_in: scope.map(|scope| paste::sign_in(&self.stack, "alice", &scope)).unwrap_or_default(),
        })))
    }

    async fn started(
        &mut self,
        lease: u64,
        asked_by: u32,
        pid: u32,
        tell: &mut impl FnMut(Event<'_>),
    ) -> Result<Answer, String> {
        let member = self.members.of(lease).ok_or("nobody joined over this connection")?;
        // The same user could lie in many ways; this keeps an honest mistake from giving an identity away.
        if parent(pid) != Some(asked_by) {
            return Err(format!("process {pid} is no child of process {asked_by}"));
        }
        self.stack.admit_guest(&member.guest, pid).await.map_err(|fault| causes(&fault))?;
        member.started = true;
        tell(Event::Joined(&member.guest.name));
        Ok(Answer::Admitted {})
    }

    fn status(&self) -> Status {
        let workload = |workload: &super::Workload| WorkloadStatus {
            name: workload.name.clone(),
            id: workload.id.to_string(),
            edge: workload.edge.is_some(),
            joined: self.members.has_joined(&workload.id),
        };
        Status {
            pid: std::process::id(),
            trust_domain: self.trust_domain.to_string(),
            provider: self.stack.issuer().to_owned(),
            issuer: self.stack.broker_issuer().to_owned(),
            public: self.stack.broker_public().unwrap_or_default(),
            svid_keys: self.stack.spire().map(Spire::keys_url),
            folder: self.stack.folder().to_owned(),
            workloads: self.workloads.iter().map(workload).collect(),
        }
    }
}

/// Who started the process: field 4 of `/proc/PID/stat` (proc(5)).
fn parent(pid: u32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The command, field 2, stands in parentheses and may hold any character, so fields are counted after it.
    let (_command, fields) = stat.rsplit_once(')')?;
    fields.split_whitespace().nth(1)?.parse().ok()
}

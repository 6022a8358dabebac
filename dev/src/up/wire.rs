//! What is said over the socket of an instance: one JSON object a line, a question and its answer in turn. The lines are
//! bounded, as those of the identity server's control channel are. Nothing secret is ever in one.

use std::{collections::BTreeMap, path::PathBuf};

use serde::{Deserialize, Serialize};

use crate::stack::SidecarRecipe;

/// Both ends are the same program; another version of it is told so instead of being misunderstood.
pub(super) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// A question with the version of who asks.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Question {
    pub(super) version: String,
    pub(super) ask: Ask,
}

/// What can be asked.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Ask {
    /// To join. The place is held until the connection closes.
    Join(Wish),
    /// The sidecar of the recipe runs as this process: it may have its identity.
    Started { pid: u32 },
    /// What runs.
    Status {},
}

/// Who wants to join, and how.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wish {
    /// Name of the workload, of a target, or a SPIFFE ID.
    pub workload: String,
    /// Whether users enter here.
    pub edge: bool,
    /// Whether the app calls in the workload's own name.
    pub own: bool,
    /// PEM file with who vouches for services at `https://` that are called so; an absolute path.
    pub outside: Option<PathBuf>,
    /// The app's port; `None`: a free one.
    pub port: Option<u16>,
}

/// What is answered.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Answer {
    Invited(Box<Invitation>),
    Admitted {},
    Status(Box<Status>),
    /// Words for a person.
    Refused {
        why: String,
    },
}

/// How to join.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invitation {
    /// The workload's name.
    pub name: String,
    /// Its SPIFFE ID.
    pub id: String,
    /// How its sidecar is started.
    pub sidecar: SidecarRecipe,
    /// The port where the app must listen.
    pub port: u16,
    /// A command that signs alice in, in lines; empty where no users enter here.
    pub sign_in: Vec<String>,
    /// Names of users whose subject is no name; for the eye only.
    pub users: BTreeMap<String, String>,
}

/// What runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Process id of the instance.
    pub pid: u32,
    /// The trust domain.
    pub trust_domain: String,
    /// Issuer URL of the users' provider.
    pub provider: String,
    /// The broker's issuer: a name.
    pub issuer: String,
    /// Base URL of the broker's public door.
    pub public: String,
    /// Where the keys of the trust domain's JWT-SVIDs are published; `None`: nowhere.
    pub svid_keys: Option<String>,
    /// The work folder.
    pub folder: PathBuf,
    /// Who may join.
    pub workloads: Vec<WorkloadStatus>,
}

/// A workload, and whether it runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkloadStatus {
    /// Its name.
    pub name: String,
    /// Its SPIFFE ID.
    pub id: String,
    /// Whether users may enter there.
    pub edge: bool,
    /// Whether it has joined.
    pub joined: bool,
}

//! Everyone whom an exchange talks to. Shared by all requests; nothing here changes after the start but behind its own
//! type's door.

use identity::{Registry, Reserved};
use runtime::workload::{JwtSvids, Workload};

use crate::{
    authority::Authorities,
    config::{Edges, Life},
    grant::Issuer,
    record::Recorder,
    reload::Rules,
    sessions::Sessions,
    store::Store,
};

/// The parties of the token exchange.
#[derive(Debug)]
pub(crate) struct Parties {
    /// Who signs, and for which trust domain.
    pub(crate) issuer: Issuer,
    /// Who the user is.
    pub(crate) authorities: Authorities,
    /// Where users may enter.
    pub(crate) edges: Edges,
    /// What exists.
    pub(crate) registry: Registry,
    /// What no target may be.
    pub(crate) reserved: Reserved,
    /// Who may.
    pub(crate) policies: Rules,
    /// What was begun.
    pub(crate) store: Store,
    /// What ended at its authority.
    pub(crate) sessions: Sessions,
    /// What was given.
    pub(crate) recorder: Recorder,
    /// Who we are.
    pub(crate) workload: Workload,
    /// How we prove it to authorities.
    pub(crate) svids: JwtSvids,
    /// How long at most.
    pub(crate) life: Life,
}

impl AsRef<Rules> for Parties {
    fn as_ref(&self) -> &Rules {
        &self.policies
    }
}

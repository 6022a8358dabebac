//! Everyone whom an exchange talks to. Shared by all requests; nothing here changes after the start but behind its own
//! type's door.

use identity::{Registry, Reserved};
use runtime::workload::{JwtSvids, Workload};

use crate::{
    authority::Authorities,
    config::{Edges, Life},
    grant::Issuer,
    keys::Rotation,
    liveness::Liveness,
    record::Recorder,
    reload::Rules,
    revocation::Revocations,
    seen::Seen,
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
    /// Who changes what signs.
    pub(crate) rotation: Rotation,
    /// Which tokens were proved before.
    pub(crate) seen: Seen,
    /// What was begun.
    pub(crate) store: Store,
    /// What ended at its authority.
    pub(crate) sessions: Sessions,
    /// Whether what was begun may go on.
    pub(crate) liveness: Liveness,
    /// What was revoked by name.
    pub(crate) revocations: Revocations,
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

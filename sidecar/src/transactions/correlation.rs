//! Whose call is it? The rule of `platform.md` §3.4 for calls of the app, in the order of what each sign is worth.
//! Nothing is ever taken for a call's transaction because it is the latest, the first or the only one.
//!
//! 1. **The handle** is exact. A trace beside it that belongs to another transaction shows that one of the two was left
//!    over from another request, so it is refused, whichever it was.
//! 2. **The trace** in the head counts alone only while the app can be at work for one transaction, and it is of it.
//!    Clients open an MCP session when they first need one and go on in the context that opened it: every call of the
//!    session then bears the trace of the request that opened it, whosever it is. While nobody else is at work, whose it
//!    is cannot be in doubt: the call was made by the time its head arrives, which is when we look, and a request that
//!    begins later did not make it. When that request is over, its trace is over too, so the next request that goes on in
//!    the session is refused instead of being taken for the one before; and so is work that runs on after its request.
//!    A request whose caller left counts as work for a while: its app may not know yet.
//! 3. **`_meta.traceparent`** is written by the client for each message (MCP 2026-07-28; Python SDK 2), so with others at
//!    work it counts where it names the same trace as the head. Three messages carry no `_meta`, because they belong to
//!    the session and to nobody's work in it: `notifications/initialized`, the GET and the DELETE. They count for the
//!    transaction that opened the session, if they bear its trace.
//!
//! By trace, a session counts for the transaction that opened it and for no other. By handle it may be any of the same
//! user, as at the door of the called workload (`protocol.md` §6).

use std::sync::Arc;

use http::HeaderValue;
use tokio::time::Instant;

use super::{Authority, Transaction, book::Book};
use crate::trace::TraceId;
use identity::Refusal;

/// What the head of a call shows.
#[derive(Clone, Copy)]
pub(crate) struct Signs<'a> {
    pub(crate) handle: Option<&'a HeaderValue>,
    pub(crate) trace: Option<TraceId>,
}

/// What the rest of a call shows.
pub(crate) struct Shows {
    /// The trace in the `_meta` of its message.
    pub(crate) meta: Option<TraceId>,
    /// The MCP session that it names.
    pub(crate) session: Session,
    /// Whether it belongs to the session rather than to work within it.
    pub(crate) of_session: bool,
}

/// An MCP session, as the sidecar saw it being opened.
pub(crate) enum Session {
    /// None is named.
    None,
    /// It was not opened here, or was forgotten.
    Unknown,
    /// It was opened with this authority.
    Of(Arc<Authority>),
}

/// By what the transaction of a call was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Handle,
    Trace,
    Meta,
    Session,
}

impl Way {
    /// Its name in logs and metrics.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Handle => "handle",
            Self::Trace => "trace",
            Self::Meta => "meta",
            Self::Session => "session",
        }
    }
}

/// The transaction to which a call belongs if the rest of it bears that out.
pub(crate) struct Claim {
    transaction: Arc<Transaction>,
    basis: Basis,
}

/// What a claim rests on.
#[derive(Clone, Copy)]
enum Basis {
    Handle,
    /// The trace, while nobody else was at work.
    Alone(TraceId),
    /// The trace, while others were.
    Crowded(TraceId),
}

impl Claim {
    /// The transaction. Whoever acts for it must have settled the claim.
    pub(crate) const fn transaction(&self) -> &Arc<Transaction> {
        &self.transaction
    }
}

impl Book {
    /// As [`super::Transactions::claim`].
    pub(super) fn claim(&self, signs: Signs<'_>, now: Instant) -> Result<Claim, Refusal> {
        let (transaction, basis) = match (signs.handle, signs.trace) {
            (None, None) => return Err(Refusal::CallNoTransaction),
            (Some(handle), trace) => {
                let named = self.by_handle(handle)?;
                if trace.is_some_and(|trace| self.is_of_another(trace, named)) {
                    return Err(Refusal::CallContradiction);
                }
                (named, Basis::Handle)
            }
            (None, Some(trace)) => match self.by_trace(trace) {
                Some(own) if self.is_alone(own, now) => (own, Basis::Alone(trace)),
                Some(own) => (own, Basis::Crowded(trace)),
                None => return Err(self.without(trace)),
            },
        };
        Ok(Claim { transaction: Arc::clone(transaction), basis })
    }

    /// As [`super::Transactions::settle`].
    pub(super) fn settle(&self, claim: &Claim, shows: &Shows) -> Result<Way, Refusal> {
        let own = &claim.transaction;
        // The rest of a call may be kept back for as long as a body may take.
        if !self.is_open(own) {
            return Err(match claim.basis {
                _ if own.is_revoked() => Refusal::SubjectRevoked,
                Basis::Handle => Refusal::CallNoTransaction,
                Basis::Alone(_) | Basis::Crowded(_) => Refusal::CallTraceEnded,
            });
        }
        let way = match (claim.basis, shows.meta) {
            (Basis::Handle, Some(meta)) if self.is_of_another(meta, own) => return Err(Refusal::CallContradiction),
            (Basis::Handle, _) => Way::Handle,
            (Basis::Alone(trace) | Basis::Crowded(trace), Some(meta)) if meta != trace => {
                return Err(Refusal::CallContradiction);
            }
            (Basis::Alone(_), _) => Way::Trace,
            (Basis::Crowded(_), Some(_same)) => Way::Meta,
            (Basis::Crowded(_), None) if shows.of_session && shows.session.is_opened_by(own) => Way::Session,
            (Basis::Crowded(_), None) => return Err(Refusal::CallAmbiguous),
        };
        if shows.session.admits(own, way) { Ok(way) } else { Err(Refusal::CallSession) }
    }
}

impl Session {
    fn is_opened_by(&self, own: &Transaction) -> bool {
        match self {
            Self::None | Self::Unknown => false,
            Self::Of(opener) => own.authority() == Some(opener),
        }
    }

    fn admits(&self, own: &Transaction, way: Way) -> bool {
        match (self, way) {
            (Self::None, _) => true,
            // Its server knows whose it is.
            (Self::Unknown, Way::Handle) => true,
            (Self::Of(opener), Way::Handle) => {
                own.authority().is_some_and(|authority| authority.is_for_user_of(opener))
            }
            (Self::Unknown | Self::Of(_), Way::Trace | Way::Meta | Way::Session) => self.is_opened_by(own),
        }
    }
}

#[cfg(test)]
mod tests;

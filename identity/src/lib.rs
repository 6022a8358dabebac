//! THE WORDS. Every term of Countersign that both broker and sidecar use, as a type that cannot hold nonsense.
//! Pure: no tokio, no socket, no clock, no environment, no file. `now` is always an argument.
//!
//! | word | type | what it is |
//! |---|---|---|
//! | subject | [`Subject`] | the user for whom the work is done; `sub` of every token of a transaction |
//! | actor | [`SpiffeId`] in an [`ActorChain`] | a workload that acts for the subject; current first, as in `act` (RFC 8693 §4.1) |
//! | requester | [`SpiffeId`] of the mTLS peer | the workload that asks the broker |
//! | audience | [`Audience`] | the one target a token is for; only a registry look-up makes one |
//! | scope | [`Scopes`] | what a token allows; can only be intersected (RFC 6749 §3.3) |
//! | life | [`Lifetime`] | when a token or grant ends; can only get shorter |
//! | target | [`Target`], [`WorkloadTarget`] | what may be called for a user, or in a workload's own name |
//! | perimeter | [`Perimeter`] | where a target begins and ends, and from calls to scopes |
//! | transaction token | [`TxnToken`] | proof that a `txntoken+jwt` was verified |
//! | access token | [`AccessToken`] | proof that an `at+jwt` was verified |
//! | logout token | [`LogoutToken`] | proof that an authority's `logout+jwt` was verified |
//! | refusal | [`Refusal`] | the caller may not, with a stable code |

#[cfg(not(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"))))]
compile_error!(
    "Countersign runs on Linux x86_64 and aarch64; elsewhere build it in the container of `.devcontainer/`."
);

mod audience;
mod chain;
mod id;
mod jose;
mod json;
mod keys;
mod lifetime;
mod names;
mod perimeter;
mod proof;
mod record;
mod refusal;
mod registry;
mod scopes;
mod target;
mod time;
mod token;
mod verify;

pub use audience::Audience;
pub use chain::{ActorChain, ChainRefusal, DEPTH_MAX};
pub use id::{IdFault, workload_id};
pub use jose::{Algorithm, HEADER_LENGTH_MAX};
pub use json::{JSON_DEPTH_MAX, JsonFault, parse_strict};
pub use keys::{KeySet, KeySetFault, VerifyingKey};
pub use lifetime::Lifetime;
pub use names::{NameFault, Subject, TokenId, TransactionId};
pub use perimeter::{Mapping, McpOperation, McpSpec, Perimeter, RouteSpec};
pub use proof::{AccessToken, ActorToken, IssuedAccess, LoggedOut, LogoutToken, SubjectToken, TxnToken};
pub use record::{DecisionRecord, Ended, Entry, Kind, Outcome, Would};
pub use refusal::{Refusal, TokenFault};
pub use registry::{
    AddressFault, AnyTarget, Registry, RegistryProblem, Reserved, ServiceAddress, ServiceAddressFault, Shelf,
    check_address,
};
pub use scopes::{SCOPES_MAX, ScopeFault, Scopes};
pub use spiffe::{SpiffeId, TrustDomain};
pub use target::{IdentityHeader, Target, TargetKind, TargetSpec, WorkloadTarget};
pub use time::UnixTime;
pub use token::{RawToken, TOKEN_LENGTH_MAX};
pub use verify::{
    AccessRule, IssuedRule, KeeperRule, LogoutRule, OpenIdRule, Rule, SvidRule, TxnRule, UserRule, verify,
};

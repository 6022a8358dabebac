//! RFC 8693, the heart of Countersign: turns a user's authority into the smallest token that the next call needs.
//!
//! The parties: [`authorities`](authority) say who the user is, `policies` who may, the registry of `identity` what
//! exists, the `store` what was begun, the `keys` sign, the `record` proves it. The steps between them stand in
//! `exchange`, on one screen: subject, actor, grant, store, record, mint.
//!
//! Nothing here issues a token without a [`grant::Grant`], which names the rule that allowed it, and none before the
//! grant's record is durable. No token, key or user's name is ever logged.

mod administer;
mod app;
mod authority;
pub mod client;
mod config;
mod continuity;
mod exchange;
pub mod grant;
mod http;
mod introspection;
mod issued;
pub mod keys;
#[cfg(test)]
mod laws;
mod liveness;
mod logout;
mod names;
mod own_use;
mod parties;
mod quota;
mod rate;
mod record;
mod reload;
mod request;
mod revocation;
mod seal;
mod seen;
mod sessions;
mod store;
mod upkeep;
mod watch;

pub use app::App;
pub use config::{Config, RawConfig};
pub use upkeep::Upkeep;

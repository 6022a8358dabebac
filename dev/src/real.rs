//! DEVELOPMENT ONLY. Real peers on this machine: how SPIRE and Keycloak are configured and told what a stack needs of
//! them. Nothing is fetched here; where they lie, crate `peers` knows. No process is started here but their own command
//! line; the stack supervises the servers.

pub mod admin;
pub(crate) mod keycloak;
pub mod realm;
pub mod spire;

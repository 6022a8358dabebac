//! DEVELOPMENT ONLY. The embedded default: everything that a demo or a test needs around broker and sidecars, without
//! SPIRE, Keycloak or a network. Nothing in here may be part of a production process.

pub mod apps;
pub mod identity;
pub mod provider;
pub mod real;
pub mod stack;
pub mod tether;
pub mod up;

//! Where the real peers come from: Keycloak, SPIRE and Python programs, pinned in [`pins`], got once by the ordinary
//! clients (`mvn`, `go`, `pip`) and kept in the user's cache folder, outside of every checkout.
//!
//! It must never start a peer for use (that is `dev`), never take a half-made folder for a whole one, and need nothing but
//! the standard library, because xtask is compiled before everything else.

mod cache;
pub mod development;
mod digest;
mod draft;
mod environment;
mod fault;
mod fetch;
#[cfg(test)]
mod folder;
mod home;
mod inventory;
mod lock;
mod machine;
pub mod pins;
mod program;
mod progress;

pub use self::{
    cache::{Cache, Keycloak, Missing, Spire, What},
    environment::java,
    fault::FetchFault,
    fetch::fetch,
    home::second_home,
    inventory::{Item, State, inventory},
    machine::{Lacking, machine},
    program::last_lines,
    progress::elapsed,
};

//! DEVELOPMENT ONLY. `countersign up` and those who talk to it: a stack without apps that stays, and guests that join it
//! one by one (`countersign run`). One instance has one place in a folder of the user's own; who reaches its socket is
//! the same user, so no secret is exchanged over it, and nobody else is answered.
//!
//! `place (lock, socket) → door (who asks) → host (the one owner of the stack) → stack`, and from the other side `line`.

mod door;
mod host;
mod line;
mod paste;
mod place;
mod ports;
mod realm;
mod registry;
mod wire;
mod workloads;

#[cfg(test)]
pub(crate) mod tests;

pub use self::{
    host::{Event, Up, UpFault, UpOptions},
    line::{Line, LineFault},
    paste::sign_in,
    place::{Cleared, Place, PlaceFault, Taken},
    registry::{OwnRegistry, RegistryFault, read_policies},
    wire::{Invitation, Status, Wish, WorkloadStatus},
    workloads::{Workload, Workloads},
};

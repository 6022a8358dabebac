//! THE DATA PATH of a pod. In: `mtls (Peer) → inbound { authenticate → mcp → authorize (Permit) → forward }`.
//! Out: `serve → outbound { transaction → route → credential → forward }`, and in the workload's own name
//! `serve → own { route → leave → SVID → forward }`. Tokens end and begin here; the app never sees
//! one. Nothing is let through because something is missing, slow or broken.

mod answer;
mod app;
mod body;
mod broker;
mod causes;
mod config;
mod hearing;
pub mod inbound;
mod mcp;
mod metrics;
mod outbound;
mod outgoing;
pub mod own;
mod perimeter;
mod pool;
mod revocations;
mod sessions;
mod snapshot;
mod strip;
mod trace;
mod transactions;

#[cfg(test)]
mod signer;

pub use app::App;
pub use config::{Config, RawAdmin, RawAgent, RawBroker, RawConfig, RawEdge, RawMesh, RawOutside, RawOwn, RawTls};

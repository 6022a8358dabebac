//! AROUND EVERY PROCESS: command line, configuration, workload identity, mTLS, HTTP servers with their limits,
//! telemetry, readiness, drain and the clock. It knows nothing of tokens, policies or the ledger.
//!
//! A binary's whole `main.rs` is `fn main() -> ExitCode { runtime::process::main::<App>() }`.

pub mod admin;
pub mod backoff;
pub mod causes;
pub mod clock;
pub mod config;
pub mod mtls;
pub mod outside;
pub mod process;
pub mod ready_file;
pub mod serve;
pub mod shutdown;
pub mod telemetry;
pub mod tls;
pub mod workload;

//! Small HTTP programs for the demo and the tests: two agents, a tool, and two who mean harm.
//! The three honest ones hold no line about tokens: they pass on one header, `Countersign-Handle`, and nothing else.
//! Around each stands a frame that counts what looks like a token in all that reaches its process.

mod agent;
mod attacker;
mod call;
mod evil;
mod frame;
mod mcp;
mod planner;
mod process;
mod researcher;
mod tickets;
mod tokens;

use std::{net::SocketAddr, path::PathBuf};

pub use self::{
    attacker::{Attempt, Loot},
    call::{Answer, AnswerFault, BODY_BYTES_MAX, Call},
    mcp::PROTOCOL_VERSION,
    process::stopped,
    tokens::{claims_of, count_tokens},
};

/// The handle by which a sidecar finds the transaction that a call belongs to (`protocol.md` §10).
pub const HANDLE_HEADER: &str = "countersign-handle";

/// Which program a process plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Role {
    /// The agent that a user asks; it asks the researcher, or does what the question says.
    Planner,
    /// The agent that looks things up with the tickets tool.
    Researcher,
    /// An MCP tool server.
    Tickets,
    /// Somebody who can play two workloads and tries what must fail.
    Attacker,
    /// A listener that no target names; it counts connections.
    Evil,
}

/// The command line of `countersign-demo-app`. What a program needs beyond it stands in its environment.
#[derive(Clone, Debug, clap::Parser)]
#[command(name = "countersign-demo-app", version, about = "Plays one program of the demo. For development only.")]
pub struct Options {
    /// Which program to play.
    pub role: Role,
    /// Where the program listens: loopback only.
    #[arg(long, default_value = "127.0.0.1:0", value_name = "ADDRESS")]
    pub listen: SocketAddr,
    /// The port, where `--listen` leaves it open.
    #[arg(long, env = "PORT", value_name = "PORT")]
    pub port: Option<u16>,
    /// Where what reached the process is told: loopback only.
    #[arg(long, default_value = "127.0.0.1:0", value_name = "ADDRESS")]
    pub control: SocketAddr,
    /// The proxy for outbound calls, as programs everywhere know it.
    #[arg(long, env = "HTTP_PROXY", value_name = "URL")]
    pub http_proxy: Option<String>,
    /// The Workload API that the attacker uses, and that an honest program is refused by.
    #[arg(long, value_name = "unix:///PATH")]
    pub workload_api: Option<String>,
    /// What the provider calls alice: the `sub` of her tokens.
    #[arg(long, value_name = "SUBJECT", default_value = tickets::ALICE)]
    pub alice: String,
    /// What the provider calls bob.
    #[arg(long, value_name = "SUBJECT", default_value = tickets::BOB)]
    pub bob: String,
    /// Where the bound addresses are written once the program serves.
    #[arg(long, value_name = "PATH")]
    pub ready_file: Option<PathBuf>,
    /// Ends when standard input is closed, so that a killed parent leaves no orphan.
    #[arg(long)]
    pub exit_on_stdin_close: bool,
}

/// Runs the program until it is told to stop.
///
/// # Errors
/// The address is no loopback address or cannot be bound, or the ready file cannot be written.
pub async fn run(mut options: Options) -> anyhow::Result<()> {
    if options.listen.port() == 0 {
        options.listen.set_port(options.port.unwrap_or_default());
    }
    for address in [options.listen, options.control] {
        anyhow::ensure!(
            address.ip().is_loopback(),
            "`{address}` is no loopback address: the demo's programs listen nowhere else"
        );
    }
    frame::serve(options).await
}

#[cfg(test)]
mod tests;

//! What the broker keeps in memory: 100,000 live transactions on 1,000 sessions.

use anyhow::Context as _;
use dev::stack::{Leave, StackOptions};

use crate::{
    anchors::{Asked, SCOPE, begin},
    costs,
    figure::{self, Bound},
    load::{Load, Pick},
    progress::{Progress, note},
};

const SESSIONS: usize = 1000;
const TRANSACTIONS: usize = 100_000;
/// Longer than the measurement takes, in seconds.
const LIFE: &str = "3600";
const MEGABYTE: f64 = 1e6;

/// Measures.
pub(crate) async fn measure() -> anyhow::Result<()> {
    note(format_args!("Memory: {TRANSACTIONS} transactions on {SESSIONS} sessions; some minutes …"));
    let options =
        StackOptions { broker: serde_json::json!({ "life": { "transaction": "1h" } }), ..StackOptions::story() };
    let asked = Asked::start(options).await?;
    let idle = costs::resident(asked.pid)?;
    let mut users = Vec::new();
    let mut progress = Progress::of("sessions", SESSIONS);
    let scope = format!("openid {SCOPE}");
    while users.len() < SESSIONS {
        users.push(asked.stack.sign_in_with("alice", &scope, &[("dev_life", LIFE)]).await?);
        progress.at(users.len());
    }
    let bodies = users.iter().map(|user| begin(user)).collect();
    let load = Load { pick: Pick::Next, ..asked.load(bodies, TRANSACTIONS) };
    let begun = load.run("begins").await?;
    let resident = costs::resident(asked.pid)?;
    note(format_args!("  {} MB idle, {:.0} begins a second", megabytes(idle)?, begun.rate()));
    asked.stack.stop(Leave::Nothing).await;
    let bound = Bound::AtMost { must: 160.0, aim: 80.0 };
    figure::alone("resident with 100,000 live transactions on 1,000 sessions", "MB", &[megabytes(resident)?], bound)
}

fn megabytes(bytes: u64) -> anyhow::Result<f64> {
    let kilobytes = u32::try_from(bytes.checked_div(1024).context("never")?).context("more than 4 TB")?;
    Ok(f64::from(kilobytes) * 1024.0 / MEGABYTE)
}

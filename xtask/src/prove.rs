//! `cargo xtask prove`: the laws that `cargo xtask test` tries on some thousand generated cases each, on a million. How
//! far each is shows every few seconds; a case that fails is printed with the seed that repeats it.

use std::{
    process::{ExitCode, Stdio},
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::Context as _;
use peers::elapsed;

use crate::place::Place;

/// The laws of issuing: the broker's and what they rest on. All that compile tests say `--workspace`, as in `test`.
/// The sidecar's laws of correlation are no part of it; they take other cases.
const TESTS: [&str; 7] = ["test", "--locked", "--workspace", "--lib", "--test", "identity", "--no-fail-fast"];
const LAWS: [&str; 4] = ["--", "--nocapture", "laws::", "--skip=correlation::"];

/// Tries every law on `cases` cases. Without `seed` they are others each time.
///
/// # Errors
/// Cargo cannot be started.
pub(crate) fn main(place: &Place, cases: u64, seed: Option<u64>) -> anyhow::Result<ExitCode> {
    let start = Instant::now();
    let seed = seed.unwrap_or_else(another);
    say!("Each law on {cases} cases, from seed {seed} on …");
    let mut cargo = place.cargo();
    cargo.args(TESTS).args(LAWS).stdin(Stdio::null());
    for (name, value) in [("COUNTERSIGN_CASES", cases), ("COUNTERSIGN_SEED", seed), ("PROPTEST_CASES", cases)] {
        cargo.env(name, value.to_string());
    }
    let status = cargo.status().context("cargo cannot be started")?;
    if !status.success() {
        say!(
            "\nFailed after {}. What failed is printed above, with the seed that repeats it:",
            elapsed(start.elapsed())
        );
        say!("  cargo xtask prove --cases 1 --seed <COUNTERSIGN_SEED>");
        return Ok(ExitCode::FAILURE);
    }
    say!("\nEvery law held on {cases} cases, in {}.", elapsed(start.elapsed()));
    Ok(ExitCode::SUCCESS)
}

/// A seed that no run before had, however many walks it took.
#[expect(clippy::disallowed_methods, reason = "another time means other cases, and nothing else")]
fn another() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs().saturating_mul(1_000_000))
}

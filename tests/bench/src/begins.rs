//! Begins a second, beside Keycloak's exchanges a second. Each begin is one exchange there, so Keycloak is the limit: what
//! is measured is how little the broker adds. In production it stands on another machine, so here it gets a CPU for itself
//! in both halves of a round; on one CPU for all, the broker would only be seen taking Keycloak's.

use std::fs;

use anyhow::Context as _;
use rustix::{
    process::Pid,
    thread::{CpuSet, sched_getaffinity, sched_setaffinity},
};

use crate::{
    figure::{self, Bound},
    keycloak::Keycloak,
    progress::note,
};

const ROUNDS: usize = 9;
/// Requests of a round to each.
const REQUESTS: usize = 1500;
/// Connections: Keycloak's rate grows no more beyond eight.
const LINES: usize = 8;

/// Measures.
pub(crate) async fn measure(keycloak: &Keycloak) -> anyhow::Result<()> {
    note(format_args!("Begins, beside Keycloak's exchanges; Keycloak on a CPU of its own …"));
    let (its_own, others) = split()?;
    pin(keycloak.pid, &its_own)?;
    pin(keycloak.asked.pid, &others)?;
    pin(std::process::id(), &others)?;
    let mut rounds = Vec::new();
    for number in 0..=ROUNDS {
        let exchanges = keycloak.load(REQUESTS, LINES).await?.run("exchanges").await?.rate();
        let begins = keycloak.begins(REQUESTS, LINES).await?.run("begins").await?.rate();
        note(format_args!("  round {number} of {ROUNDS}: {begins:.0} begins a second, {exchanges:.0} exchanges"));
        if number > 0 {
            rounds.push((begins, exchanges));
        }
    }
    let bound = Bound::AtLeast { must: 0.9, aim: 0.97 };
    figure::ratio("begins ÷ Keycloak's exchanges, which are the limit", "a second", &rounds, bound)
}

/// The last CPU that we may use, and the ones before it.
fn split() -> anyhow::Result<(CpuSet, CpuSet)> {
    let ours = sched_getaffinity(None).context("cannot read which CPUs we may use")?;
    let mut cpus = (0..CpuSet::MAX_CPU).filter(|cpu| ours.is_set(*cpu));
    let (mut last, mut others) = (CpuSet::new(), CpuSet::new());
    last.set(cpus.next_back().context("no CPU")?);
    cpus.for_each(|cpu| others.set(cpu));
    anyhow::ensure!(others.count() > 0, "two CPUs are needed");
    Ok((last, others))
}

/// Keeps a process on these CPUs: its threads, and those that they start.
fn pin(pid: u32, cpus: &CpuSet) -> anyhow::Result<()> {
    for thread in fs::read_dir(format!("/proc/{pid}/task")).context("no such process")? {
        let id = thread?.file_name().to_string_lossy().parse::<i32>().context("no thread id")?;
        // A thread may have ended since; then there is nothing to keep.
        let _ended = sched_setaffinity(Pid::from_raw(id), cpus);
    }
    Ok(())
}

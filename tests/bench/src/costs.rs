//! What a process took of the machine, as the kernel counts it. Only servers are looked at, never the program that loads
//! them.

use std::{fs, time::Duration};

use anyhow::Context as _;

/// CPU time, user and system together, that the process has taken so far (`proc(5)`, fields 14 and 15 of `stat`), in
/// steps of 10 ms.
pub(crate) fn cpu(pid: u32) -> anyhow::Result<Duration> {
    let path = format!("/proc/{pid}/stat");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read `{path}`"))?;
    // The second field is the program's name in parentheses, and may hold anything.
    let fields = text.rsplit_once(')').map(|(_name, rest)| rest).context("no stat line")?;
    let ticks = |field: &str| field.parse::<u64>().context("no number");
    let mut times = fields.split_whitespace().skip(11).map(ticks);
    let (user, system) = (times.next().context("no user time")??, times.next().context("no system time")??);
    let second = rustix::param::clock_ticks_per_second();
    let millis = user.saturating_add(system).saturating_mul(1000).checked_div(second).context("no clock")?;
    Ok(Duration::from_millis(millis))
}

/// Memory of the process that is in RAM, in bytes (`VmRSS`).
pub(crate) fn resident(pid: u32) -> anyhow::Result<u64> {
    let path = format!("/proc/{pid}/status");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read `{path}`"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse().context("no number")?;
    Ok(kilobytes.saturating_mul(1024))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_memory_and_no_other_clock() {
        let own = std::process::id();
        assert!(resident(own).expect("read") > 0);
        assert!(cpu(own).expect("read") < Duration::from_secs(3600));
    }
}

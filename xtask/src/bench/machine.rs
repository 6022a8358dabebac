//! The machine and the day, to stand beside figures.

use std::{fs, process::Command, thread};

const GIGABYTE_IN_KILOBYTES: f64 = 1024.0 * 1024.0;

/// One sentence: date, CPUs, memory, kernel, compiler, and how busy the machine is with other things.
pub(super) fn describe() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let said = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).output().map(|output| output.stdout).unwrap_or_default();
        String::from_utf8_lossy(&output).trim().to_owned()
    };
    let (cpus, memory) = (read("/proc/cpuinfo"), read("/proc/meminfo"));
    let after = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name)).and_then(|line| line.split_once(':'));
        line.map(|(_name, value)| value.trim().to_owned()).unwrap_or_default()
    };
    let kilobytes: f64 = after(&memory, "MemTotal").trim_end_matches(" kB").parse().unwrap_or_default();
    format!(
        "{}, {} CPUs ({}), {:.0} GiB, Linux {}, {}, load {} when it ended.",
        said("date", &["--utc", "+%F %H:%M UTC"]),
        thread::available_parallelism().map_or(0, std::num::NonZero::get),
        after(&cpus, "model name"),
        kilobytes / GIGABYTE_IN_KILOBYTES,
        read("/proc/sys/kernel/osrelease").trim(),
        said("rustc", &["--version"]),
        read("/proc/loadavg").split(' ').take(3).collect::<Vec<_>>().join(" "),
    )
}

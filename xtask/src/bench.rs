//! `cargo xtask bench story`: the figures of the embedded default, printed and never asserted. Machines are noisy: read
//! them beside the date and machine in docs/benchmarks.md.

pub(crate) mod broker;
mod machine;

use std::{
    fs,
    process::{Command, ExitCode, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use serde_json::json;

use crate::{build, place::Place};

/// Runs of the demo; the fastest counts, since everything else on the machine only adds.
const DEMO_RUNS: usize = 5;
const MEGABYTE: f64 = 1e6;

/// One figure and its bound.
struct Figure {
    name: &'static str,
    ours: f64,
    must: f64,
}

/// Measures and prints; `as_json` prints one object a figure.
pub(crate) fn story(place: &Place, as_json: bool) -> anyhow::Result<ExitCode> {
    let figures = [cold_build(place)?, demo(place)?, sidecar_size(place)?];
    for Figure { name, ours, must } in figures {
        let ok = ours <= must;
        if as_json {
            // There is nothing to compare these with, so anchor, ratio and aim are null.
            let line = json!({ "figure": name, "ours": ours, "anchor": null, "ratio": null, "must": must, "aim": null, "ok": ok });
            say!("{line}");
        } else {
            say!("{name:<32} {ours:>8.1}   must be at most {must:>6.1}   {}", if ok { "ok" } else { "MISSED" });
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Both builds of the demo's programs into an empty target folder, sources already fetched.
fn cold_build(place: &Place) -> anyhow::Result<Figure> {
    let target = place.target.join("bench-cold");
    if target.exists() {
        fs::remove_dir_all(&target).with_context(|| format!("cannot empty `{}`", target.display()))?;
    }
    note!("Cold build of the demo; some minutes …");
    let start = Instant::now();
    for arguments in build::BUILDS {
        run(place.cargo().args(arguments).arg("--target-dir").arg(&target))?;
    }
    let took = start.elapsed();
    fs::remove_dir_all(&target).with_context(|| format!("cannot remove `{}`", target.display()))?;
    Ok(Figure { name: "cold build of the demo, minutes", ours: took.as_secs_f64() / 60.0, must: 10.0 })
}

fn demo(place: &Place) -> anyhow::Result<Figure> {
    if !build::programs(place)? {
        bail!("the programs do not build");
    }
    let mut fastest = Duration::MAX;
    for _run in 0..DEMO_RUNS {
        let start = Instant::now();
        run(Command::new(place.program("countersign")).args(["demo", "--json"]).stdout(Stdio::null()))?;
        fastest = fastest.min(start.elapsed());
    }
    Ok(Figure { name: "demo after the build, seconds", ours: fastest.as_secs_f64(), must: 5.0 })
}

fn sidecar_size(place: &Place) -> anyhow::Result<Figure> {
    note!("Release build of the sidecar; some minutes the first time …");
    run(place.cargo().args(["build", "--locked", "--release", "-p", "sidecar"]))?;
    let program = place.target.join("release").join("countersign-sidecar");
    let bytes = fs::metadata(&program).with_context(|| format!("`{}` is not there", program.display()))?.len();
    let bytes = u32::try_from(bytes).context("the sidecar is larger than 4 GB")?;
    Ok(Figure { name: "sidecar, stripped release, MB", ours: f64::from(bytes) / MEGABYTE, must: 12.0 })
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    let status = command.stdin(Stdio::null()).status().with_context(|| format!("{command:?} cannot be started"))?;
    if !status.success() {
        bail!("{command:?} failed");
    }
    Ok(())
}

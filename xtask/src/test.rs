//! `cargo xtask test`: everything that must hold before a change is merged, in the order in which a mistake is cheapest to
//! find. It stops at the first stage that fails and says how to repeat that one alone.

mod count;
mod preflight;
mod stage;

use std::{
    fs, io,
    path::Path,
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::Context as _;

use self::{count::Count, stage::Stage};
use crate::{MACHINE_LACKS, build, place::Place};

/// Runs preflight and all stages.
pub(crate) fn main(place: &Place) -> anyhow::Result<ExitCode> {
    let start = Instant::now();
    if !preflight::passes(place) {
        return Ok(ExitCode::from(MACHINE_LACKS));
    }
    let stages = stages(place);
    let mut total = Count::default();
    for (number, stage) in (1_usize..).zip(&stages) {
        println!("\n[{number}/{}] {} … (after {})", stages.len(), stage.name, elapsed(start.elapsed()));
        let begin = Instant::now();
        let Some(count) = stage.run(place)? else {
            println!("\nFailed: stage {number}, {}. To repeat it alone:", stage.name);
            for command in stage.commands(place) {
                println!("  {command}");
            }
            return Ok(ExitCode::FAILURE);
        };
        let found = if stage.counts { format!(": {} passed", count.passed) } else { String::new() };
        println!("[{number}/{}] {} done in {}{found}", stages.len(), stage.name, elapsed(begin.elapsed()));
        total = total.and(count);
    }
    let promises = promises(&place.root.join("tests/e2e")).context("`tests/e2e` cannot be read")?;
    println!("\n{} passed, {} failed", total.passed, total.failed);
    println!("All {} tests passed, {promises} promises among them, in {}.", total.passed, elapsed(start.elapsed()));
    Ok(ExitCode::SUCCESS)
}

/// The stages. All that compile tests say `--workspace` and choose targets, never packages: features are unified over the
/// packages that are named, and another choice would compile most dependencies again.
/// The programs come after the unit tests, because cargo builds a package's programs, with unified features and in the
/// same place, where it has tests under `tests/`; the end-to-end tests must find those that ship.
fn stages(place: &Place) -> Vec<Stage> {
    let mut unit = vec!["test", "--locked", "--workspace", "--no-fail-fast", "--lib", "--bins"];
    unit.extend(place.integration_tests.iter().flat_map(|name| ["--test", name]));
    vec![
        Stage::of("formatting", [["fmt", "--all", "--check"].as_slice()]),
        Stage::of(
            "clippy",
            [["clippy", "--locked", "--workspace", "--all-targets", "--", "-D", "warnings"].as_slice()],
        ),
        Stage::of("unit tests", [unit.as_slice()]).counting(),
        // `compile_fail` proves something only where the compiler's error code is checked, which stable rustdoc does not;
        // the wrapper lets rustdoc alone do it, so that nothing is compiled again.
        Stage::of(
            "doc and compile-fail tests",
            [["test", "--locked", "--workspace", "--no-fail-fast", "--doc"].as_slice()],
        )
        .with("RUSTDOC", place.root.join("xtask/rustdoc"))
        .counting(),
        Stage::of("programs as they ship", build::BUILDS),
        Stage::of(
            "end-to-end tests",
            [["test", "--locked", "--workspace", "--no-fail-fast", "--test", "e2e"].as_slice()],
        )
        .counting(),
    ]
}

/// One module of the end-to-end tests is one promise.
fn promises(folder: &Path) -> io::Result<usize> {
    let mut promises = 0_usize;
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending == "rs") && path.file_stem().is_some_and(|name| name != "main")
        {
            promises = promises.saturating_add(1);
        }
    }
    Ok(promises)
}

/// `1 min 05 s`, or `4.2 s` below a minute.
fn elapsed(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds.checked_div(60).unwrap_or_default() {
        0 => format!("{:.1} s", time.as_secs_f32()),
        minutes => format!("{minutes} min {:02} s", seconds.checked_rem(60).unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_told_as_people_say_it() {
        assert_eq!(elapsed(Duration::from_millis(4_200)), "4.2 s");
        assert_eq!(elapsed(Duration::from_secs(65)), "1 min 05 s");
        assert_eq!(elapsed(Duration::from_secs(3_600)), "60 min 00 s");
    }

    #[test]
    fn every_stage_that_compiles_is_locked() {
        let place = Place::find().expect("cargo knows where it is");
        for command in stages(&place).iter().flat_map(|stage| stage.commands(&place)) {
            assert!(command.contains("--locked") || command.contains("cargo fmt"), "{command}");
        }
    }
}

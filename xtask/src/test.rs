//! `cargo xtask test`: everything that must hold before a change is merged, in the order in which a mistake is cheapest to
//! find. It stops at the first stage that fails and says how to repeat that one alone.

mod count;
mod preflight;
mod stage;

use std::{fs, io, path::Path, process::ExitCode, time::Instant};

use anyhow::Context as _;
use peers::elapsed;

use self::{
    count::Count,
    stage::{Outcome, Stage},
};
use crate::{MACHINE_LACKS, build, place::Place, real::Peers};

/// The module of the end-to-end tests that need real peers, and its folder.
const REAL: &str = "real";

/// Runs preflight and all stages; `embedded`: without real peers.
pub(crate) fn main(place: &Place, embedded: bool) -> anyhow::Result<ExitCode> {
    let start = Instant::now();
    let Some(machine) = preflight::passes(place, embedded) else {
        return Ok(ExitCode::from(MACHINE_LACKS));
    };
    let stages = stages(place, machine.peers);
    let mut total = Count::default();
    for (number, stage) in (1_usize..).zip(&stages) {
        say!("\n[{number}/{}] {} … (after {})", stages.len(), stage.name, elapsed(start.elapsed()));
        let begin = Instant::now();
        let count = match stage.run(place)? {
            Outcome::Passed(count) => count,
            Outcome::Failed => return Ok(failed(place, number, stage, ExitCode::FAILURE)),
            Outcome::MachineLacks => return Ok(failed(place, number, stage, ExitCode::from(MACHINE_LACKS))),
        };
        let found = if stage.counts { format!(": {} passed", count.passed) } else { String::new() };
        say!("[{number}/{}] {} done in {}{found}", stages.len(), stage.name, elapsed(begin.elapsed()));
        total = total.and(count);
    }
    let promises = promises(&place.root.join("tests/e2e"), embedded).context("`tests/e2e` cannot be read")?;
    say!("\n{} passed, {} failed", total.passed, total.failed);
    let on = if embedded {
        " on the embedded default; Keycloak, SPIRE and Python were left out: `cargo xtask test` has them"
    } else {
        ""
    };
    say!("All {} tests passed, {promises} promises among them, in {}{on}.", total.passed, elapsed(start.elapsed()));
    Ok(ExitCode::SUCCESS)
}

/// Says how to repeat a stage that did not pass.
fn failed(place: &Place, number: usize, stage: &Stage, exit_code: ExitCode) -> ExitCode {
    say!("\nFailed: stage {number}, {}. To repeat it alone:", stage.name);
    for command in stage.commands(place) {
        say!("  {command}");
    }
    exit_code
}

/// The stages. All that compile tests say `--workspace` and choose targets, never packages: features are unified over the
/// packages that are named, and another choice would compile most dependencies again.
/// The programs come after the unit tests, because cargo builds a package's programs, with unified features and in the
/// same place, where it has tests under `tests/`; the end-to-end tests must find those that ship.
/// Real peers come after formatting, which takes a moment, and before everything that takes minutes.
fn stages(place: &Place, peers: Option<Peers>) -> Vec<Stage> {
    let mut unit = vec!["test", "--locked", "--workspace", "--no-fail-fast", "--lib", "--bins"];
    unit.extend(place.integration_tests.iter().flat_map(|name| ["--test", name]));
    let mut end_to_end = vec!["test", "--locked", "--workspace", "--no-fail-fast", "--test", "e2e"];
    if peers.is_none() {
        end_to_end.extend(["--", "--skip", "real::"]);
    }
    let formatting = Stage::of("formatting", [["fmt", "--all", "--check"].as_slice()]);
    let others = [
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
        Stage::of("end-to-end tests", [end_to_end.as_slice()]).counting(),
    ];
    [formatting].into_iter().chain(peers.map(Stage::of_peers)).chain(others).collect()
}

/// One module of the end-to-end tests is one promise; those that need real peers have a folder of their own.
fn promises(folder: &Path, embedded: bool) -> io::Result<usize> {
    let real = folder.join(REAL);
    let mut folders = vec![folder.to_owned()];
    folders.extend(Some(real).filter(|real| !embedded && real.is_dir()));
    let mut promises = 0_usize;
    for folder in folders {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            let is_promise = path.file_stem().is_some_and(|name| name != "main" && name != REAL);
            if is_promise && path.extension().is_some_and(|ending| ending == "rs") {
                promises = promises.saturating_add(1);
            }
        }
    }
    Ok(promises)
}

#[cfg(test)]
mod tests {
    use std::{env, process};

    use super::*;

    /// All commands, as one types them.
    fn commands(peers: Option<Peers>) -> Vec<String> {
        let place = Place::find().expect("cargo knows where it is");
        stages(&place, peers).iter().flat_map(|stage| stage.commands(&place)).collect()
    }

    #[test]
    fn every_stage_that_compiles_is_locked() {
        for command in commands(None).into_iter().chain(commands(Some(Peers::none()))) {
            let compiles = !command.contains("cargo fmt") && !command.ends_with("cargo xtask peers fetch");
            assert!(command.contains("--locked") || !compiles, "{command}");
        }
    }

    #[test]
    fn the_embedded_default_gets_no_peers_and_skips_what_needs_them() {
        let (embedded, real) = (commands(None), commands(Some(Peers::none())));
        let fetch =
            |commands: &[String]| commands.iter().position(|command| command.ends_with("cargo xtask peers fetch"));
        assert_eq!((fetch(&embedded), fetch(&real)), (None, Some(1)));
        let last = |commands: &[String]| commands.last().cloned().unwrap_or_default();
        assert!(last(&embedded).ends_with("--test e2e -- --skip real::"), "{}", last(&embedded));
        assert!(last(&real).ends_with("--test e2e"), "{}", last(&real));
    }

    #[test]
    fn promises_on_real_peers_count_where_they_ran() {
        let folder = env::temp_dir().join(format!("countersign-xtask-{}-promises", process::id()));
        fs::create_dir_all(folder.join(REAL)).expect("made");
        for file in ["main.rs", "real.rs", "story.rs", "notes.md", "real/story.rs", "real/logout.rs"] {
            fs::write(folder.join(file), "").expect("written");
        }
        let counts = [promises(&folder, true), promises(&folder, false)].map(|count| count.expect("read"));
        fs::remove_dir_all(&folder).expect("removed");
        assert_eq!(counts, [1, 3]);
    }
}

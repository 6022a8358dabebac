//! `cargo xtask bench broker`: builds the programs as they ship and has `countersign-bench` measure them. The figures go
//! to standard output and, with date and machine, into docs/benchmarks.md.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    process::{Command, ExitCode, Stdio},
};

use anyhow::{Context as _, bail};
use serde_json::Value;

use super::machine;
use crate::place::Place;

/// The programs and the one that measures them, each build with the features that it has when it ships.
const BUILDS: [&[&str]; 3] = [
    &["build", "--locked", "--release", "-p", "cli", "-p", "broker", "-p", "dev"],
    &["build", "--locked", "--release", "-p", "sidecar"],
    &["build", "--locked", "--release", "-p", "bench"],
];
const PAGE: &str = "docs/benchmarks.md";
/// Between these lines of the page stands what this program wrote.
const BEGIN: &str = "<!-- cargo xtask bench broker -->";
const END: &str = "<!-- end -->";

/// Measures `only` these parts, or all; then the page is written.
pub(crate) fn main(place: &Place, only: &[String], as_json: bool) -> anyhow::Result<ExitCode> {
    note!("Release builds; some minutes the first time …");
    for arguments in BUILDS {
        if !place.cargo().args(arguments).stdin(Stdio::null()).status()?.success() {
            bail!("the programs do not build");
        }
    }
    let figures = measure(place, only, as_json)?;
    if only.is_empty() {
        write(place, &figures)?;
        note!("Written to {PAGE}.");
    }
    Ok(ExitCode::SUCCESS)
}

fn measure(place: &Place, only: &[String], as_json: bool) -> anyhow::Result<Vec<Value>> {
    let mut bench = Command::new(place.target.join("release").join("countersign-bench"));
    bench.arg("broker").stdin(Stdio::null()).stdout(Stdio::piped());
    bench.args(only.iter().flat_map(|part| ["--only", part]));
    let mut bench = bench.spawn().context("countersign-bench cannot be started")?;
    let mut figures = Vec::new();
    for line in BufReader::new(bench.stdout.take().context("no output")?).lines() {
        let line = line?;
        let figure: Value = serde_json::from_str(&line).context("a figure that is no JSON")?;
        if as_json {
            say!("{line}");
        } else {
            say!("{}", row(&figure));
        }
        figures.push(figure);
    }
    if !bench.wait()?.success() {
        bail!("the measurement failed");
    }
    Ok(figures)
}

/// Puts the figures between the two lines of the page.
fn write(place: &Place, figures: &[Value]) -> anyhow::Result<()> {
    let path = place.root.join(PAGE);
    let page = fs::read_to_string(&path).with_context(|| format!("cannot read `{}`", path.display()))?;
    let (before, rest) = page.split_once(BEGIN).context("the page has no place for the figures")?;
    let (_old, after) = rest.split_once(END).context("the page's place for the figures has no end")?;
    let rows: String = figures.iter().map(|figure| row(figure) + "\n").collect();
    let head = "| figure | ours | anchor | ratio (quartiles) | must | aim | |\n|---|---|---|---|---|---|---|\n";
    let page = format!("{before}{BEGIN}\n{}\n\n{head}{rows}{END}{after}", machine::describe());
    fs::write(&path, page).with_context(|| format!("cannot write `{}`", path.display()))
}

/// A figure as a row of a table.
fn row(figure: &Value) -> String {
    let text = |name: &str| figure.get(name).and_then(Value::as_str).unwrap_or_default();
    let number = |value: Option<&Value>| value.and_then(Value::as_f64).map_or("–".to_owned(), short);
    let of = |name: &str| number(figure.get(name));
    let bound = if figure.get("must").and_then(Value::as_f64) <= figure.get("aim").and_then(Value::as_f64) {
        "≥"
    } else {
        "≤"
    };
    let spread = [0, 1].map(|place| number(figure.get("spread").and_then(|spread| spread.get(place))));
    let [low, high] = spread;
    let ratio = of("ratio");
    let ratio = if ratio == "–" { ratio } else { format!("{ratio} ({low}–{high})") };
    let ok = if figure.get("ok") == Some(&Value::Bool(true)) { "ok" } else { "**missed**" };
    let (name, unit) = (text("figure"), text("unit"));
    format!(
        "| {name}, {unit} | {} | {} | {ratio} | {bound} {} | {bound} {} | {ok} |",
        of("ours"),
        of("anchor"),
        of("must"),
        of("aim")
    )
}

/// As many digits as mean something.
fn short(number: f64) -> String {
    match number.abs() {
        0.0..10.0 => format!("{number:.2}"),
        10.0..100.0 => format!("{number:.1}"),
        _large => format!("{number:.0}"),
    }
}

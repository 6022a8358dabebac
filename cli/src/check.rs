//! `countersign check`: has the programs that read a configuration check it, so that there is one judge of each file.

use std::{
    fs::{self, File},
    io::{self, Read as _},
    path::{Path, PathBuf},
    process::{Command, ExitCode, Output},
};

use crate::{output, text::plain};

/// How much of a file is looked at to tell its kind: more than any comment at its head.
const LOOKED_AT: u64 = 64 * 1024;
/// Keys at the beginning of a line that only one kind of file has.
const OF_BROKER: [&str; 11] = [
    "issuer",
    "trust_domain",
    "public",
    "authorities",
    "store",
    "wrapping_key",
    "ledger",
    "policies",
    "edges",
    "targets",
    "life",
];
const OF_SIDECAR: [&str; 7] = ["app", "broker", "mesh", "agent", "edge", "self", "outside"];
/// Exit codes, as those programs have them.
const FAILED: u8 = 1;
const USAGE: u8 = 2;

/// What to check.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Files: broker.yaml, sidecar.yaml
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// What they are, where their keys do not tell
    #[arg(long, value_name = "KIND")]
    kind: Option<Kind>,
    /// Print the values in force and where each came from, too
    #[arg(long)]
    values: bool,
}

/// Whose configuration a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Kind {
    /// broker.yaml
    Broker,
    /// sidecar.yaml
    Sidecar,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Broker => "broker",
            Self::Sidecar => "sidecar",
        }
    }

    /// What the keys of `text` say, if they say it clearly.
    fn of(text: &str) -> Option<Self> {
        let keys =
            || text.lines().filter_map(|line| line.split_once(':')).map(|(key, _value)| key.trim_matches(['"', '\'']));
        let broker = keys().filter(|key| OF_BROKER.contains(key)).count();
        let sidecar = keys().filter(|key| OF_SIDECAR.contains(key)).count();
        match broker.cmp(&sidecar) {
            std::cmp::Ordering::Greater => Some(Self::Broker),
            std::cmp::Ordering::Less => Some(Self::Sidecar),
            std::cmp::Ordering::Equal => None,
        }
    }
}

/// Checks all files, and goes on after one that is wrong. The worst exit code counts: 2 before 1.
pub(crate) fn main(options: &Options) -> ExitCode {
    let mut worst = 0;
    for file in &options.files {
        let code = match check(file, options.kind) {
            Ok((kind, ran)) => report(file, kind, &ran, options.values),
            Err((told, code)) => {
                output::warn(&format!("{}: {told}", file.display()));
                code
            }
        };
        worst = worst.max(code);
    }
    ExitCode::from(worst)
}

/// Has the program check the file.
fn check(file: &Path, kind: Option<Kind>) -> Result<(Kind, Output), (String, u8)> {
    let kind = match kind {
        Some(kind) => kind,
        None if is_read_once(file) => {
            let told = "it can be read only once, so its kind cannot be told; give --kind broker or --kind sidecar";
            return Err((told.to_owned(), USAGE));
        }
        None => kind_of(file).map_err(|error| (format!("cannot be read: {error}"), USAGE))?.ok_or_else(|| {
            let told = "its keys do not tell whose configuration it is; give --kind broker or --kind sidecar";
            (told.to_owned(), USAGE)
        })?,
    };
    let program = beside_us(&format!("countersign-{}", kind.name()));
    let ran = Command::new(&program).arg("check").arg("--config").arg(file).output();
    let ran = ran.map_err(|error| (format!("`{}` cannot be started: {error}", program.display()), FAILED))?;
    Ok((kind, ran))
}

/// A pipe such as `<(helm template …)`, a terminal or another device; whoever opens one may wait for ever, too.
fn is_read_once(file: &Path) -> bool {
    fs::metadata(file).is_ok_and(|found| !found.is_file() && !found.is_dir())
}

fn kind_of(file: &Path) -> io::Result<Option<Kind>> {
    let mut text = Vec::new();
    File::open(file)?.take(LOOKED_AT).read_to_end(&mut text)?;
    Ok(Kind::of(&String::from_utf8_lossy(&text)))
}

/// Tells what the program found, and returns its exit code.
fn report(file: &Path, kind: Kind, ran: &Output, values: bool) -> u8 {
    // Warnings and mistakes, in its own words: they begin with the file's name.
    output::pass_on(&ran.stderr);
    let code = ran.status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(FAILED);
    if code != 0 {
        return code;
    }
    let fine = format!("{}: fine, as a configuration of the {}\n", file.display(), kind.name());
    let values = if values { plain(&String::from_utf8_lossy(&ran.stdout)) } else { String::new() };
    if output::wrote(&format!("{fine}{values}")) { 0 } else { FAILED }
}

/// A program of ours lies where this one lies.
fn beside_us(name: &str) -> PathBuf {
    let own = std::env::current_exe().unwrap_or_default();
    own.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_tells_its_kind_by_its_keys() {
        let broker =
            "# broker\nissuer: https://b\nworkload_api: unix:///x\nlisten: 0.0.0.0:1\ntargets:\n  - name: broker\n";
        let sidecar =
            "workload_api: unix:///x\nbroker:\n  url: https://b\n  id: spiffe://d/b\napp: http://127.0.0.1:1\n";
        assert_eq!((Kind::of(broker), Kind::of(sidecar)), (Some(Kind::Broker), Some(Kind::Sidecar)));
        assert_eq!(Kind::of("\"issuer\": https://b\n"), Some(Kind::Broker));
        assert_eq!(Kind::of("workload_api: unix:///x\noutside: { ca: /ca.pem }\n"), Some(Kind::Sidecar));
        for text in ["", "workload_api: unix:///x\n", "issuer: a\napp: b\n", "hello"] {
            assert_eq!(Kind::of(text), None, "{text}");
        }
    }
}

//! The command line that all binaries share. Nothing about the work itself is set here; that is the configuration's.

use std::{ffi::OsString, path::PathBuf, process::ExitCode, time::Duration};

use clap::{
    ArgMatches, Command, CommandFactory as _, FromArgMatches as _, Parser, Subcommand, builder::FalseyValueParser,
    parser::ValueSource,
};

pub(super) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Lame duck time where none is given, in seconds.
pub(super) const LAME_DUCK_DEFAULT: u16 = 5;

/// What upkeep logs unless it is told otherwise.
const UPKEEP_LOG: &str = "warn";

/// What to do, and how.
#[derive(Debug, Parser)]
#[command(version, subcommand_negates_reqs = true)]
pub(super) struct Arguments<U: Subcommand> {
    #[command(subcommand)]
    chosen: Option<Action<U>>,
    #[command(flatten)]
    pub(super) common: Common,
    #[arg(skip = Action::Run)]
    pub(super) action: Action<U>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Subcommand)]
pub(super) enum Action<U: Subcommand> {
    /// Serve (the default)
    Run,
    /// Read the configuration, print the effective values and where each came from
    Check,
    /// Print the JSON schema of the configuration
    Schema,
    /// Print the version
    Version,
    #[command(flatten)]
    Upkeep(U),
}

/// For an [`super::App`] that keeps nothing which could need work while it does not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoUpkeep {}

impl clap::FromArgMatches for NoUpkeep {
    fn from_arg_matches(_matches: &ArgMatches) -> Result<Self, clap::Error> {
        Err(clap::Error::new(clap::error::ErrorKind::InvalidSubcommand))
    }

    fn update_from_arg_matches(&mut self, _matches: &ArgMatches) -> Result<(), clap::Error> {
        match *self {}
    }
}

impl Subcommand for NoUpkeep {
    fn augment_subcommands(command: Command) -> Command {
        command
    }

    fn augment_subcommands_for_update(command: Command) -> Command {
        command
    }

    fn has_subcommand(_name: &str) -> bool {
        false
    }
}

/// Flags of every binary.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Common {
    /// Configuration file
    #[arg(long, global = true, env = "COUNTERSIGN_CONFIG", value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// Write the bound addresses here as one JSON object once everything listens
    #[arg(long, global = true, value_name = "FILE")]
    ready_file: Option<PathBuf>,
    /// Stop when stdin is closed, so that a killed parent leaves no orphan
    #[arg(long, global = true)]
    exit_on_stdin_close: bool,
    /// Seconds to go on serving, not ready, after SIGTERM
    #[arg(long, global = true, env = "COUNTERSIGN_LAME_DUCK", value_name = "SECONDS", default_value_t = LAME_DUCK_DEFAULT)]
    lame_duck: u16,
    /// What to log, as in `info,runtime=debug`
    #[arg(long, global = true, env = "COUNTERSIGN_LOG", value_name = "FILTER", default_value = "info")]
    log: String,
    /// Let debuggers and core dumps see memory with keys and tokens
    #[arg(long, global = true, env = "COUNTERSIGN_DANGER_DUMPABLE", value_parser = FalseyValueParser::new())]
    danger_dumpable: bool,
}

/// How [`super::run`] runs a process that is no [`super::App`].
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// Where to write the bound addresses, or nowhere.
    pub ready_file: Option<PathBuf>,
    /// Stop when stdin is closed.
    pub exit_on_stdin_close: bool,
    /// How long to go on serving, not ready, after SIGTERM. SIGINT and a closed stdin have no such time.
    pub lame_duck: Duration,
    /// Log filter, as in `info,runtime=debug`.
    pub log: String,
    /// Leave core dumps and debuggers allowed.
    pub danger_dumpable: bool,
}

impl From<Common> for RunOptions {
    fn from(common: Common) -> Self {
        Self {
            ready_file: common.ready_file,
            exit_on_stdin_close: common.exit_on_stdin_close,
            lame_duck: Duration::from_secs(common.lame_duck.into()),
            log: common.log,
            danger_dumpable: common.danger_dumpable,
        }
    }
}

impl<U: Subcommand> Arguments<U> {
    /// The process's own command line and environment.
    pub(super) fn read(name: &'static str, short: &'static str, about: &'static str) -> Result<Self, clap::Error> {
        Self::parse_from(name, short, about, std::env::args_os())
    }

    pub(super) fn parse_from(
        name: &'static str,
        short: &'static str,
        about: &'static str,
        words: impl IntoIterator<Item = OsString>,
    ) -> Result<Self, clap::Error> {
        let prefix = short.to_uppercase();
        let overrides = format!("Any configuration key can be set as COUNTERSIGN_{prefix}__KEY or …__KEY__INNER_KEY.");
        let file = format!("Configuration file [default: /etc/countersign/{short}.yaml]");
        let command = Self::command().name(name).bin_name(name).about(about).after_help(overrides);
        let mut command = command.mut_arg("config", |argument| argument.help(file));
        let matches = command.try_get_matches_from_mut(words)?;
        let mut arguments = Self::from_arg_matches(&matches)?;
        arguments.action = arguments.chosen.take().unwrap_or(Action::Run);
        // A person waits for it, and is told what was done: what goes well needs no log.
        let by_default = matches.value_source("log") == Some(ValueSource::DefaultValue);
        if by_default && matches!(arguments.action, Action::Upkeep(_)) {
            UPKEEP_LOG.clone_into(&mut arguments.common.log);
        }
        Ok(arguments)
    }
}

/// Prints clap's own words: help is success, everything else is wrong usage.
pub(super) fn explain(usage: &clap::Error) -> ExitCode {
    drop(usage.print());
    u8::try_from(usage.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Arguments<NoUpkeep>, clap::Error> {
        let words = std::iter::once("x").chain(words.iter().copied()).map(OsString::from);
        Arguments::parse_from("countersign-test", "test", "A test.", words)
    }

    #[test]
    fn run_is_the_default_and_flags_stand_before_or_after_the_action() {
        assert_eq!(parse(&[]).unwrap().action, Action::Run);
        for words in [["--config", "a.yaml", "check"], ["check", "--config", "a.yaml"]] {
            let arguments = parse(&words).unwrap();
            assert_eq!(arguments.action, Action::Check);
            assert_eq!(arguments.common.config, Some(PathBuf::from("a.yaml")));
        }
    }

    #[test]
    fn dumps_are_forbidden_unless_asked_for() {
        assert!(!RunOptions::from(parse(&[]).unwrap().common).danger_dumpable);
        assert!(RunOptions::from(parse(&["--danger-dumpable"]).unwrap().common).danger_dumpable);
    }

    #[test]
    fn wrong_usage_exits_with_2_and_help_with_0() {
        assert_eq!(parse(&["--nonsense"]).unwrap_err().exit_code(), 2);
        let help = parse(&["--help"]).unwrap_err();
        assert_eq!(help.exit_code(), 0);
        assert!(help.to_string().contains("/etc/countersign/test.yaml"), "{help}");
    }
}

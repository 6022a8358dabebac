//! `countersign keys`: the broker's wrapping key, and orders about its signing keys. It never prints a key and never
//! overwrites one.

mod door;
mod init;
mod rewrap;
mod table;

use std::{path::PathBuf, process::ExitCode};

use clap::Subcommand;

use self::door::Order;

const LIST_EXAMPLES: &str = "\
Examples:
  countersign keys list
  countersign keys list --config broker.yaml --json
  countersign keys list --socket /var/lib/countersign/keys.sock";
const REVOKE_EXAMPLES: &str = "\
Examples:
  countersign keys list
  countersign keys revoke kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k";

const REWRAP_EXAMPLES: &str = "\
Examples:
  countersign keys init /etc/countersign/wrapping-2.key
  countersign keys rewrap --config broker.yaml --new-key /etc/countersign/wrapping-2.key";

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make the key that encrypts what the broker's store keeps: 32 random bytes, mode 0600
    ///
    /// An existing file is never overwritten: whoever loses the key loses what it encrypts.
    Init {
        /// Where, as `wrapping_key` in broker.yaml names it
        path: PathBuf,
    },
    /// List the signing keys of the running broker: which one signs, and what happens next
    ///
    /// Exit code 0: listed; 1: the broker could not be asked; 2: usage.
    #[command(after_help = LIST_EXAMPLES)]
    List(Options),
    /// Publish a new signing key, which signs after 10 minutes
    ///
    /// By then everybody who verifies holds it, so no call fails. The key that signs now verifies on until the last token
    /// that it signed has ended, and is removed then. The broker does this by itself too (`keys.rotate_every`).
    /// Exit code 0: published; 1: not; 2: usage.
    Rotate(Options),
    /// Take a signing key away at once, with every token that it signed: for a key that was stolen
    ///
    /// Sidecars refuse its tokens within seconds, and everything begun with them ends: users come back through their edge.
    /// If it was the key that signs, its successor takes its place at once, or a new key. Who keeps a copy of /jwks
    /// refuses the new key's tokens until the copy is fetched again, up to 60 s. It cannot be undone.
    /// Exit code 0: revoked; 1: not; 2: usage.
    #[command(after_help = REVOKE_EXAMPLES)]
    Revoke {
        /// Its name, as `countersign keys list` tells it
        #[arg(value_name = "KID", value_parser = kid)]
        kid: String,
        #[command(flatten)]
        options: Options,
    },
    /// Encrypt what the broker's store keeps with another wrapping key, while no broker runs
    ///
    /// Everything is read with the old key first, and then written with the new one, all of it or nothing: running
    /// transactions, signing keys and sign-outs go on. Afterwards `wrapping_key` in broker.yaml must name the new key.
    /// Exit code 0: done; 1: not, and the store is as it was; 2: usage or configuration.
    #[command(after_help = REWRAP_EXAMPLES)]
    Rewrap {
        /// File with the new key, as `countersign keys init` makes it
        #[arg(long, value_name = "FILE")]
        new_key: PathBuf,
        /// The broker's configuration, which names store and old key
        #[arg(long, value_name = "FILE", env = "COUNTERSIGN_CONFIG", default_value = "/etc/countersign/broker.yaml")]
        config: PathBuf,
    },
}

/// Which broker, and how it is told.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The broker's configuration, which names its socket
    #[arg(long, value_name = "FILE", env = "COUNTERSIGN_CONFIG", default_value = "/etc/countersign/broker.yaml")]
    config: PathBuf,
    /// The broker's socket (`keys.socket`; by default `keys.sock` beside the store), instead of the configuration
    #[arg(long, value_name = "PATH", env = "COUNTERSIGN_KEYS_SOCKET")]
    socket: Option<PathBuf>,
    /// Print JSON, times as seconds since 1970
    #[arg(long)]
    json: bool,
}

/// Does it.
pub(crate) fn main(command: &Command) -> ExitCode {
    match command {
        Command::Init { path } => init::init(path),
        Command::List(options) => door::give(options, &Order::List),
        Command::Rotate(options) => door::give(options, &Order::Rotate),
        Command::Rewrap { new_key, config } => rewrap::run(config, new_key),
        Command::Revoke { kid, options } => door::give(options, &Order::Revoke(kid.clone())),
    }
}

/// Names of keys are base64url; nothing else can be one.
fn kid(text: &str) -> Result<String, String> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if (1..=128).contains(&text.len()) && text.bytes().all(fits) {
        return Ok(text.to_owned());
    }
    Err("no name of a key; `countersign keys list` tells them".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_could_lead_elsewhere_is_none() {
        assert!(kid("kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k").is_ok());
        for text in ["", "../rotate", "a b", "a/b", "a?b", &"a".repeat(129)] {
            assert!(kid(text).is_err(), "{text}");
        }
    }
}

//! `countersign revoke`: has the broker end a token, a transaction, a session, or everything of a user or workload. It
//! comes to the broker as a workload, with an SVID of its own, and the broker's rules say what that workload may.

mod door;

use std::{fs, io::Read as _, path::PathBuf, process::ExitCode};

use clap::Subcommand;
use identity::{SpiffeId, workload_id};
use serde_json::Value;

use crate::output;

const FAILED: u8 = 1;
const USAGE: u8 = 2;
/// Longest token that is read, with what may stand around it.
const TOKEN_LENGTH_MAX: u64 = 16 * 1024;

const TOKEN_EXAMPLES: &str = "\
Examples:
  countersign revoke token leaked.jwt
  pbpaste | countersign revoke token -";
const USER_EXAMPLES: &str = "\
Examples:
  countersign revoke user 5f1c8a2e-6f0b-4a57-9d1e-0f3b1c2d4e5f
  countersign revoke user alice --authority https://keycloak.corp.example/realms/agents";

/// What to end.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// End a token of the broker: an access token by itself, a transaction token with its whole transaction
    ///
    /// The token is read from a file or from stdin, never from the command line, where every process could read it.
    #[command(after_help = TOKEN_EXAMPLES)]
    Token {
        /// File with the token; `-` is stdin
        #[arg(value_name = "FILE")]
        file: PathBuf,
        #[command(flatten)]
        options: Options,
    },
    /// End one transaction and everything below it: `txn` in the broker's record
    Transaction {
        /// Its `txn`
        #[arg(value_name = "TXN")]
        id: String,
        #[command(flatten)]
        options: Options,
    },
    /// End a user's session at an authority for good, with everything that was begun in it
    Session {
        /// Its `sid` at the authority
        #[arg(value_name = "SID")]
        id: String,
        #[command(flatten)]
        authority: Authority,
        #[command(flatten)]
        options: Options,
    },
    /// End everything of a user that the authority gave until now
    ///
    /// Who signs in again later than 30 s from now may go on. Whoever should not must be disabled at the authority, and
    /// signed out there: a session that lives on there gets new tokens.
    #[command(after_help = USER_EXAMPLES)]
    User {
        /// Its `sub` at the authority
        #[arg(value_name = "SUB")]
        subject: String,
        #[command(flatten)]
        authority: Authority,
        #[command(flatten)]
        options: Options,
    },
    /// End everything issued until now that names a workload as caller, actor or callee
    ///
    /// It gets new tokens as soon as it asks. To keep it out, first take its entry from SPIRE, or forbid it by a rule.
    Workload {
        /// Its SPIFFE ID
        #[arg(value_name = "SPIFFE-ID", value_parser = workload)]
        id: SpiffeId,
        #[command(flatten)]
        options: Options,
    },
    /// Take a signing key away at once, with every token that it signed: as `countersign keys revoke`, from afar
    Key {
        /// Its `kid`, as `/jwks` has it
        #[arg(value_name = "KID")]
        kid: String,
        #[command(flatten)]
        options: Options,
    },
}

/// Whose session or user.
#[derive(Debug, clap::Args)]
pub(crate) struct Authority {
    /// Issuer URL of the authority; not needed where the broker knows only one
    #[arg(long, value_name = "URL")]
    authority: Option<String>,
}

/// Which broker, and who asks.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The broker's `listen`, as sidecars reach it: https://host[:port]
    #[arg(long, value_name = "URL", env = "COUNTERSIGN_BROKER", value_parser = door::address)]
    broker: String,
    /// The broker's SPIFFE ID: nobody else is told anything
    #[arg(long, value_name = "SPIFFE-ID", env = "COUNTERSIGN_BROKER_ID", value_parser = workload)]
    broker_id: SpiffeId,
    /// Workload API that gives this command its identity; rules for `administer` name that
    #[arg(long, value_name = "SOCKET", env = "SPIFFE_ENDPOINT_SOCKET", value_parser = socket)]
    workload_api: String,
    /// Print the broker's answer as JSON
    #[arg(long)]
    json: bool,
}

/// Does it.
pub(crate) fn main(command: &Command) -> ExitCode {
    let (fields, options) = match command {
        Command::Token { file, options } => match token(file) {
            Ok(token) => (vec![("revoke", "token".to_owned()), ("token", token)], options),
            Err(fault) => return output::refuse(&fault, USAGE),
        },
        Command::Transaction { id, options } => {
            (vec![("revoke", "transaction".to_owned()), ("txn", id.clone())], options)
        }
        Command::Session { id, authority, options } => (of_authority("session", "sid", id, authority), options),
        Command::User { subject, authority, options } => (of_authority("user", "sub", subject, authority), options),
        Command::Workload { id, options } => {
            (vec![("revoke", "workload".to_owned()), ("workload", id.to_string())], options)
        }
        Command::Key { kid, options } => (vec![("revoke", "key".to_owned()), ("kid", kid.clone())], options),
    };
    match door::ask(options, &fields) {
        Ok(answer) if options.json => output::say(&format!("{answer}\n")),
        Ok(answer) => output::say(&told(&answer)),
        Err(fault) => output::refuse(&fault, FAILED),
    }
}

fn of_authority<'a>(
    what: &str,
    name: &'a str,
    value: &str,
    Authority { authority }: &Authority,
) -> Vec<(&'a str, String)> {
    let mut fields = vec![("revoke", what.to_owned()), (name, value.to_owned())];
    fields.extend(authority.iter().map(|issuer| ("iss", issuer.clone())));
    fields
}

fn token(file: &PathBuf) -> Result<String, String> {
    let shown = file.display();
    let mut text = String::new();
    let read = if file.as_os_str() == "-" {
        std::io::stdin().take(TOKEN_LENGTH_MAX).read_to_string(&mut text)
    } else {
        fs::File::open(file).and_then(|open| open.take(TOKEN_LENGTH_MAX).read_to_string(&mut text))
    };
    read.map_err(|fault| format!("`{shown}`: {fault}"))?;
    let token = text.trim();
    if token.is_empty() { Err(format!("`{shown}` holds no token")) } else { Ok(token.to_owned()) }
}

/// What the broker did, in words.
fn told(answer: &Value) -> String {
    let Some(what) = answer["revoked"].as_str() else {
        return "nothing to revoke: it is none of this broker's, or counts no more\n".to_owned();
    };
    if what == "key" {
        return "revoked the key; whatever it signed counts no more\n".to_owned();
    }
    let with_it = match answer["transactions"].as_u64().unwrap_or_default() {
        0 => "no running transaction ended with it".to_owned(),
        1 => "1 running transaction ended with it".to_owned(),
        several => format!("{several} running transactions ended with it"),
    };
    format!("revoked the {what}; {with_it}\n")
}

fn workload(text: &str) -> Result<SpiffeId, String> {
    workload_id(text).map_err(|fault| format!("{fault}; write it as spiffe://corp.example/ops/security"))
}

fn socket(text: &str) -> Result<String, String> {
    if text.strip_prefix("unix:///").is_some_and(|path| !path.is_empty()) {
        return Ok(text.to_owned());
    }
    Err("no unix:///<absolute path>".to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_workload_api_is_named_by_its_socket() {
        assert!(socket("unix:///run/spire/agent.sock").is_ok());
        for text in ["/run/spire/agent.sock", "unix://agent.sock", "unix:///", "tcp://127.0.0.1:8081", ""] {
            assert!(socket(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_ended_is_told_in_words() {
        for (answer, words) in [
            (json!({"revoked": "session", "transactions": 2}), "revoked the session; 2 running transactions ended"),
            (json!({"revoked": "user", "transactions": 1}), "revoked the user; 1 running transaction ended"),
            (json!({"revoked": "token", "transactions": 0}), "revoked the token; no running transaction ended"),
            (json!({"revoked": "key", "transactions": 0}), "revoked the key; whatever it signed"),
            (json!({"revoked": null, "transactions": 0}), "nothing to revoke"),
        ] {
            assert!(told(&answer).starts_with(words), "{}", told(&answer));
        }
    }
}

//! `countersign token inspect`: what a token says, what kind it is, and whether it verifies, and why. It decides nothing
//! and sends the token nowhere. Never printed: the signature, the whole token, any of the input where it is none.

mod keys;
mod kind;
mod parts;
mod show;
pub(crate) mod utc;
mod verdict;

use std::{
    fs::File,
    io::{self, IsTerminal as _, Read},
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Subcommand;
use identity::{RawToken, TOKEN_LENGTH_MAX, TokenFault};
use runtime::clock;

use self::{parts::Parts, verdict::Verdict};
use crate::{look::Look, output};

/// What may stand around a token: `Authorization: Bearer` and white space.
const AROUND_MAX: usize = 1024;
/// Exit code where the token did not verify.
const NOT_VERIFIED: u8 = 1;
/// Exit code for wrong usage.
const USAGE: u8 = 2;
/// What a pasted token may begin with, in any case.
const BEFORE: [&str; 3] = ["authorization:", "txn-token:", "bearer "];

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Tell what a token says, whether it verifies and why not
    ///
    /// Reads a compact JWS from FILE or stdin, with or without `Bearer`. Keys come from --keys, else from the running
    /// `countersign up`, by the token's issuer. The signature and the whole token are never printed.
    /// Exit code 0: verified; 1: not verified; 2: usage.
    #[command(after_help = EXAMPLES)]
    Inspect(Inspect),
}

const EXAMPLES: &str = "\
Examples:
  echo \"$TOKEN\" | countersign token inspect
  countersign token inspect token.txt --keys keys.json
  countersign token inspect --json < token.txt";

#[derive(Debug, clap::Args)]
pub(crate) struct Inspect {
    /// A file with the token; `-` or nothing: standard input
    // Several are refused here and not by the parser, which would print what was typed: `inspect Bearer eyJ…`.
    #[arg(value_name = "FILE", num_args = 0..)]
    file: Vec<PathBuf>,
    /// Keys to verify with: a file with a JWK set (RFC 7517)
    #[arg(long, value_name = "FILE")]
    keys: Option<PathBuf>,
    /// The instance of `countersign up` whose keys are used
    #[arg(long, value_name = "NAME", default_value = "default")]
    name: String,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Why there is nothing to inspect.
enum NoInput {
    /// Wrong usage, in words that hold nothing of the input.
    Usage(&'static str),
    /// It could not be read.
    Unreadable(io::Error),
    /// It is no token.
    NoToken(TokenFault),
}

/// Inspects.
pub(crate) fn main(command: &Command) -> ExitCode {
    let Command::Inspect(options) = command;
    let token = match input(&options.file) {
        Ok(token) => token,
        Err(NoInput::Usage(words)) => return output::refuse(words, USAGE),
        Err(NoInput::Unreadable(error)) => return output::refuse(&format!("the file cannot be read: {error}"), USAGE),
        Err(NoInput::NoToken(fault)) => return output::refuse(&format!("not a token: {fault}"), NOT_VERIFIED),
    };
    let parts = match Parts::of(&token) {
        Ok(parts) => parts,
        Err(fault) => return output::refuse(&format!("not a token: {fault}"), NOT_VERIFIED),
    };
    let source = match keys::find(options.keys.as_deref(), &options.name, &parts) {
        Ok(source) => source,
        Err(told) => return output::refuse(&told, USAGE),
    };
    let verdict = verdict::of(&token, &parts, &source, clock::now());
    let text = if options.json {
        show::as_json(&parts, &verdict, &source)
    } else {
        let look = Look::of_stdout();
        show::lines(&parts, &verdict, clock::now()).iter().map(|line| line.render(look)).collect()
    };
    let wrote = output::wrote(&text);
    if wrote && matches!(verdict, Verdict::Verified(_)) { ExitCode::SUCCESS } else { ExitCode::from(NOT_VERIFIED) }
}

/// The token, without what stands around it.
fn input(files: &[PathBuf]) -> Result<RawToken, NoInput> {
    if files.iter().any(|file| looks_like_token(file)) {
        return Err(NoInput::Usage(
            "give the token in a file or on standard input, not as an argument: everybody on this machine sees \
             arguments, and shells remember them",
        ));
    }
    if files.len() > 1 {
        return Err(NoInput::Usage("one token at a time: give one file"));
    }
    let text = match files.first().filter(|file| *file != Path::new("-")) {
        Some(file) => File::open(file).and_then(bounded),
        None => {
            if io::stdin().is_terminal() {
                output::pass_on(b"paste the token, then Enter and Ctrl-D:\n");
            }
            bounded(io::stdin())
        }
    };
    let text = text.map_err(NoInput::Unreadable)?;
    if text.len() > TOKEN_LENGTH_MAX.saturating_add(AROUND_MAX) {
        return Err(NoInput::NoToken(TokenFault::TooLong));
    }
    let text = String::from_utf8(text).map_err(|_not_text| NoInput::NoToken(TokenFault::Malformed))?;
    RawToken::parse(bare(&text).to_owned()).map_err(NoInput::NoToken)
}

/// One byte more than can be a token is enough to be refused.
fn bounded(from: impl Read) -> io::Result<Vec<u8>> {
    let longest = TOKEN_LENGTH_MAX.saturating_add(AROUND_MAX).saturating_add(1);
    let mut text = Vec::new();
    from.take(u64::try_from(longest).unwrap_or(u64::MAX)).read_to_end(&mut text)?;
    Ok(text)
}

fn looks_like_token(argument: &Path) -> bool {
    let text = argument.to_string_lossy();
    bare(&text).starts_with("eyJ") && text.matches('.').count() >= 2
}

/// The text without white space, header name and scheme around it.
fn bare(text: &str) -> &str {
    let mut rest = text.trim();
    for before in BEFORE {
        if rest.get(..before.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(before)) {
            rest = rest.get(before.len()..).unwrap_or_default().trim_start();
        }
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_taken_out_of_what_was_pasted() {
        for text in [
            "a.b.c",
            " a.b.c\n",
            "Bearer a.b.c",
            "bearer  a.b.c",
            "Authorization: Bearer a.b.c\r\n",
            "Txn-Token: a.b.c",
        ] {
            assert_eq!(bare(text), "a.b.c", "{text:?}");
        }
        assert_eq!(bare("ünïcode"), "ünïcode");
    }

    #[test]
    fn a_token_is_not_taken_from_the_command_line() {
        assert!(looks_like_token(Path::new("eyJh.eyJz.c2ln")) && looks_like_token(Path::new("Bearer eyJh.eyJz.c2ln")));
        for file in ["token.txt", "-", "eyJ", "a.b.c"] {
            assert!(!looks_like_token(Path::new(file)), "{file}");
        }
    }
}

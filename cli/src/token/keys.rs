//! Which keys a token is verified with: those of a file, else those that the running `countersign up` publishes for the
//! token's issuer. No URL that a token names is ever asked, and SVIDs of the embedded Workload API have no public keys.

use std::{fs::File, io::Read as _, path::Path, time::Duration};

use dev::{
    apps::Call,
    up::{Line, Place, Status},
};
use http::Method;
use identity::{KeySet, workload_id};
use runtime::causes::causes;
use tokio::time::timeout;

use super::{kind::Kind, parts::Parts};

/// Longest file of keys in bytes, and one more, so that a longer one is told as such.
const FILE_LENGTH_MAX: u64 = 1024 * 1024 + 1;
/// Longest wait for the instance and its keys together.
const ASK_MAX: Duration = Duration::from_secs(10);

/// Keys, or why there are none.
#[derive(Debug)]
pub(super) enum Source {
    /// Whose they are, and they.
    Keys { of: String, keys: KeySet },
    /// None, and what to do.
    None(String),
}

impl Source {
    /// Whose the keys are.
    pub(super) fn name(&self) -> Option<&str> {
        match self {
            Self::Keys { of, .. } => Some(of),
            Self::None(_) => None,
        }
    }
}

/// The keys for a token.
///
/// # Errors
/// The file with keys cannot be used.
pub(super) fn find(file: Option<&Path>, instance: &str, parts: &Parts) -> Result<Source, String> {
    if let Some(file) = file {
        return of_file(file);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("cannot start: {error}"))?;
    let place = Place::of_user(instance).map_err(|fault| causes(&fault))?;
    let asked = runtime.block_on(async { timeout(ASK_MAX, of_up(&place, parts)).await });
    Ok(asked.unwrap_or_else(|_elapsed| Source::None("the running `countersign up` does not answer".to_owned())))
}

fn of_file(file: &Path) -> Result<Source, String> {
    let shown = file.display();
    if file.to_string_lossy().contains("://") {
        return Err("--keys takes a file: fetch the JWK set with `curl -s URL > keys.json`, and give that".to_owned());
    }
    let mut text = Vec::new();
    let read = File::open(file).and_then(|opened| opened.take(FILE_LENGTH_MAX).read_to_end(&mut text));
    // Without its name, in whose place a token may have been pasted.
    read.map_err(|error| format!("the file of --keys cannot be read: {error}"))?;
    let keys = KeySet::parse(&text).map_err(|fault| format!("the file of --keys: {fault}"))?;
    if keys.is_empty() {
        return Err("the file of --keys holds no key that can verify a signature".to_owned());
    }
    Ok(Source::Keys { of: format!("file {shown}"), keys })
}

async fn of_up(place: &Place, parts: &Parts) -> Source {
    let advice = "give --keys with a JWK set";
    let status = match Line::connect(place).await {
        Ok(Some(mut line)) => line.status().await,
        Ok(None) => return Source::None(format!("no `countersign up` runs, so no keys are known; {advice}")),
        Err(fault) => Err(fault),
    };
    let status = match status {
        Ok(status) => status,
        Err(fault) => return Source::None(format!("{}; {advice}", causes(&fault))),
    };
    let Some((of, url)) = whose(&status, parts) else {
        let of = if Kind::of(parts) == Kind::Svid { "the trust domain's keys are" } else { "its issuer is" };
        return Source::None(format!("{of} not known to the running `countersign up`; {advice}"));
    };
    let fetched = Call::new(Method::GET, &url).send().await;
    let keys = match fetched {
        Ok(answer) if answer.status.is_success() => KeySet::parse(&answer.body).map_err(|fault| fault.to_string()),
        Ok(answer) => Err(format!("it answered {}", answer.status)),
        Err(fault) => Err(causes(&fault)),
    };
    match keys {
        Ok(keys) => Source::Keys { of, keys },
        Err(told) => Source::None(format!("the keys of {of} cannot be had: {told}")),
    }
}

/// Whose the token says it is, if that is one whom we started, and where its keys are.
fn whose(status: &Status, parts: &Parts) -> Option<(String, String)> {
    if Kind::of(parts) == Kind::Svid {
        let own = workload_id(parts.claim("sub")?).ok()?.trust_domain().as_str() == status.trust_domain;
        return status.svid_keys.clone().filter(|_url| own).map(|url| ("the running SPIRE".to_owned(), url));
    }
    let issuer = parts.claim("iss")?;
    if issuer == status.issuer {
        return Some(("the running broker".to_owned(), format!("{}/jwks", status.public)));
    }
    let url = format!("{}/protocol/openid-connect/certs", status.provider);
    (issuer == status.provider).then(|| ("the running provider".to_owned(), url))
}

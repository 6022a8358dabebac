//! The real peers: what of them is wanted here, getting it, and `cargo xtask peers`. How they are got stands in the crate
//! `peers`, how they are run in `dev`; nothing here knows a version or a client.

mod addresses;
mod alone;
mod process;
mod run_folder;

use std::{error::Error as _, process::ExitCode};

use anyhow::Context as _;
use peers::{Cache, FetchFault, Lacking, State, What, machine};

pub(crate) use self::alone::{down, up};
use crate::MACHINE_LACKS;

/// Bytes of a megabyte, as disks are sold.
const MEGABYTE: u64 = 1_000_000;

/// The peers that one task wants.
#[derive(Debug)]
pub(crate) struct Peers {
    pub(crate) cache: Cache,
    pub(crate) wanted: Vec<What>,
}

impl Peers {
    /// Everything that this checkout names.
    ///
    /// # Errors
    /// Nobody says where the cache is, or the checkout is not whole.
    pub(crate) fn everything() -> Result<Self, Lacking> {
        let cache = cache()?;
        let wanted = cache.everything().map_err(|fault| Lacking {
            what: format!("the folder `peers/python` of this checkout ({fault})"),
            remedy: "git checkout peers/python".to_owned(),
        })?;
        Ok(Self { cache, wanted })
    }

    /// No peer at all.
    #[cfg(test)]
    pub(crate) fn none() -> Self {
        Self { cache: cache().expect("a cache folder"), wanted: Vec::new() }
    }

    /// Those that are not in the cache.
    pub(crate) fn missing(&self) -> Vec<What> {
        self.cache.missing(&self.wanted)
    }

    /// Gets what is missing. `false`: the reason was told, by the same function.
    pub(crate) fn fetch(&self, tell: &mut dyn FnMut(&str)) -> bool {
        match peers::fetch(&self.cache, &self.wanted, tell) {
            Ok(()) => true,
            Err(fault) => {
                tell(&format!("error: {}", told(&fault)));
                false
            }
        }
    }
}

/// `cargo xtask peers fetch`.
pub(crate) fn fetch_all() -> anyhow::Result<ExitCode> {
    let peers = match Peers::everything() {
        Ok(peers) => peers,
        Err(lacking) => return Ok(refuse(&lacking)),
    };
    let nothing_to_do = peers.missing().is_empty();
    if !peers.fetch(&mut |line| say!("{line}")) {
        return Ok(ExitCode::from(MACHINE_LACKS));
    }
    let folder = peers.cache.folder().display();
    say!("{}all real peers are in {folder}", if nothing_to_do { "Nothing to do: " } else { "Done: " });
    Ok(ExitCode::SUCCESS)
}

/// Gets the servers that `countersign` starts. `false`: the reason was told.
pub(crate) fn fetch_servers(tell: &mut dyn FnMut(&str)) -> bool {
    let wanted = vec![What::Keycloak, What::Spire];
    match cache() {
        Ok(cache) => Peers { cache, wanted }.fetch(tell),
        Err(Lacking { what, remedy }) => {
            tell(&format!("error: {what} is missing; get it: {remedy}"));
            false
        }
    }
}

/// `cargo xtask peers status`.
pub(crate) fn status() -> anyhow::Result<ExitCode> {
    let peers = match Peers::everything() {
        Ok(peers) => peers,
        Err(lacking) => return Ok(refuse(&lacking)),
    };
    let items = peers::inventory(&peers.cache).context("the cache cannot be read")?;
    say!("Real peers, kept in {}", peers.cache.folder().display());
    for item in &items {
        let state = match item.state {
            State::Ready => "ready",
            State::Missing => "MISSING",
            State::Unused => "unused",
        };
        let megabytes = item.bytes.div_ceil(MEGABYTE);
        let size = if item.bytes == 0 { String::new() } else { format!("{megabytes} MB") };
        let folder = item.path.file_name().unwrap_or_default().display();
        say!("  {state:<8} {:<40} {size:>8}  {folder}", item.name);
    }
    if items.iter().any(|item| item.state == State::Unused) {
        say!("\nUnused folders were made for other versions of this checkout's files; they may be deleted.");
    }
    if !peers.missing().is_empty() {
        say!("\nMissing ones are got by `cargo xtask peers fetch`.");
        for Lacking { what, remedy } in machine(&peers.cache, &peers.wanted).into_iter().filter_map(Result::err) {
            say!("  this machine lacks {what}\n    get it: {remedy}");
        }
    }
    alone::status(&peers.cache)?;
    Ok(ExitCode::SUCCESS)
}

fn cache() -> Result<Cache, Lacking> {
    let lacking =
        |missing: peers::Missing| Lacking { what: missing.what().to_owned(), remedy: missing.remedy().to_owned() };
    Cache::of_user().map_err(lacking)
}

fn refuse(Lacking { what, remedy }: &Lacking) -> ExitCode {
    note!("error: {what} is missing; get it: {remedy}");
    ExitCode::from(MACHINE_LACKS)
}

/// A fault with its cause.
fn told(fault: &FetchFault) -> String {
    fault.source().map_or_else(|| fault.to_string(), |cause| format!("{fault}: {cause}"))
}

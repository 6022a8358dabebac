//! Gets what is missing: one thing after the other, each in a draft that is renamed once it is whole, by the ordinary
//! clients alone.

mod http;
mod keycloak;
mod python;
mod seed;
mod spire;

use std::{fs, path::PathBuf};

use crate::{
    cache::{Cache, What},
    fault::FetchFault,
    lock,
    machine::{Lacking, machine},
    progress::Progress,
};

/// Gets those of `what` that are not in the cache; where nothing is missing it only looks. `tell` gets one line at a time,
/// at least every 30 seconds. One run at a time makes something; a second one waits, and says so.
///
/// # Errors
/// The machine lacks something, a client fails or takes too long, or the file system refuses. What was got before stays.
pub fn fetch(cache: &Cache, what: &[What], tell: &mut dyn FnMut(&str)) -> Result<(), FetchFault> {
    let missing = cache.missing(what);
    if missing.is_empty() {
        return Ok(());
    }
    let lacking: Vec<Lacking> = machine(cache, &missing).into_iter().filter_map(Result::err).collect();
    if !lacking.is_empty() {
        return Err(FetchFault::Machine(lacking));
    }
    let mut progress = Progress::new(tell);
    fs::create_dir_all(cache.folder()).map_err(FetchFault::at(cache.folder()))?;
    let _held = lock::take(cache.folder(), &mut progress)?;
    // Looked at again: another run may have got it meanwhile.
    for what in cache.missing(&missing) {
        progress.about(capitalised(&what));
        match &what {
            What::Keycloak => {
                if !cache.keycloak_home().join("bin/kc.sh").is_file() {
                    keycloak::fetch(cache, &mut progress)?;
                }
                seed::make(cache, &mut progress)?;
            }
            What::Spire => spire::fetch(cache, &mut progress)?,
            What::Python(name) => python::fetch(cache, name, &mut progress)?,
        }
        if let [left, ..] = cache.missing(std::slice::from_ref(&what)).as_slice() {
            return Err(FetchFault::Wrong(format!("{left} was made and is not there")));
        }
        progress.say("ready");
    }
    Ok(())
}

/// A fresh file for what the commands say, removed once they are done.
fn log(cache: &Cache, name: &str) -> Result<PathBuf, FetchFault> {
    let log = cache.folder().join(format!("{name}.log"));
    fs::write(&log, "").map_err(FetchFault::at(&log))?;
    Ok(log)
}

fn capitalised(what: &What) -> String {
    match what {
        What::Keycloak | What::Spire => what.to_string(),
        What::Python(name) => format!("Python environment `{name}`"),
    }
}

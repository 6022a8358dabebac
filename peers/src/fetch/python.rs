//! A Python environment: made where it stays, because its scripts name their own place. It counts only with the file that
//! is written last.

use std::{fs, time::Duration};

use super::log;
use crate::{
    cache::{Cache, WHOLE},
    fault::FetchFault,
    program::{self, run},
    progress::Progress,
};

/// Longest making of an empty environment.
const MAKE: Duration = Duration::from_secs(5 * 60);
/// Longest installation.
const INSTALL: Duration = Duration::from_secs(20 * 60);

/// Makes it.
pub(super) fn fetch(cache: &Cache, name: &str, progress: &mut Progress<'_>) -> Result<(), FetchFault> {
    let requirements = cache.requirements(name);
    let folder_name = cache.python_name(name).map_err(FetchFault::at(&requirements))?;
    let folder = cache.folder().join(&folder_name);
    let log = log(cache, &folder_name)?;
    if folder.exists() {
        fs::remove_dir_all(&folder).map_err(FetchFault::at(&folder))?;
    }
    let mut make = program::command("python3");
    make.args(["-m", "venv"]).arg(&folder);
    run(make, "making it", MAKE, &log, progress)?;
    let python = folder.join("bin/python");
    let mut install = program::command(&python);
    install.args([
        "-m",
        "pip",
        "install",
        "--require-virtualenv",
        "--no-input",
        "--disable-pip-version-check",
        "-q",
        "-r",
    ]);
    install.arg(&requirements);
    run(install, "installing its packages", INSTALL, &log, progress)?;
    let interpreter = python.canonicalize().map_err(FetchFault::at(&python))?;
    let interpreter = interpreter.to_str().ok_or_else(|| {
        FetchFault::Wrong(format!("the name of Python's interpreter is no text: `{}`", interpreter.display()))
    })?;
    let whole = folder.join(WHOLE);
    fs::write(&whole, interpreter).map_err(FetchFault::at(&whole))?;
    fs::remove_file(&log).map_err(FetchFault::at(&log))
}

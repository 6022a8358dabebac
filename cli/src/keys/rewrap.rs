//! `countersign keys rewrap`: has the broker's own program change the wrapping key of its store, so that there is one judge
//! of its configuration and one writer of its files.

use std::{
    path::Path,
    process::{Command, ExitCode},
};

use crate::output;

const FAILED: u8 = 1;

/// Has it done, in that program's own words.
pub(super) fn run(config: &Path, new_key: &Path) -> ExitCode {
    let program = std::env::current_exe().unwrap_or_default().with_file_name("countersign-broker");
    let ran = Command::new(&program).args(["rewrap", "--config"]).arg(config).arg("--new-key").arg(new_key).status();
    match ran {
        Ok(status) => status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from),
        Err(error) => output::refuse(&format!("`{}` cannot be started: {error}", program.display()), FAILED),
    }
}

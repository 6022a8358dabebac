//! `countersign-demo-app`: plays one program of the demo. For development only.

use std::process::ExitCode;

use clap::Parser as _;
use dev::apps::{self, Options};

fn main() -> ExitCode {
    let options = Options::parse();
    let ran = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Into::into)
        .and_then(|runtime| runtime.block_on(apps::run(options)));
    match ran {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report(&error);
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stderr, reason = "the place where a program that failed says why")]
fn report(error: &anyhow::Error) {
    eprintln!("countersign-demo-app: {error:#}");
}

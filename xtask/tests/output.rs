//! What xtask does where nobody reads what it says.

use std::{
    io,
    process::{Command, Stdio},
};

#[test]
fn an_output_that_nobody_reads_is_no_panic() {
    let (reader, writer) = io::pipe().expect("a pipe");
    drop(reader);
    let mut status = Command::new(env!("CARGO_BIN_EXE_xtask"));
    let status = status.args(["peers", "status"]).stdin(Stdio::null()).stdout(writer);
    let told = status.output().expect("ran");
    let errors = String::from_utf8_lossy(&told.stderr);
    assert!(told.status.success() && !errors.contains("panicked"), "{}: {errors}", told.status);
}

//! The process of the sidecar: everything is in the library.

fn main() -> std::process::ExitCode {
    runtime::process::main::<sidecar::App>()
}

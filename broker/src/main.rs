//! The process of the broker: everything is in the library.

fn main() -> std::process::ExitCode {
    runtime::process::main::<broker::App>()
}

//! What a process that holds keys does to itself before it begins: no dumps, no debugger, and panics that tell where
//! but not what, for a panic's words may hold a value.

use anyhow::Context as _;
use rustix::process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit};

/// No core dump, and no other process of the same user may read this one's memory (PR_SET_DUMPABLE 0).
pub(super) fn forbid_dumps() -> anyhow::Result<()> {
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    setrlimit(Resource::Core, none).context("cannot forbid core dumps")?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable).context("cannot forbid memory dumps")
}

/// As many file descriptors as we may have: the soft limit of 1024 is for programs that use `select`.
pub(super) fn raise_descriptor_limit() {
    let limit = getrlimit(Resource::Nofile);
    if let Err(fault) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }) {
        tracing::debug!(%fault, "the limit of file descriptors stays as it is");
    }
}

/// Panics become log lines with their place and without their words.
pub(super) fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let thread = std::thread::current();
        tracing::error!(place, thread = thread.name().unwrap_or("unnamed"), "panic");
    }));
}

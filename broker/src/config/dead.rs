//! Entries that are right and of no use, most likely slips. They are warned of and refuse nothing.

use std::collections::BTreeSet;

use policies::Policies;
use runtime::config::Problems;

use super::raw::{RawConfig, RawKind, RawTarget};

pub(super) fn warn(raw: &RawConfig, policies: Option<&Policies>, problems: &mut Problems) {
    let edges = raw.edges.iter().flat_map(|edge| edge.scopes.iter().map(String::as_str));
    let known: BTreeSet<&str> = edges.chain(raw.targets.iter().flat_map(mapped)).collect();
    for (index, target) in raw.targets.iter().enumerate() {
        let key = |name: &str| format!("targets[{index}].{name}");
        if target.hosts.is_empty() {
            problems.warn(&key("hosts"), "empty, so no app can call this target");
        }
        let unused = |policies: &Policies| target.kind == RawKind::Workload && !policies.is_used(&target.name);
        if policies.is_some_and(unused) {
            problems.warn(&key("name"), "no rule permits anybody to `use` this target, so nobody can call it");
        }
        for scope in target.passes_on.iter().flatten().filter(|scope| !known.contains(scope.as_str())) {
            problems.warn(&key("passes_on"), format!("no edge, `mcp` or `routes` has the scope `{scope}`"));
        }
    }
}

/// The scopes that calls of this target need.
fn mapped(target: &RawTarget) -> impl Iterator<Item = &str> {
    let mcp = target.mcp.iter();
    let mcp = mcp.flat_map(|mcp| mcp.tools.values().chain(mcp.resources.values()).chain(mcp.prompts.values()));
    mcp.chain(target.routes.iter().map(|route| &route.scope)).map(String::as_str)
}

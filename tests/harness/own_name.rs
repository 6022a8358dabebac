//! Targets that a workload calls in its own name: their entries in the registry, and rules for them.

use dev::stack::StackOptions;
use serde_json::{Value, json};

/// The resource of the workload target `inventory`.
pub const INVENTORY: &str = "https://inventory.tools.svc/v1";

/// The registry's entry of a target of kind `workload` that listens at `connect`: `inventory` is called by
/// `inventory.tool`, and its resource is [`INVENTORY`].
#[must_use]
pub fn service(name: &str, connect: &str) -> Value {
    json!({
        "name": name,
        "kind": "workload",
        "resource": format!("https://{name}.tools.svc/v1"),
        "hosts": [format!("{name}.tool")],
        "connect": connect,
    })
}

/// The policy file of a rule by which planner may call it.
#[must_use]
pub fn planner_uses(name: &str) -> (String, String) {
    let rule = format!(
        r#"@id("planner-uses-{name}") permit (
            principal == Workload::"spiffe://corp.example/ns/agents/sa/planner",
            action == Action::"use",
            resource == Target::"{name}"
        );"#
    );
    (format!("planner-uses-{name}.cedar"), rule)
}

/// Turns the `self` door of a member's sidecar on.
pub fn open_self_door(options: &mut StackOptions, member: &str) {
    let file = options.sidecars.entry(member.to_owned()).or_insert_with(|| json!({}));
    file["self"] = json!({ "listen": "127.0.0.1:0" });
}

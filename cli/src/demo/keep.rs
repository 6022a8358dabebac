//! What a stack that is left running offers: addresses, and commands to paste.

use dev::{
    stack::{BROKER, Stack},
    up::sign_in,
};

use super::event::Kept;

/// Addresses and three `curl` lines.
pub(super) fn kept(stack: &Stack) -> Kept {
    let edge = stack.edge("planner").unwrap_or_default();
    let admin = |process: &str| stack.address(process, "admin").unwrap_or_default();
    let addresses = [
        ("planner, edge", edge.clone()),
        ("planner, metrics", format!("http://{}/metrics", admin("planner-sidecar"))),
        ("broker, metrics", format!("http://{}/metrics", admin(BROKER))),
        ("broker, keys", format!("{}/jwks", stack.broker_public().unwrap_or_default())),
        ("provider", stack.issuer().to_owned()),
        ("files and logs", stack.folder().display().to_string()),
    ];
    Kept {
        addresses: addresses.map(|(name, address)| (name.to_owned(), address)).to_vec(),
        commands: commands(sign_in(stack, "alice", "tickets:read tickets:write"), &edge),
    }
}

/// Signing in, a question, and a refusal.
fn commands(sign_in: Vec<String>, edge: &str) -> Vec<Vec<String>> {
    let ask = |question: &str| {
        vec![
            format!("curl -s --noproxy '*' -w '\\n' {edge}/ask \\"),
            "  -H \"Authorization: Bearer $TOKEN\" -H 'Content-Type: application/json' \\".to_owned(),
            format!("  -d '{{\"question\":\"{question}\"}}'"),
        ]
    };
    vec![sign_in, ask("Which of my tickets are open?"), ask("close_ticket T-1")]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_can_be_copied_from_80_columns() {
        let commands = commands(vec!["TOKEN=".to_owned()], "http://127.0.0.1:65535");
        assert_eq!(commands.len(), 3);
        for line in commands.iter().flatten() {
            assert!(line.chars().count() <= 80, "{line}");
        }
    }
}

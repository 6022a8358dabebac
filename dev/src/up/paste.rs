//! Commands to paste into a shell.

use crate::stack::Stack;

/// A command that signs `user` in and leaves the token in `$TOKEN`, in lines of at most 80 columns. The token is not
/// printed, and the passwords are those of development.
#[must_use]
pub fn sign_in(stack: &Stack, user: &str, scope: &str) -> Vec<String> {
    lines(stack.issuer(), &stack.sign_in_form(user, scope))
}

fn lines(issuer: &str, form: &[(&str, &str)]) -> Vec<String> {
    let mut lines = vec!["TOKEN=$(curl -s --noproxy '*' \\".to_owned()];
    lines.extend(form.chunks(2).map(|pairs| {
        let pairs: Vec<_> = pairs.iter().map(|(name, value)| format!("-d {}", quoted(name, value))).collect();
        format!("  {} \\", pairs.join(" "))
    }));
    lines.push(format!("  {issuer}/protocol/openid-connect/token \\"));
    lines.push("  | sed 's/.*\"access_token\":\"\\([^\"]*\\)\".*/\\1/')".to_owned());
    lines
}

/// Scopes and passwords of development hold no quote.
fn quoted(name: &str, value: &str) -> String {
    let plain = value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    if plain { format!("{name}={value}") } else { format!("'{name}={}'", value.replace('\'', "")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_can_be_copied_from_80_columns() {
        let form = [
            ("grant_type", "password"),
            ("client_id", "console"),
            ("username", "alice"),
            ("password", "alice"),
            ("scope", "tickets:read tickets:write"),
        ];
        let lines = lines("http://127.0.0.1:65535/realms/agents", &form);
        assert!(lines.iter().all(|line| line.chars().count() <= 80), "{lines:#?}");
        assert_eq!(lines[1], "  -d grant_type=password -d client_id=console \\");
        assert_eq!(lines[3], "  -d 'scope=tickets:read tickets:write' \\");
    }
}

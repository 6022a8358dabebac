//! How deep the brackets of a policy file go. Cedar's parser goes down with each of them until the stack ends, and the
//! process with it; so a text is looked at here before Cedar is given it. Nothing else is checked.

/// Deepest nesting of brackets; the deepest rule that a person reads has about eight.
const DEPTH_MAX: usize = 64;

/// Byte of the first bracket that is too deep, if one is. Strings and comments do not count.
pub(crate) fn too_deep(text: &str) -> Option<usize> {
    let mut depth = 0_usize;
    let mut bytes = text.bytes().enumerate().peekable();
    while let Some((offset, byte)) = bytes.next() {
        match byte {
            b'"' => {
                while bytes.next().is_some_and(|(_, byte)| byte != b'"' && (byte != b'\\' || bytes.next().is_some())) {}
            }
            b'/' if bytes.peek().is_some_and(|(_, next)| *next == b'/') => {
                while bytes.next().is_some_and(|(_, byte)| byte != b'\n') {}
            }
            b'(' | b'[' | b'{' if depth >= DEPTH_MAX => return Some(offset),
            b'(' | b'[' | b'{' => depth = depth.saturating_add(1),
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _other => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_bracket_more_than_the_limit_is_found_where_it_stands() {
        for open in ["(", "[", "{"] {
            assert_eq!(too_deep(&open.repeat(DEPTH_MAX)), None);
            assert_eq!(too_deep(&open.repeat(DEPTH_MAX + 1)), Some(DEPTH_MAX));
        }
        assert_eq!(too_deep(&"()".repeat(1000)), None);
    }

    #[test]
    fn strings_and_comments_do_not_count_and_hide_nothing_behind_them() {
        let deep = "(".repeat(DEPTH_MAX + 1);
        for harmless in
            [format!(r#""{deep}""#), format!("// {deep}\n"), format!(r#""\"{deep}""#), format!(r#""{deep}"#)]
        {
            assert_eq!(too_deep(&harmless), None, "{harmless}");
        }
        for before in [r#""a" "#, r#""\\" "#, r#""//" "#, "// \"\n", "/ ", r#""\"" "#] {
            assert_eq!(too_deep(&format!("{before}{deep}")), Some(before.len() + DEPTH_MAX), "{before}");
        }
    }
}

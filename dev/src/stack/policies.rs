//! The default policies, within the binary, so that the demo needs no checkout.

use std::collections::BTreeMap;

macro_rules! default_policies {
    ($($name:literal),* $(,)?) => {
        [$((concat!($name, ".cedar"), include_str!(concat!("../../../policies/default/", $name, ".cedar")))),*]
    };
}

/// Every file of `policies/default`; a test compares.
const DEFAULT: [(&str, &str); 4] = default_policies![
    "planner-may-call-researcher",
    "planner-may-read-tickets",
    "researcher-may-read-tickets-when-planner-asked",
    "support-may-begin-at-planner",
];

/// The default policies: file name to text.
#[must_use]
pub fn default_policies() -> BTreeMap<String, String> {
    DEFAULT.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;

    #[test]
    fn every_default_policy_is_embedded() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../policies/default");
        let files = fs::read_dir(folder).expect("the folder").map(|entry| entry.expect("a file").path());
        let there: BTreeMap<_, _> = files
            .map(|path| {
                let name = path.file_name().expect("a name").to_string_lossy().into_owned();
                (name, fs::read_to_string(&path).expect("text"))
            })
            .collect();
        assert_eq!(default_policies(), there);
    }

    #[test]
    fn the_rule_that_the_readme_shows_is_a_default_policy() {
        let readme = include_str!("../../../README.md");
        let shown = readme.split("```cedar").nth(1).and_then(|rest| rest.split("```").next()).expect("a rule");
        let shown = words(shown);
        assert!(default_policies().values().any(|text| words(text) == shown), "{shown}");
    }

    /// The rule without comments and layout.
    fn words(text: &str) -> String {
        let code = text.lines().filter(|line| !line.starts_with("//"));
        code.flat_map(str::chars).filter(|character| !character.is_whitespace()).collect()
    }
}

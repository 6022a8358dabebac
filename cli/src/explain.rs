//! `countersign explain`: what a refusal's code means and what to do about it. Everything is in the binary; nothing is
//! asked over a network, so it also works where the refusal happened.

use std::process::ExitCode;

use identity::Refusal;

use crate::output;

/// The list that docs show, kept equal to the code by a test.
const REFUSALS: &str = include_str!("../../docs/refusals.md");
/// How unlike a known code may be for "did you mean": a transposition or a forgotten word.
const LIKENESS_MIN: f64 = 0.75;

/// Explains `code`.
pub(crate) fn main(code: &str) -> ExitCode {
    match explanation(code) {
        Some(text) => output::say(&text),
        None => {
            let meant = nearest(code).map(|known| format!("; did you mean `{known}`?")).unwrap_or_default();
            output::refuse(
                &format!("`{code}` is no code of a refusal{meant}\nAll codes are listed in docs/refusals.md."),
                2,
            )
        }
    }
}

fn explanation(code: &str) -> Option<String> {
    let refusal = Refusal::from_code(code)?;
    let kind = if refusal.is_fault() { "fault: try again" } else { "refusal" };
    let mut text = format!("{code} ({kind})\n{}\n", refusal.message());
    let listed = if let Refusal::PolicyForbidden(rule) = &refusal {
        text.push_str(&format!("\nThe policy rule `{rule}` forbids it.\n"));
        "policy.<rule id>"
    } else {
        code
    };
    for (heading, cell) in row_of(listed) {
        text.push_str(&format!("\n{heading}: {cell}\n"));
    }
    Some(text)
}

/// The cells of the row whose first cell is `code`, each with the heading of its column.
fn row_of(code: &str) -> Vec<(&'static str, &'static str)> {
    let mut headings: Vec<&str> = Vec::new();
    let mut before: Vec<&str> = Vec::new();
    for line in REFUSALS.lines() {
        let cells = cells(line);
        let is_rule = |cell: &&str| !cell.is_empty() && cell.chars().all(|character| matches!(character, '-' | ':'));
        if !cells.is_empty() && cells.iter().all(is_rule) {
            headings = before;
        }
        if cells.first().is_some_and(|first| first.trim_matches('`') == code) {
            return headings.into_iter().zip(cells).skip(1).filter(|(_heading, cell)| !cell.is_empty()).collect();
        }
        before = cells;
    }
    Vec::new()
}

fn cells(line: &'static str) -> Vec<&'static str> {
    let inner = line.trim().strip_prefix('|').and_then(|line| line.strip_suffix('|'));
    inner.map(|inner| inner.split('|').map(str::trim).collect()).unwrap_or_default()
}

fn nearest(code: &str) -> Option<String> {
    let codes = Refusal::catalogue().map(|refusal| refusal.code().into_owned());
    let likeness = codes.map(|known| (strsim::jaro_winkler(code, &known), known));
    let best = likeness.max_by(|(one, _), (other, _)| one.total_cmp(other));
    best.filter(|(likeness, _known)| *likeness >= LIKENESS_MIN).map(|(_likeness, known)| known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_explained_with_what_to_do() {
        for refusal in Refusal::catalogue() {
            let code = refusal.code();
            let text = explanation(&code).expect("known");
            assert!(text.contains(refusal.message()), "{code}");
            assert!(text.lines().count() > 3, "`{code}` has no row in docs/refusals.md");
        }
    }

    #[test]
    fn a_forbids_rule_is_named() {
        assert!(explanation("policy.deny-no-mfa").expect("known").contains("`deny-no-mfa`"));
    }

    #[test]
    fn a_misspelt_code_gets_a_suggestion() {
        assert_eq!(nearest("scope.not_permited").as_deref(), Some("scope.not_permitted"));
        assert_eq!(nearest("zzz"), None);
    }
}

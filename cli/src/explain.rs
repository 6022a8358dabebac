//! `countersign explain`: what a refusal's code means and what to do about it. Everything is in the binary; nothing is
//! asked over a network, so it also works where the refusal happened.

use std::process::ExitCode;

use identity::Refusal;

use crate::{
    look::Look,
    output,
    text::{Line, Tone},
};

/// The list that docs show, kept equal to the code by a test.
const REFUSALS: &str = include_str!("../../docs/refusals.md");
/// How unlike a known code may be for "did you mean": a transposition or a forgotten word.
const LIKENESS_MIN: f64 = 0.75;
/// How the list writes the code of whatever forbid rule speaks.
const ANY_FORBID: &str = "policy.<rule id>";
/// Column of what is told of a code.
const CELL_COLUMN: usize = 20;
/// Column of a code's message in the list of all: the longest code and a space.
const MESSAGE_COLUMN: usize = 34;
/// Narrower than this, columns give way to lines.
const TABLE_COLUMNS: usize = 60;

/// Explains `code`, or lists all codes.
pub(crate) fn main(code: Option<&str>) -> ExitCode {
    let look = Look::of_stdout();
    let Some(code) = code else { return output::say(&rendered(&all(look), look)) };
    match explanation(code, look) {
        Some(lines) => output::say(&rendered(&lines, look)),
        None => {
            let meant = nearest(code).map(|known| format!("; did you mean `{known}`?")).unwrap_or_default();
            let all = "`countersign explain` lists all codes.";
            output::refuse(&format!("`{code}` is no code of a refusal{meant}\n{all}"), 2)
        }
    }
}

fn rendered(lines: &[Line], look: Look) -> String {
    lines.iter().map(|line| line.render(look)).collect()
}

/// Every code with its message.
fn all(look: Look) -> Vec<Line> {
    let line = |refusal: Refusal| pair(&refusal.code(), Tone::Title, refusal.message(), MESSAGE_COLUMN, look);
    Refusal::catalogue().flat_map(line).collect()
}

fn explanation(code: &str, look: Look) -> Option<Vec<Line>> {
    let refusal = Refusal::from_code(code)?;
    let kind = if refusal.is_fault() { "fault: try again" } else { "refusal" };
    let mut lines = vec![
        Line::new().add(code, Tone::Title).add(format!("({kind})"), Tone::Dim),
        Line::new().add(refusal.message(), Tone::Plain),
        Line::empty(),
    ];
    let mut listed = code;
    if let Refusal::PolicyForbidden(rule) = &refusal {
        if !is_rule_id(rule) && code != ANY_FORBID {
            return None;
        }
        lines.extend(pair("rule", Tone::Dim, rule, CELL_COLUMN, look));
        listed = ANY_FORBID;
    }
    lines.extend(
        row_of(listed).into_iter().flat_map(|(heading, cell)| pair(heading, Tone::Dim, cell, CELL_COLUMN, look)),
    );
    Some(lines)
}

/// A name and what is said of it: side by side, or one below the other where it is narrow.
fn pair(name: &str, tone: Tone, said: &str, column: usize, look: Look) -> Vec<Line> {
    if look.width < TABLE_COLUMNS {
        return vec![Line::new().add(name, tone), Line::hanging(2, 2).add(said, Tone::Plain)];
    }
    vec![Line::hanging(0, column).column(name, column, tone).add(said, Tone::Plain)]
}

/// What a rule's `@id` may hold; anything else after `policy.` is a slip of another code.
fn is_rule_id(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
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
            let text = explained(&code, 80).expect("known");
            assert!(text.contains("what happened") && text.contains("what to do"), "`{code}` has no row: {text}");
            for width in [80, 40] {
                let text = explained(&code, width).expect("known");
                assert!(text.lines().all(|line| line.chars().count() <= width), "{text}");
            }
        }
    }

    #[test]
    fn a_forbids_rule_is_named() {
        assert!(explained("policy.deny-no-mfa", 80).expect("known").contains("rule                deny-no-mfa\n"));
        assert_eq!(explained("policy.no_rul", 80), None);
        assert_eq!(nearest("policy.no_rul").as_deref(), Some("policy.no_rule"));
    }

    #[test]
    fn the_list_holds_every_code_in_its_columns() {
        let look = Look::new(Some(80), false);
        let text = rendered(&all(look), look);
        for refusal in Refusal::catalogue() {
            let code = refusal.code();
            assert!(code.len() < MESSAGE_COLUMN && text.contains(&*code), "{code}");
        }
    }

    fn explained(code: &str, width: usize) -> Option<String> {
        let look = Look::new(Some(width), false);
        explanation(code, look).map(|lines| rendered(&lines, look))
    }

    #[test]
    fn a_misspelt_code_gets_a_suggestion() {
        assert_eq!(nearest("scope.not_permited").as_deref(), Some("scope.not_permitted"));
        assert_eq!(nearest("zzz"), None);
    }
}

//! Signing keys for people: a line each, in at most 80 columns.

use identity::UnixTime;
use serde_json::Value;

use crate::{
    look::Look,
    text::{Line, Tone},
    token::utc::relative,
};

/// Names of keys are thumbprints of 43 letters.
const KID_WIDTH: usize = 44;
const ALGORITHM_WIDTH: usize = 6;
const STATE_WIDTH: usize = 10;

/// The broker's own words, indented.
pub(super) fn json(answer: &Value) -> String {
    format!("{answer:#}\n")
}

/// The table.
pub(super) fn render(answer: &Value, now: UnixTime, look: Look) -> String {
    let keys = answer.get("keys").and_then(Value::as_array);
    let mut lines = vec![row(["KEY", "ALG", "STATE"], "NEXT", Tone::Title)];
    lines.extend(keys.into_iter().flatten().map(|key| {
        let text = |name: &str| key.get(name).and_then(Value::as_str).unwrap_or_default();
        let tone = match text("state") {
            "signing" => Tone::Good,
            "revoked" => Tone::Bad,
            _other => Tone::Plain,
        };
        row([text("kid"), text("alg"), text("state")], &next(key, now), tone)
    }));
    lines.iter().map(|line| line.render(look)).collect()
}

fn row([kid, algorithm, state]: [&str; 3], next: &str, tone: Tone) -> Line {
    Line::hanging(0, 2)
        .column(kid, KID_WIDTH, Tone::Plain)
        .column(algorithm, ALGORITHM_WIDTH, Tone::Plain)
        .column(state, STATE_WIDTH, tone)
        .add(next, Tone::Plain)
}

/// What happens next to a key; to a revoked one nothing does, so it is told since when.
fn next(key: &Value, now: UnixTime) -> String {
    let time = |pointer: &str| key.pointer(pointer).and_then(Value::as_u64).and_then(UnixTime::from_secs);
    let what = match key.pointer("/next/state").and_then(Value::as_str) {
        Some("signing") => "signs",
        Some("retired") => "rests",
        Some("removed") => "goes",
        Some(_) | None => "",
    };
    let at = time("/next/at").or_else(|| time("/since")).map(|at| relative(at, now)).unwrap_or_default();
    format!("{what} {at}").trim().to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_table_tells_what_each_key_does_next_in_80_columns() {
        let kid = |letter: &str| letter.repeat(43);
        let key = |letter: &str, alg: &str, state: &str, next: Value| json!({"kid": kid(letter), "alg": alg, "state": state, "since": 1000, "next": next});
        let answer = json!({"keys": [
            key("a", "ES256", "retired", json!({"state": "removed", "at": 1180})),
            key("b", "ES256", "signing", json!({"state": "retired", "at": 2_593_600})),
            key("c", "EdDSA", "published", json!({"state": "signing", "at": 1600})),
            key("d", "EdDSA", "revoked", Value::Null),
        ]});
        let text = render(&answer, UnixTime::from_secs(1060).expect("a time"), Look::new(None, false));
        let line = |letter: &str, rest: &str| format!("{} {rest}", kid(letter));
        let expected = [
            format!("{:<44}ALG   STATE     NEXT", "KEY"),
            line("a", "ES256 retired   goes in 2 min"),
            line("b", "ES256 signing   rests in 30 days"),
            line("c", "EdDSA published signs in 9 min"),
            line("d", "EdDSA revoked   60 s ago"),
            String::new(),
        ];
        assert_eq!(text, expected.join("\n"));
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    }

    #[test]
    fn words_of_elsewhere_bring_no_escape_sequence() {
        let answer = json!({"keys": [{"kid": "\u{1b}[31mx", "alg": "\u{7}", "state": "\u{202e}y"}]});
        let text = render(&answer, UnixTime::from_secs(1).expect("a time"), Look::new(None, false));
        assert!(!text.contains(['\u{1b}', '\u{7}', '\u{202e}']), "{text:?}");
    }
}

//! A token on the screen, or as JSON. What in it looks like another token is left out.

use identity::UnixTime;
use serde_json::{Map, Value, json};

use super::{
    keys::Source,
    kind::Kind,
    parts::Parts,
    utc::{relative, utc},
    verdict::Verdict,
};
use crate::text::{Line, Tone, is_hidden};

/// Column of values.
const COLUMN: usize = 19;
/// Claims that are times (RFC 7519 §4.1).
const TIMES: [&str; 4] = ["iat", "nbf", "exp", "auth_time"];
/// What is looked at first, in this order.
const FIRST: [&str; 14] = [
    "iss",
    "sub",
    "aud",
    "azp",
    "client_id",
    "scope",
    "act",
    "txn",
    "req_wl",
    "callee",
    "iat",
    "nbf",
    "exp",
    "auth_time",
];
/// Shown in place of a value that looks like a token.
const LEFT_OUT: &str = "(looks like a token: not shown)";
/// How every JWS begins: base64url of `{"`.
const TOKEN_BEGIN: &str = "eyJ";

/// For people.
pub(super) fn lines(parts: &Parts, verdict: &Verdict, now: UnixTime) -> Vec<Line> {
    let mut lines = vec![Line::hanging(0, 2).add(Kind::of(parts).told(), Tone::Title), Line::empty()];
    lines.push(Line::new().add("header", Tone::Dim));
    lines.extend(parts.header.iter().map(|(name, value)| member(name, &told(name, value, now))));
    lines.push(Line::empty());
    lines.push(Line::new().add("claims", Tone::Dim));
    let rank = |name: &str| FIRST.iter().position(|first| *first == name).unwrap_or(FIRST.len());
    let mut claims: Vec<_> = parts.claims.iter().collect();
    claims.sort_by_key(|(name, _value)| (rank(name), (*name).clone()));
    lines.extend(claims.into_iter().map(|(name, value)| member(name, &told(name, value, now))));
    lines.push(Line::empty());
    lines.extend(verdict_lines(verdict));
    lines
}

/// For programs: one object in one line.
pub(super) fn as_json(parts: &Parts, verdict: &Verdict, source: &Source) -> String {
    let (reason, code) = match verdict {
        Verdict::Verified(_) => (None, None),
        Verdict::Refused { fault, code } => (Some(fault.to_string()), code.clone()),
        Verdict::Unknown(why) => (Some(why.clone()), None),
    };
    let object = json!({
        "kind": Kind::of(parts).name(),
        "header": without_tokens(&Value::Object(parts.header.clone())),
        "claims": without_tokens(&Value::Object(parts.claims.clone())),
        "verified": matches!(verdict, Verdict::Verified(_)),
        "keys": source.name(),
        "reason": reason,
        "code": code,
    });
    format!("{}\n", escaped(&object.to_string()))
}

fn verdict_lines(verdict: &Verdict) -> Vec<Line> {
    let line = |title: &str, tone: Tone, rest: String| Line::hanging(0, 2).add(title, tone).add(rest, Tone::Plain);
    match verdict {
        Verdict::Verified(of) => vec![
            line("verified", Tone::Good, format!("with the keys of {of}: form, signature, times and claims hold")),
            Line::hanging(2, 2).add("Whether it is for the right audience is not checked here.", Tone::Dim),
        ],
        Verdict::Refused { fault, code } => {
            let mut lines = vec![line("not verified:", Tone::Bad, fault.to_string())];
            lines.extend(code.as_ref().map(|code| {
                Line::hanging(2, 2).add(format!("refused as {code}; countersign explain {code}"), Tone::Dim)
            }));
            lines
        }
        Verdict::Unknown(why) => vec![line("not verified:", Tone::Bad, why.clone())],
    }
}

fn member(name: &str, value: &str) -> Line {
    let hang = COLUMN.saturating_add(2);
    Line::hanging(2, hang).column(name, COLUMN, Tone::Dim).add(value, Tone::Plain)
}

/// A value in words.
fn told(name: &str, value: &Value, now: UnixTime) -> String {
    let time = value.as_u64().filter(|_value| TIMES.contains(&name)).and_then(UnixTime::from_secs);
    if let Some(time) = time {
        return format!("{}, {}", utc(time), relative(time, now));
    }
    if name == "act"
        && let Some(chain) = chain(value)
    {
        return format!("{chain} (current first)");
    }
    match without_tokens(value) {
        Value::String(text) => text,
        Value::Array(items) if items.iter().all(Value::is_string) => {
            items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", ")
        }
        other @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
            other.to_string()
        }
    }
}

/// Who acts, current first (RFC 8693 §4.1).
fn chain(act: &Value) -> Option<String> {
    let mut actors = Vec::new();
    let mut current = Some(act);
    while let Some(actor) = current {
        actors.push(actor.get("sub")?.as_str().filter(|sub| !sub.contains(TOKEN_BEGIN))?);
        current = actor.get("act");
    }
    Some(actors.join(" ← "))
}

/// The same with every text left out that a token could stand in.
fn without_tokens(value: &Value) -> Value {
    match value {
        Value::String(text) if holds_token(text) => Value::String(LEFT_OUT.to_owned()),
        Value::Array(items) => Value::Array(items.iter().map(without_tokens).collect()),
        Value::Object(members) => {
            let member = |(name, value): (&String, &Value)| {
                let name = if holds_token(name) { LEFT_OUT.to_owned() } else { name.clone() };
                (name, without_tokens(value))
            };
            Value::Object(members.iter().map(member).collect::<Map<_, _>>())
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

/// Whether a run of base64url in `text` begins as a JSON object does.
fn holds_token(text: &str) -> bool {
    let in_alphabet = |character: char| character.is_ascii_alphanumeric() || matches!(character, '-' | '_');
    text.split(|character| !in_alphabet(character)).any(|run| run.starts_with(TOKEN_BEGIN))
}

/// JSON leaves the second set of control characters, and hidden ones, as they are; a terminal obeys them. In JSON they
/// stand in strings alone, where an escape means the same.
fn escaped(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for character in json.chars() {
        if character.is_control() || is_hidden(character) {
            let mut units = [0_u16; 2];
            text.extend(character.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04x}")));
        } else {
            text.push(character);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{super::parts::tests::token, *};
    use crate::look::Look;

    fn parts() -> Parts {
        let claims = json!({
            "iss": "https://broker.agents.svc", "sub": "alice", "aud": "https://tickets.tools.svc/mcp", "iat": 1_000_000,
            "exp": 1_000_060, "act": { "sub": "spiffe://d/b", "act": { "sub": "spiffe://d/a" } }, "scope": "tickets:read",
            "nested": { "token": "x eyJhbGciOiJub25lIn0.e30.c2ln" }, "spoof": "a\u{202e}b\u{1b}[31m\u{9b}2J\u{61c}\u{e0041}", "list": [1, "two"],
        });
        Parts::of(&token(&json!({ "alg": "ES256", "kid": "k1" }), &claims)).expect("parts")
    }

    #[test]
    fn claims_are_told_in_words_and_nested_tokens_are_not() {
        let now = UnixTime::from_secs(1_000_012).expect("a time");
        let verdict =
            Verdict::Refused { fault: identity::TokenFault::Expired, code: Some("subject.expired".to_owned()) };
        let look = Look::new(Some(80), false);
        let text: String = lines(&parts(), &verdict, now).iter().map(|line| line.render(look)).collect();
        for expected in [
            "  alg                ES256\n",
            "  iat                1970-01-12 13:46:40 UTC, 12 s ago\n",
            "  exp                1970-01-12 13:47:40 UTC, in 48 s\n",
            "  act                spiffe://d/b ← spiffe://d/a (current first)\n",
            "not verified: the token is expired\n",
            "countersign explain subject.expired",
        ] {
            assert!(text.contains(expected), "{expected} in\n{text}");
        }
        assert!(!text.contains("eyJ"), "{text}");
        assert!(!text.contains(['\u{1b}', '\u{9b}', '\u{202e}', '\u{61c}', '\u{e0041}']), "{text}");
        assert!(text.find("iss").expect("shown") < text.find("list").expect("shown"), "what matters comes first");
    }

    #[test]
    fn json_holds_no_nested_token_either() {
        let source = Source::None("no keys".to_owned());
        let text = as_json(&parts(), &Verdict::Unknown("no keys".to_owned()), &source);
        let value: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!((&value["verified"], &value["keys"], &value["code"]), (&json!(false), &Value::Null, &Value::Null));
        assert_eq!(value["claims"]["nested"]["token"], LEFT_OUT);
        assert_eq!(value["claims"]["spoof"], parts().claims["spoof"], "the same for programs");
        assert!(text.trim_end().chars().all(|character| !character.is_control() && !is_hidden(character)), "{text:?}");
        assert!(!text.contains("eyJ"), "{text}");
    }
}

//! The screen's promises: every width is kept, colour only where it is welcome, and all in one screen.

use std::path::PathBuf;

use super::*;
use crate::demo::event::{Hop, Refusal, Summary};

const SCREEN_ROWS: usize = 32;

fn hop(step: &str, actors: &[&str], audience: &str, (before, after): (&[&str], &[&str]), life_seconds: u64) -> Event {
    let id = |name: &&str| format!("spiffe://corp.example/ns/agents/sa/{name}");
    let scope = |words: &[&str]| words.iter().map(|word| format!("tickets:{word}")).collect();
    Event::Hop(ShownHop {
        step: step.to_owned(),
        hop: Hop {
            workload: id(&step),
            subject: "alice".to_owned(),
            actors: actors.iter().map(id).collect(),
            audience: audience.to_owned(),
            scope: scope(after),
            txn: "01a20d86-ee7e-72f2-a04e-37e696270cfd".to_owned(),
        },
        scope_before: scope(before),
        life_seconds,
    })
}

fn refusal(case: &'static str, code: &str, by: &'static str, control: &str) -> Event {
    let status = if by == "mesh door" { 401 } else { 403 };
    Event::Refusal(ShownRefusal {
        refusal: Refusal { case, code: code.to_owned(), status },
        by,
        control: control.to_owned(),
        expected: true,
    })
}

fn story() -> Vec<Event> {
    let (read, both) = (["read"].as_slice(), ["read", "write"].as_slice());
    vec![
        Event::Starting { real: false },
        Event::Started { processes: 12, seconds: 0.94 },
        Event::Asked { user: "alice", question: "Which of my tickets are open?" },
        hop("begin", &["planner"], "corp.example", (both, both), 120),
        hop("researcher", &["planner"], "https://researcher.agents.svc", (both, read), 120),
        hop("tickets", &["researcher", "planner"], "https://tickets.tools.svc/mcp", (read, read), 60),
        Event::Answered { tickets: 2, broker_calls: 4, provider_calls: 1 },
        Event::Tokens { control: 1, apps: 0 },
        refusal("bob", "policy.no_rule", "Cedar begin", "not in group support"),
        refusal("too_much_scope", "scope.not_permitted", "Cedar exchange", "listing gets 200"),
        refusal("unlisted_host", "call.unlisted_host", "route", "evil saw 0, directly 1"),
        refusal("stolen_token", "access_token.not_bound", "mesh door", "own SVID gets 200"),
        refusal("passthrough", "access_token.type", "mesh door", ""),
        Event::Ended(Ended {
            ok: true,
            seconds: 1.24,
            txn: "01a20d86-ee7e-72f2-a04e-37e696270cfd".to_owned(),
            record: PathBuf::from("/tmp/countersign-0123456789ab/ledger/record.jsonl"),
            records: 14,
            folder: None,
            next: vec![
                "target/debug/countersign demo --keep".to_owned(),
                "target/debug/countersign explain scope.not_permitted".to_owned(),
            ],
        }),
        Event::Summary(Summary::default()),
    ]
}

fn shown(events: &[Event], width: usize, colour: bool) -> String {
    let mut screen = Screen::new(Vec::new(), Look::new(Some(width), colour));
    for event in events {
        screen.show(event).expect("a vector takes everything");
    }
    String::from_utf8(screen.out).expect("text")
}

#[test]
fn the_story_fits_one_screen_of_80_columns() {
    let text = shown(&story(), 80, false);
    assert!(text.lines().count() <= SCREEN_ROWS, "{} rows\n{text}", text.lines().count());
    assert!(
        text.lines().all(|line| !line.starts_with("      ") || line.contains("scope")),
        "nothing is wrapped\n{text}"
    );
    for line in text.lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }
}

/// The tour in the README is what a newcomer sees, to the letter; only what differs each time does.
#[test]
fn the_readme_shows_this_very_screen() {
    let readme = include_str!("../../../../README.md");
    let screen = shown(&story(), 80, false);
    assert!(readme.contains(&screen), "README.md must hold this screen:\n{screen}");
}

#[test]
fn narrow_screens_lose_no_word_and_overrun_nothing() {
    for width in [60, 40, 24] {
        let text = shown(&story(), width, false);
        for line in text.lines() {
            assert!(line.chars().count() <= width, "{width}: {line}");
        }
    }
    let text = shown(&story(), 60, false);
    for word in ["researcher ← planner", "https://tickets.tools.svc/mcp", "scope.not_permitted", "Countersign-Handle"]
    {
        assert!(text.contains(word), "{word}\n{text}");
    }
}

#[test]
fn without_colour_there_is_no_escape_sequence() {
    assert!(!shown(&story(), 80, false).contains('\u{1b}'));
    assert!(shown(&story(), 80, true).contains("\u{1b}[32m"));
}

#[test]
fn colour_changes_no_layout() {
    let mut plain = shown(&story(), 80, true);
    for code in ["1", "2", "32", "1;31", "0"] {
        plain = plain.replace(&format!("\u{1b}[{code}m"), "");
    }
    assert_eq!(plain, shown(&story(), 80, false));
}

#[test]
fn a_log_line_cannot_send_escape_sequences() {
    let failed = Event::Failed(Failed {
        process: Some("broker".to_owned()),
        problem: "it ended".to_owned(),
        log_tail: vec!["\u{1b}]0;owned\u{7}".to_owned()],
        folder: Some(PathBuf::from("/tmp/countersign-0123456789ab")),
    });
    let text = shown(&[failed], 80, false);
    assert!(
        !text.contains('\u{1b}') && text.contains("`broker` failed") && text.contains("/tmp/countersign-0123456789ab"),
        "{text}"
    );
}

#[test]
fn what_is_not_as_expected_is_said() {
    let mut wrong = story();
    wrong.push(Event::Unexpected { what: "a token reached an app's process".to_owned() });
    assert!(shown(&wrong, 80, false).contains("not as expected: a token reached"));
}

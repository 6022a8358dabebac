//! What does not load, with file, line and a way out. One problem is enough to load nothing, and all are told at once.

use std::fs;

use policies::{FILE_LENGTH_MAX, Policies};

use crate::folder::{Folder, now};

const GOOD: &str = r#"@id("good")
permit (
  principal == Workload::"spiffe://corp.example/a",
  action == Action::"exchange",
  resource == Target::"tickets"
);
"#;

/// The one problem of this text.
fn problem(text: &str) -> String {
    let problems = Folder::with(&[("rule.cedar", text)]).problems();
    assert_eq!(problems.len(), 1, "{problems:#?}");
    problems[0].clone()
}

fn assert_problem(text: &str, place: &str, parts: &[&str]) {
    let found = problem(text);
    assert!(found.starts_with(&format!("rule.cedar:{place}")), "{found}");
    for part in parts {
        assert!(found.contains(part), "`{part}` is missing: {found}");
    }
    assert!(!found.contains('\n'), "{found}");
}

#[test]
fn a_misspelt_name_is_told_with_its_line_and_what_was_meant() {
    assert_problem(&GOOD.replace("Workload", "Workloda"), "3: ", &["Workloda", "did you mean `Workload`"]);
    assert_problem(&GOOD.replace(r#""exchange""#, r#""exchnage""#), "4: ", &["exchnage", "did you mean", "exchange"]);
    assert_problem(&GOOD.replace("exchange", "uses"), "4: ", &["uses", "did you mean `Action::\"use\"`?"]);
    assert_problem(&GOOD.replace("exchange", "read"), "4: ", &["read", "the actions are `begin`, `exchange`, `use`"]);
    let condition = GOOD.replace(");", ")\nwhen {\n  context.scope.contains(\"a\")\n};");
    assert_problem(&condition, "8: ", &["`scope`", "did you mean `scopes`"]);
}

#[test]
fn a_wrong_type_does_not_load() {
    assert_problem(&GOOD.replace(");", ") when { context.scopes == \"a\" };"), "6: ", &["type"]);
    assert_problem(&GOOD.replace(");", ") when { context.actors.contains(User::\"a\") };"), "6: ", &["type"]);
}

#[test]
fn a_syntax_error_is_told_with_its_line() {
    assert_problem(&GOOD.replace("action ==", "action ="), "4: ", &["="]);
    assert_problem(&GOOD.replace(");", ")"), "", &["unexpected end"]);
}

#[test]
fn a_rule_that_can_never_apply_does_not_load() {
    assert_problem(&GOOD.replace(");", ") when { false };"), "1: ", &["impossible"]);
    let elsewhere = GOOD.replace("Target::\"tickets\"", "TrustDomain::\"corp.example\"");
    let problems = Folder::with(&[("rule.cedar", &elsewhere)]).problems();
    assert!(problems.iter().any(|problem| problem.contains("applicable action")), "{problems:#?}");
}

#[test]
fn letters_that_look_like_others_do_not_load() {
    // A Cyrillic `і` in the target's name.
    assert_problem(&GOOD.replace("tickets", "t\u{456}ckets"), "1: ", &["mixed scripts"]);
    assert_problem(&GOOD.replace("tickets", "tickets\u{202e}"), "1: ", &[]);
}

#[test]
fn a_permit_must_say_for_whom_what_and_where() {
    for (head, line) in [
        ("principal", r#"principal == Workload::"spiffe://corp.example/a""#),
        ("action", r#"action == Action::"exchange""#),
        ("resource", r#"resource == Target::"tickets""#),
    ] {
        assert_problem(&GOOD.replace(line, head), "2: ", &[&format!("for which {head}")]);
    }
    let forbid = GOOD.replace("permit", "forbid").replace(r#" == Workload::"spiffe://corp.example/a""#, "");
    assert!(
        Policies::load(Folder::with(&[("a.cedar", &forbid)]).path(), now()).is_ok(),
        "a forbid may be as wide as it likes"
    );
}

#[test]
fn an_id_is_demanded_and_bounded() {
    assert_problem(&GOOD.replace("@id(\"good\")", ""), "1: ", &["no `@id"]);
    assert_problem(&GOOD.replace("good", ""), "1: ", &["no `@id"]);
    for id in ["Good", "good_rule", "good rule", "good.rule", "gööd", &"a".repeat(65)] {
        assert_problem(&GOOD.replace("good", id), "1: ", &["a-z, 0-9"]);
    }
}

#[test]
fn an_id_that_is_a_refusal_of_its_own_is_refused() {
    assert_problem(&GOOD.replace("good", "error"), "1: ", &["a refusal of its own"]);
}

#[test]
fn an_id_in_two_files_is_refused_and_both_are_named() {
    let problems = Folder::with(&[("a.cedar", GOOD), ("b.cedar", &format!("// b\n{GOOD}"))]).problems();
    assert_eq!(problems, ["b.cedar:2: the id `good` stands in `a.cedar` already"]);
}

#[test]
fn an_annotation_twice_is_refused() {
    assert_problem(&GOOD.replace("permit", "@id(\"other\")\npermit"), "", &["id"]);
}

#[test]
fn an_unknown_annotation_is_refused_with_what_was_meant() {
    assert_problem(&GOOD.replace("permit", "@maxlife(\"5m\")\npermit"), "2: ", &["did you mean `@max_life`"]);
    assert_problem(&GOOD.replace("permit", "@advice(\"none\")\npermit"), "2: ", &["unknown annotation `@advice`"]);
}

#[test]
fn a_term_with_a_bad_value_is_refused() {
    for annotation in ["@max_life(\"2h\")", "@long_work(\"soon\")", "@max_life", "@liveness(\"lax\")", "@liveness"] {
        let name = annotation.split('(').next().expect("a name");
        assert_problem(&GOOD.replace("permit", &format!("{annotation}\npermit")), "2: ", &[name]);
    }
}

#[test]
fn a_term_on_a_forbid_is_refused() {
    assert_problem(&GOOD.replace("permit", "@max_life(\"5m\")\nforbid"), "2: ", &["on a forbid"]);
}

#[test]
fn two_rules_in_a_file_are_refused_and_the_second_is_shown() {
    let two = format!("{GOOD}\n{}", GOOD.replace("good", "second"));
    assert_problem(&two, "8: ", &["one rule a file"]);
}

#[test]
fn a_file_without_a_rule_or_with_a_template_is_refused() {
    assert_eq!(problem("// nothing yet\n"), "rule.cedar: no rule in this file");
    assert!(problem(&GOOD.replace(r#"Target::"tickets""#, "?resource")).contains("templates are not offered"));
}

#[test]
fn all_problems_of_all_files_are_told_at_once() {
    let several = GOOD
        .replace("@id(\"good\")", "@id(\"Bad\")\n@livness(\"strict\")")
        .replace("Workload", "Workloda")
        .replace(r#"resource == Target::"tickets""#, "resource");
    let problems = Folder::with(&[("a.cedar", &several), ("b.cedar", "permit"), ("c.cedar", GOOD)]).problems();
    for expected in [
        "a.cedar:4: ",
        "a.cedar:3: a permit must",
        "a.cedar:1: the id `Bad`",
        "a.cedar:2: unknown annotation",
        "b.cedar:1: ",
    ] {
        assert!(problems.iter().any(|problem| problem.starts_with(expected)), "{expected} is missing: {problems:#?}");
    }
    assert!(!problems.iter().any(|problem| problem.starts_with("c.cedar")));
}

#[test]
fn a_folder_without_a_rule_does_not_load() {
    let folder = Folder::with(&[("notes.txt", GOOD), ("rule.cedar.bak", GOOD)]);
    let problems = Policies::load(folder.path(), now()).expect_err("a problem");
    assert_eq!(problems.len(), 1);
    assert_eq!(problems[0].file(), folder.path());
    assert!(problems[0].message().contains("nothing is allowed"));
}

#[test]
fn a_folder_that_does_not_exist_does_not_load() {
    let folder = Folder::empty();
    let problems = Policies::load(&folder.path().join("absent"), now()).expect_err("a problem");
    assert!(problems[0].message().contains("cannot be read"), "{problems:?}");
}

#[test]
fn what_is_no_readable_small_file_does_not_load() {
    let folder = Folder::with(&[("large.cedar", &"/".repeat(usize::try_from(FILE_LENGTH_MAX).expect("small") + 1))]);
    fs::create_dir(folder.path().join("folder.cedar")).expect("a folder");
    fs::write(folder.path().join("latin.cedar"), b"// \xe4\n").expect("a file");
    let problems = folder.problems();
    assert_eq!(problems.len(), 3, "{problems:#?}");
    assert!(
        problems[0].contains("not a file") && problems[1].contains("larger than") && problems[2].contains("UTF-8"),
        "{problems:#?}"
    );
}

#[test]
fn a_rule_that_is_nested_without_end_is_told_and_does_not_end_the_process() {
    for (open, close) in [("(", ")"), ("[", "]"), ("{", "}")] {
        let condition = format!("{}true{}", open.repeat(15_000), close.repeat(15_000));
        assert_problem(&GOOD.replace(");", &format!(") when {{\n{condition} }};")), "7: ", &["nested too deeply"]);
    }
}

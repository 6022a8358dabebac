//! Which numbers of the design's table there are, and which module holds each: none is forgotten, and none held twice.

use std::{collections::BTreeSet, fs, path::Path};

/// Modules below tests/e2e, and the numbers at home there. Others may show a number once more, at another door.
const HOMES: [(&str, &str); 11] = [
    ("table/form.rs", "N1 N2 N3 N4 N5 N6 N7 N8 N9"),
    ("table/client.rs", "N10 N11 N12 N13 N14 N15 N16 N17 N18 N19 N20 N21 N22 N23 N24 N25"),
    ("table/parameters.rs", "N26 N27 N28 N29 N30 N31 N32 N33 N34 N35 N36 N37 N38 N39"),
    (
        "table/subject.rs",
        "N40 N41 N42 N43 N44 N45 N46 N47 N48 N49 N50 N51 N53 N54 N55 N56 N57 N58 N59 N60 N101 N102 N103 K9",
    ),
    ("table/chain.rs", "N61 N62 N63 N64 N65 N67 N69 N104"),
    ("lives.rs", "N66 K10"),
    ("config.rs", "N105"),
    ("revocation.rs", "N52 N74 N76 N77 N78 N79"),
    ("revocation/introspection.rs", "N75"),
    ("faults.rs", "N80"),
    ("provider.rs", "K1 K2 K3 K4 K5 K6 K7 K8"),
];
/// Numbers that the design dropped or put off (`protocol.md` §12), and why.
const DROPPED: [(&str, &str); 5] = [
    ("N68", "there is no counter of renewals"),
    ("N70", "DPoP is a later piece of work"),
    ("N71", "DPoP is a later piece of work"),
    ("N72", "so is ID-JAG"),
    ("N73", "the RFC 7523 grant is not offered"),
];
/// The ends of the series: N1 to N80, N101 to N105, K1 to K10. N81 to N100 and N106 to N110 are the sidecars'.
const SERIES: [(&str, u32, u32); 3] = [("N", 1, 80), ("N", 101, 105), ("K", 1, 10)];

#[test]
fn every_number_of_the_table_has_one_home() {
    let all: BTreeSet<String> =
        SERIES.iter().flat_map(|(letter, from, to)| (*from..=*to).map(move |n| format!("{letter}{n}"))).collect();
    let mut held = BTreeSet::new();
    for (module, numbers) in HOMES {
        let text =
            fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("e2e").join(module)).expect("a module");
        for number in numbers.split(' ') {
            assert!(held.insert(number.to_owned()), "{number} has two homes");
            assert!(holds(&text, number), "{module} holds no {number}");
        }
    }
    for (number, reason) in DROPPED {
        assert!(held.insert(number.to_owned()) && !reason.is_empty(), "{number} is dropped and held");
    }
    assert_eq!(held, all);
}

/// Whether a row's case, a message or the line above a test names the number. What a module says of itself does not count.
fn holds(text: &str, number: &str) -> bool {
    let lines = text.lines().filter(|line| !line.trim_start().starts_with("//!"));
    let mut told = lines.filter(|line| line.contains('"') || line.trim_start().starts_with("/// "));
    told.any(|line| line.split(|character: char| !character.is_ascii_alphanumeric()).any(|word| word == number))
}

//! "Did you mean": the known word that a wrong one is most likely a slip of. Only for messages and for looking further
//! in a file that is refused anyway; nothing is ever started with a guess.

/// Edits by which a key may differ from a known one and still be taken for a slip.
const SLIP_MAX: usize = 3;
/// Shortest common beginning that tells anything; `login` of `logins` and `login_clients`.
const BEGINNING_MIN: usize = 4;

pub(super) fn unknown_key<'k>(key: &str, known: impl Iterator<Item = &'k str> + Clone) -> String {
    match nearest(key, known.clone()) {
        Some(meant) => format!("unknown key `{key}`, did you mean `{meant}`?"),
        None => {
            let known = known.map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", ");
            format!("unknown key `{key}`, known here: {known}")
        }
    }
}

/// The known word with the fewest edits, else the one that begins like `word`.
pub(super) fn nearest<'k>(word: &str, known: impl Iterator<Item = &'k str> + Clone) -> Option<&'k str> {
    let allowed = word.len().div_ceil(3).min(SLIP_MAX);
    let distances = known.clone().map(|known| (strsim::damerau_levenshtein(word, known), known));
    let slip = distances.filter(|(distance, _known)| *distance <= allowed).min().map(|(_distance, known)| known);
    slip.or_else(|| {
        // Two thirds of the word, so that `listener` is no `list_tools`.
        let enough = word.len().saturating_mul(2).div_ceil(3).max(BEGINNING_MIN);
        let common = known.map(|known| (common_beginning(word, known), known));
        common.filter(|(length, _known)| *length >= enough).max().map(|(_length, known)| known)
    })
}

fn common_beginning(one: &str, other: &str) -> usize {
    one.bytes().zip(other.bytes()).take_while(|(left, right)| left.eq_ignore_ascii_case(right)).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_and_beginnings_are_recognised_and_nothing_else() {
        let known = ["login_clients", "scopes", "workload"];
        for (word, meant) in [
            ("scops", Some("scopes")),
            ("logins", Some("login_clients")),
            ("login", Some("login_clients")),
            ("workload_id", Some("workload")),
            ("colour", None),
            ("log", None),
        ] {
            assert_eq!(nearest(word, known.into_iter()), meant, "{word}");
        }
    }
}

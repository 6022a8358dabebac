//! Everybody whom rules can tell apart: what a record does not say of a user is not guessed but tried.

use std::collections::BTreeSet;

use identity::Subject;
use policies::{Explanation, Named};

use super::{case::Person, line::SOMEBODY};

/// Most people to try for one question, so that a question takes milliseconds.
const PEOPLE_MAX: usize = 1024;

/// The people to try for a question.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct People {
    pub(super) each: Vec<Person>,
    /// Whether rules cannot tell anybody apart from all of them.
    pub(super) everybody: bool,
}

impl People {
    /// Everybody whom the rules about this question tell apart: each user that they name and one that they do not, in
    /// each combination of the groups and roles that they name. Of too many only those in none, in one and in all.
    pub(super) fn of<'a>(explanations: impl IntoIterator<Item = &'a Explanation>) -> Self {
        let rules = explanations.into_iter().flat_map(|explanation| &explanation.rules);
        let speaking = rules.filter(|rule| rule.is_in_force() && rule.elsewhere.is_empty());
        let named: BTreeSet<&Named> = speaking.flat_map(|rule| &rule.people).collect();
        let users = named.iter().filter_map(|name| match name {
            Named::User(user) => user.parse::<Subject>().ok(),
            Named::Group(_) | Named::Role(_) => None,
        });
        let users: Vec<Subject> = users.chain(SOMEBODY.parse::<Subject>()).collect();
        let belongings: Vec<&Named> = named.iter().copied().filter(|name| !matches!(name, Named::User(_))).collect();
        let (sets, everybody) = subsets(&belongings, PEOPLE_MAX.checked_div(users.len()).unwrap_or(PEOPLE_MAX));
        let person = |user: &Subject, set: &Vec<&Named>| {
            let mut person = Person { subject: user.clone(), groups: Vec::new(), roles: Vec::new() };
            for name in set {
                match name {
                    Named::Group(group) => person.groups.push(group.clone()),
                    Named::Role(role) => person.roles.push(role.clone()),
                    Named::User(_) => {}
                }
            }
            person
        };
        let each = users.iter().flat_map(|user| sets.iter().map(move |set| person(user, set))).collect();
        Self { each, everybody }
    }
}

/// All subsets, where they are not more than `most`; whether they are all.
fn subsets<'a>(names: &[&'a Named], most: usize) -> (Vec<Vec<&'a Named>>, bool) {
    let mut all = vec![Vec::new()];
    for name in names {
        if all.len().saturating_mul(2) > most {
            let single = names.iter().map(|name| vec![*name]);
            return (std::iter::once(Vec::new()).chain(single).chain([names.to_vec()]).collect(), false);
        }
        let with: Vec<Vec<&Named>> = all.iter().map(|set| set.iter().copied().chain([*name]).collect()).collect();
        all.extend(with);
    }
    (all, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_combinations_are_tried_where_they_are_few() {
        let (one, two) = (Named::Group("one".to_owned()), Named::Role("two".to_owned()));
        let (sets, all) = subsets(&[&one, &two], 4);
        assert_eq!((sets, all), (vec![vec![], vec![&one], vec![&two], vec![&one, &two]], true));
        let (sets, all) = subsets(&[&one, &two], 3);
        assert_eq!((sets.len(), all), (4, false));
    }
}

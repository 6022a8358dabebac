//! Why a decision is what it is, rule by rule, for people: which rules speak about a question, which decided, and what
//! each of the others lacks. The decision comes from the engine; what is told beside it never becomes one.

mod condition;
mod plain;

use std::path::PathBuf;

use cedar_policy::{ActionConstraint, EntityUid, PrincipalConstraint, ResourceConstraint};
use identity::{Scopes, UnixTime, Would};

use crate::{
    Administer, Decision, Observed, Policies, Question, Use,
    request::Prepared,
    rule::{Heads, Rule},
};

/// A decision and all rules beside it.
#[derive(Debug)]
pub struct Explanation {
    /// What the engine says.
    pub decision: Decision,
    /// What rules on trial would have said.
    pub would: Option<Would>,
    /// Every rule of the set, by name.
    pub rules: Vec<Considered>,
}

/// One rule beside the question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Considered {
    /// Its id.
    pub id: String,
    /// Where it stands.
    pub file: PathBuf,
    /// Whether it permits or forbids.
    pub permits: bool,
    /// Where it is on trial, and so permits nothing.
    pub observed: Option<Observed>,
    /// What its heads demand otherwise, in plain words; empty where all three match.
    pub elsewhere: Vec<String>,
    /// Which of its conditions do not hold, in plain words.
    pub unmet: Vec<String>,
    /// Any one of these, in plain words, would end that it applies; empty where it does not apply, or has no condition.
    pub until: Vec<String>,
    /// Why it could not be evaluated.
    pub error: Option<String>,
    /// Everybody whom its conditions name.
    pub people: Vec<Named>,
}

/// A user, or several, by a name that a rule says.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Named {
    /// One user.
    User(String),
    /// Those in a group.
    Group(String),
    /// Those with a role.
    Role(String),
}

impl Considered {
    /// Whether it decides, and is not only on trial.
    #[must_use]
    pub const fn is_in_force(&self) -> bool {
        self.observed.is_none()
    }

    /// Whether its heads match and its conditions hold.
    #[must_use]
    pub const fn applies(&self) -> bool {
        self.elsewhere.is_empty() && self.unmet.is_empty() && self.error.is_none()
    }
}

impl Policies {
    /// The decision of [`Self::decide`] with its reasons. For people; it evaluates every rule, also several times.
    #[must_use]
    pub fn explain(&self, question: &Question<'_>, now: UnixTime) -> Explanation {
        let decision = self.decide(question);
        let would = self.observe(question, &decision, now);
        let rules = match Prepared::new(question, self.words()) {
            Ok(prepared) => self.considered(&prepared, question.scopes),
            Err(_told_by_the_decision) => Vec::new(),
        };
        Explanation { decision, would, rules }
    }

    /// As [`Self::explain`], where no user is.
    #[must_use]
    pub fn explain_use(&self, asked: &Use<'_>, now: UnixTime) -> Explanation {
        let prepared = Prepared::own(asked, self.words());
        let decision = self.decide_use(asked);
        let would = self.observe_use(asked, &decision, now);
        Explanation { decision, would, rules: self.considered(&prepared, &Scopes::none()) }
    }

    /// As [`Self::explain`], about the broker itself.
    #[must_use]
    pub fn explain_administer(&self, asked: &Administer<'_>, now: UnixTime) -> Explanation {
        let prepared = Prepared::administration(asked, self.words());
        let decision = self.decide_administer(asked);
        let would = self.observe_administer(asked, &decision, now);
        Explanation { decision, would, rules: self.considered(&prepared, &Scopes::none()) }
    }

    fn considered(&self, prepared: &Prepared, scopes: &Scopes) -> Vec<Considered> {
        let Ok(request) = prepared.with(scopes, self.schema()) else { return Vec::new() };
        let consider = |rule: &Rule| {
            let heads = rule.heads(prepared.principal(), prepared.action(), prepared.resource());
            let mut considered = Considered {
                id: rule.id.clone(),
                file: rule.file.clone(),
                permits: rule.permits(),
                observed: rule.observed.clone(),
                elsewhere: elsewhere(rule, heads),
                unmet: Vec::new(),
                until: Vec::new(),
                error: None,
                people: people(rule),
            };
            if heads.all() {
                condition::look(rule, &request, prepared.entities(), &mut considered);
            }
            considered
        };
        self.rules().map(consider).collect()
    }
}

fn people(rule: &Rule) -> Vec<Named> {
    let literals = rule.policy.entity_literals();
    let named = |literal: &EntityUid| {
        let id = literal.id().unescaped().to_owned();
        match literal.type_name().to_string().as_str() {
            "User" => Some(Named::User(id)),
            "Group" => Some(Named::Group(id)),
            "Role" => Some(Named::Role(id)),
            _other => None,
        }
    };
    let mut people: Vec<Named> = literals.iter().filter_map(named).collect();
    people.sort();
    people.dedup();
    people
}

/// The heads that do not match.
fn elsewhere(rule: &Rule, heads: Heads) -> Vec<String> {
    let named = |uid: &EntityUid| format!("`{}`", uid.id().unescaped());
    let mut words = Vec::new();
    if !heads.principal {
        words.push(match rule.policy.principal_constraint() {
            PrincipalConstraint::Eq(id) | PrincipalConstraint::In(id) | PrincipalConstraint::IsIn(_, id) => {
                format!("the requester must be {}", named(&id))
            }
            PrincipalConstraint::Any | PrincipalConstraint::Is(_) => "the requester must be a workload".to_owned(),
        });
    }
    if !heads.action {
        let actions = match rule.policy.action_constraint() {
            ActionConstraint::Any => Vec::new(),
            ActionConstraint::Eq(action) => vec![action],
            ActionConstraint::In(actions) => actions,
        };
        let actions: Vec<String> = actions.iter().map(named).collect();
        words.push(format!("the action must be {}", actions.join(" or ")));
    }
    if !heads.resource {
        words.push(match rule.policy.resource_constraint() {
            ResourceConstraint::Eq(id) | ResourceConstraint::In(id) | ResourceConstraint::IsIn(_, id) => {
                let what = if id.type_name().to_string() == "Target" { "target" } else { "trust domain" };
                format!("the {what} must be {}", named(&id))
            }
            ResourceConstraint::Is(kind) => format!("what is called must be a {kind}"),
            ResourceConstraint::Any => "what is called must be another".to_owned(),
        });
    }
    words
}

//! A request as a form, with what is odd about it. It knows what no broker may answer, whatever the rules say.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::{
    setting::{ALL, Setting, TRUST_DOMAIN, WORKLOADS, resource, target, words, workload},
    stage::{Given, Stage},
    step::{Deed, Twist},
    token::Token,
};
use crate::names::{ACCESS_TOKEN, JWT, TOKEN_EXCHANGE, TXN_TOKEN, TXN_TOKEN_TYP};

pub(super) type Parameters = Vec<(&'static str, String)>;

/// The parameters, and whether they alone forbid that anything is issued.
pub(super) fn spelled(stage: &Stage, setting: &Setting, given: &Given) -> (Parameters, bool) {
    let (subject_type, requested, place) = match given.step.deed {
        Deed::Begin { .. } => (ACCESS_TOKEN, TXN_TOKEN, ("audience", TRUST_DOMAIN.to_owned())),
        Deed::Renew { .. } => (TXN_TOKEN, TXN_TOKEN, ("audience", TRUST_DOMAIN.to_owned())),
        Deed::Call { .. } => (TXN_TOKEN, ACCESS_TOKEN, ("resource", given.target.map(resource).unwrap_or_default())),
    };
    let forged = given.held.as_ref().and_then(|held| forged(stage, &given.step.twist, held));
    let (more, is_odd) = more(setting, given);
    let is_hostile = forged.is_some() || is_odd;
    let subject = forged.or_else(|| given.held.as_ref().map(|held| held.raw.clone()));
    let mut parameters = vec![
        ("grant_type", TOKEN_EXCHANGE.to_owned()),
        ("subject_token", subject.unwrap_or_else(|| "u".to_owned())),
        ("subject_token_type", subject_type.to_owned()),
        ("requested_token_type", requested.to_owned()),
        ("scope", words(given.wished)),
        place,
    ];
    parameters.extend(more);
    (parameters, is_hostile)
}

/// What is shown in the place of the token that is held.
fn forged(stage: &Stage, twist: &Twist, held: &Token) -> Option<String> {
    match twist {
        Twist::AccessTokenAsSubject(n) => {
            let n = n.checked_rem(stage.access.len())?;
            stage.access.get(n).map(|token| token.raw.clone())
        }
        Twist::Widened => Some(widened(held)),
        Twist::ForeignKey => Some(stage.stranger.sign(TXN_TOKEN_TYP, &held.claims).expect("signed").to_string()),
        Twist::Plain
        | Twist::Context
        | Twist::BadContext
        | Twist::ActorToken
        | Twist::ActorTokenWithoutType
        | Twist::ScopeTwice
        | Twist::SubjectTwice
        | Twist::SecondResource(_)
        | Twist::SecondAudience(_)
        | Twist::ForeignDomain
        | Twist::OtherClient => None,
    }
}

/// What stands beside the usual parameters, and whether nothing may come of it.
fn more(setting: &Setting, given: &Given) -> (Parameters, bool) {
    let other = |n: usize| n % setting.targets.len();
    let is_another = |n: usize| given.target != Some(other(n));
    match &given.step.twist {
        Twist::Context => {
            let wishes = json!({ "act": {"sub": workload(0)}, "sub": "mallory", "txn": "x", "scope": words(ALL) });
            let names = ["request_context", "request_details", "act", "sub", "txn", "req_wl", "callee", "may_act"];
            (names.map(|name| (name, wishes.to_string())).to_vec(), false)
        }
        Twist::BadContext => (vec![("request_context", "[]".to_owned())], true),
        Twist::ActorToken => {
            let token = given.held.as_ref().map_or("a.b.c".to_owned(), |held| held.raw.clone());
            (vec![("actor_token", token), ("actor_token_type", JWT.to_owned())], true)
        }
        Twist::ActorTokenWithoutType => (vec![("actor_token", workload(0))], true),
        Twist::ScopeTwice => (vec![("scope", words(ALL)), ("scope", words(ALL))], true),
        Twist::SubjectTwice => (vec![("subject_token", "u".to_owned())], true),
        Twist::SecondResource(n) => (vec![("resource", resource(other(*n)))], is_another(*n)),
        Twist::SecondAudience(n) => (vec![("audience", target(other(*n)))], is_another(*n)),
        Twist::ForeignDomain => (vec![("audience", "other.example".to_owned())], true),
        Twist::OtherClient => (vec![("client_id", workload((given.by + 1) % WORKLOADS))], true),
        Twist::Plain | Twist::AccessTokenAsSubject(_) | Twist::Widened | Twist::ForeignKey => (Vec::new(), false),
    }
}

/// The token with every scope in its payload, under the signature that it had.
fn widened(held: &Token) -> String {
    let mut claims = held.claims.clone();
    claims["scope"] = Value::from(words(ALL));
    claims["widened"] = Value::from(true);
    let parts: Vec<&str> = held.raw.split('.').collect();
    format!("{}.{}.{}", parts[0], URL_SAFE_NO_PAD.encode(claims.to_string()), parts[2])
}

//! What may come out, said with plain sets: `protocol.md` §3 and §5 and the meaning of the generated rules, written a
//! second time. It must call nothing of the broker's, of `policies` or of `identity`: one mistake in both would hide.

use std::collections::BTreeSet;

use super::{
    setting::{Condition, Mapping, Mask, Rule, SCOPES, Setting, TRUST_DOMAIN, USERS, resource},
    stage::{Given, Got, Outcome},
    step::Deed,
    token::{Token, mask},
};

/// Lives in seconds (`protocol.md` §5).
const TRANSACTION: u64 = 1800;
const LONG_WORK: u64 = 3600;
const TRANSACTION_TOKEN: u64 = 120;
const ACCESS_TOKEN: u64 = 60;
/// A keeper that has no longer than this is renewed at the provider, who is away here.
const KEEPER_AHEAD: u64 = 60;
const DEPTH_MAX: usize = 8;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Law {
    Scope,
    Audience,
    Grant,
    Chain,
    Binding,
    Life,
    Record,
}

impl Law {
    /// The more telling first.
    pub(super) const ALL: [Self; 7] =
        [Self::Scope, Self::Audience, Self::Chain, Self::Binding, Self::Life, Self::Record, Self::Grant];
}

/// What the deciding permits say together.
#[derive(Clone, Debug)]
pub(super) struct Yes {
    rules: BTreeSet<String>,
    max_life: u64,
    long_work: Option<u64>,
    strict: bool,
}

/// One question to the rules; without a target it is about a begin.
struct Question<'a> {
    requester: usize,
    target: Option<usize>,
    user: usize,
    actors: &'a [usize],
    scopes: Mask,
    passes_on: Mask,
}

/// The law's demand on what was given and got.
pub(super) fn check(law: Law, setting: &Setting, given: &Given, outcome: &Outcome) -> Result<(), String> {
    let may = allowed(setting, given);
    let got = match (law, &outcome.issued) {
        (Law::Grant, issued) => return grant(may, issued.as_ref().map_err(|refusal| refusal.as_str()), outcome),
        (Law::Record, issued) => return record(issued.as_ref().ok(), outcome),
        (_other, Err(_refused)) => return Ok(()),
        (_other, Ok(got)) => got,
    };
    match law {
        Law::Scope => scope(setting, given, got),
        Law::Audience => audience(setting, given, got),
        Law::Chain => chain(given, got),
        Law::Binding => binding(setting, given, got),
        Law::Life => life(&may?, given, got),
        Law::Grant | Law::Record => Ok(()),
    }
}

/// On what terms it may be granted; or why not at all.
pub(super) fn allowed(setting: &Setting, given: &Given) -> Result<Yes, &'static str> {
    if given.is_hostile {
        return Err("no such request is read");
    }
    let yes = match (&given.step.deed, &given.held) {
        (Deed::Begin { user, shown, known, signed_in, .. }, _) => {
            let none = given.wished == 0 || *signed_in == 0;
            if none || given.wished & !(shown & known) != 0 {
                return Err("more than shown and known");
            }
            let actors = [given.by];
            let question = Question {
                requester: given.by,
                target: None,
                user: *user,
                actors: &actors,
                scopes: given.wished,
                passes_on: 0,
            };
            // The provider has just answered.
            return verdict(setting, &question).map(|yes| Yes { strict: false, ..yes });
        }
        (Deed::Call { .. } | Deed::Renew { .. }, None) => return Err("nothing is shown"),
        (Deed::Call { .. }, Some(held)) => {
            stands(given, held)?;
            call(setting, given, held)?
        }
        (Deed::Renew { .. }, Some(held)) => {
            stands(given, held)?;
            renewal(setting, given, held)?
        }
    };
    // A strict rule wants the provider's word, and no provider is there.
    if yes.strict { Err("the provider is away") } else { Ok(yes) }
}

/// Whether what is shown can be used by who shows it, and its transaction goes on without the provider.
fn stands(given: &Given, held: &Token) -> Result<(), &'static str> {
    if held.ends <= given.now {
        return Err("the token has ended");
    }
    if held.holder() != given.by {
        return Err("another may use the token");
    }
    if given.wished & !held.scope != 0 {
        return Err("more than is held");
    }
    let begun = given.begun.as_ref().ok_or("never begun")?;
    let is_long = begun.long_not_after != begun.not_after && begun.keeper_ends > given.now;
    let left = begun.not_after.saturating_sub(given.now);
    if is_long && (left < TRANSACTION_TOKEN || begun.keeper_ends - given.now <= KEEPER_AHEAD) {
        return Err("the provider is away");
    }
    if left == 0 { Err("the transaction has ended") } else { Ok(()) }
}

fn call(setting: &Setting, given: &Given, held: &Token) -> Result<Yes, &'static str> {
    let target = given.target.ok_or("no target")?;
    let place = &setting.targets[target];
    if given.wished & !place.scopes() != 0 {
        return Err("more than the target knows");
    }
    let mut actors = held.actors.clone();
    if held.callee.is_some() {
        if actors.contains(&given.by) {
            return Err("twice in the chain");
        }
        actors.push(given.by);
    }
    if actors.len() > DEPTH_MAX {
        return Err("too deep");
    }
    let passes_on = place.passes_on.unwrap_or_default() & held.scope;
    let (requester, user) = (given.by, user_of(held));
    let question = Question { requester, target: Some(target), user, actors: &actors, scopes: given.wished, passes_on };
    verdict(setting, &question)
}

/// An owner's token: what begin asks. A callee's: what any call that hands such a token to it could have asked, on the
/// strictest terms of all of them.
fn renewal(setting: &Setting, given: &Given, held: &Token) -> Result<Yes, &'static str> {
    if given.wished == 0 && held.scope != 0 {
        return Err("no scope is named");
    }
    let (requester, user, actors) = (held.requester, user_of(held), held.actors.as_slice());
    let Some(callee) = held.callee else {
        let question = Question { requester, target: None, user, actors, scopes: given.wished, passes_on: 0 };
        return verdict(setting, &question);
    };
    let mut ways = Vec::new();
    for (index, place) in setting.targets.iter().enumerate() {
        if place.workload != callee || place.passes_on.is_none() {
            continue;
        }
        let known = place.scopes() & held.scope;
        for scopes in [known, 0].into_iter().chain((0..SCOPES.len()).map(|n| known & (1 << n))) {
            let question = Question { requester, target: Some(index), user, actors, scopes, passes_on: given.wished };
            ways.extend(verdict(setting, &question));
        }
    }
    let strictest = |one: Yes, other: Yes| Yes {
        rules: one.rules.into_iter().chain(other.rules).collect(),
        max_life: one.max_life.min(other.max_life),
        long_work: one.long_work.min(other.long_work),
        strict: one.strict || other.strict,
    };
    ways.into_iter().reduce(strictest).ok_or("no call hands it on")
}

fn verdict(setting: &Setting, question: &Question<'_>) -> Result<Yes, &'static str> {
    let mut permits = Vec::new();
    for (index, rule) in setting.rules.iter().enumerate() {
        if !matches(rule, question) {
            continue;
        }
        if !rule.permits {
            return Err("a forbid matches");
        }
        permits.push((index, rule));
    }
    if permits.is_empty() {
        return Err("no permit matches");
    }
    let is_long = permits.iter().all(|(_index, rule)| rule.long_work.is_some());
    Ok(Yes {
        rules: permits.iter().map(|(index, _rule)| format!("r{index}")).collect(),
        max_life: permits.iter().filter_map(|(_index, rule)| rule.max_life).min().unwrap_or(u64::MAX),
        long_work: permits.iter().filter_map(|(_index, rule)| rule.long_work).min().filter(|_life| is_long),
        strict: permits.iter().any(|(_index, rule)| rule.strict),
    })
}

fn matches(rule: &Rule, question: &Question<'_>) -> bool {
    let action = rule.begins.is_none_or(|begins| begins == question.target.is_none());
    let principal = rule.principal.is_none_or(|named| named == question.requester);
    // A rule about begins has one resource, whatever target was generated for it.
    let resource = rule.begins != Some(false) || rule.target.is_none() || rule.target == question.target;
    let (_name, groups, roles) = USERS[question.user];
    let holds = |condition: &Condition| match condition {
        Condition::Within(mask) => question.scopes & !mask == 0,
        Condition::Holds(n) => question.scopes & (1 << n) != 0,
        Condition::PassesWithin(mask) => question.passes_on & !mask == 0,
        Condition::Actor(n) => question.actors.contains(n),
        Condition::Group(name) => groups.contains(name),
        Condition::Role(name) => roles.contains(name),
        Condition::User(n) => question.user == *n,
    };
    action && principal && resource && rule.conditions.iter().all(|(must, condition)| holds(condition) == *must)
}

fn user_of(held: &Token) -> usize {
    USERS.iter().position(|(name, ..)| *name == held.text("sub")).expect("a user of the setting")
}

fn demand(holds: bool, what: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(what.to_owned()) }
}

fn grant(may: Result<Yes, &'static str>, issued: Result<&Got, &str>, outcome: &Outcome) -> Result<(), String> {
    match (may, issued) {
        (Err(_reason), Err(_refusal)) => Ok(()),
        (Err(reason), Ok(_got)) => Err(format!("issued, though {reason}")),
        (Ok(_yes), Err(refusal)) => Err(format!("refused with {refusal}, though nothing stands against it")),
        (Ok(yes), Ok(_got)) => demand(yes.rules == outcome.rules, "other rules are named than decide"),
    }
}

fn record(got: Option<&Got>, outcome: &Outcome) -> Result<(), String> {
    let Some(got) = got else {
        demand(outcome.ids.is_empty() && outcome.rules.is_empty(), "the entry of a refusal names what is granted")?;
        return demand(outcome.lines.is_empty(), "a refusal wrote that something is granted");
    };
    let ids: Vec<&str> = [Some(&got.token), got.handed.as_ref()].into_iter().flatten().map(|t| t.text("jti")).collect();
    demand(outcome.ids == ids, "the entry names other tokens")?;
    demand(outcome.lines.len() == 1, "not exactly one line is on disk")?;
    let written = outcome.lines.iter().all(|line| ids.iter().all(|id| line.contains(id)));
    demand(written, "the line on disk names other tokens")?;
    demand(outcome.lines.iter().all(|line| !line.contains(&got.token.raw)), "the line holds a token")
}

fn scope(setting: &Setting, given: &Given, got: &Got) -> Result<(), String> {
    demand(got.token.scope == given.wished, "another scope than was asked")?;
    let may_ask = mask(got.token.claims.get("may_ask"));
    let (held, target) = match (&given.step.deed, &given.held, given.target) {
        (Deed::Begin { shown, known, .. }, ..) => {
            return demand(got.token.scope & !(shown & known) == 0, "more than the user showed or the edge knows");
        }
        (_deed, Some(held), None) => return demand(got.token.scope & !held.scope == 0, "more than was held"),
        (_deed, Some(held), Some(target)) => (held, &setting.targets[target]),
        (_deed, None, _) => return Err("on nothing".to_owned()),
    };
    let both = held.scope & target.scopes();
    demand(got.token.scope & !both == 0, "more than is held and the target knows")?;
    demand(may_ask & !both == 0, "more may be asked than is held and the target knows")?;
    let lists = matches!(target.mapping, Mapping::Mcp(_)) && given.wished == 0;
    demand(lists || got.token.claims.get("may_ask").is_none(), "what may be asked, where nothing is listed")?;
    for n in (0..SCOPES.len()).filter(|n| lists && both & (1 << n) != 0) {
        let asked = Given { wished: 1 << n, ..given.clone() };
        let may = decided_alone(setting, &asked, held);
        demand(may == (may_ask & (1 << n) != 0), "`may_ask` is not what a call would be given")?;
    }
    let Some(handed) = &got.handed else { return Ok(()) };
    let passes_on = target.passes_on.unwrap_or_default();
    demand(handed.scope == held.scope & passes_on, "other scope is handed on than is held and may be passed on")
}

/// What policy says of a call, whatever the provider says.
fn decided_alone(setting: &Setting, given: &Given, held: &Token) -> bool {
    call(setting, given, held).is_ok()
}

fn audience(setting: &Setting, given: &Given, got: &Got) -> Result<(), String> {
    for txn in [Some(&got.token).filter(|_token| given.target.is_none()), got.handed.as_ref()].into_iter().flatten() {
        demand(txn.typ == "txntoken+jwt", "another type of token than a transaction token")?;
        demand(txn.claims["aud"] == TRUST_DOMAIN, "a transaction token for others than the trust domain")?;
    }
    let Some(target) = given.target else { return demand(got.handed.is_none(), "handed on without a call") };
    demand(got.token.typ == "at+jwt", "another type of token than an access token")?;
    demand(got.token.claims["aud"] == resource(target), "an access token for others than the one target")?;
    let passes_on = setting.targets[target].passes_on.is_some();
    demand(got.handed.is_some() == passes_on, "handed on to who passes nothing on, or the other way round")
}

fn chain(given: &Given, got: &Got) -> Result<(), String> {
    let before = given.held.as_ref().map(|held| held.actors.clone()).unwrap_or_default();
    let grows = match (&given.step.deed, &given.held) {
        (Deed::Begin { .. }, _) => true,
        (Deed::Call { .. }, Some(held)) => held.callee.is_some(),
        (Deed::Call { .. }, None) | (Deed::Renew { .. }, _) => false,
    };
    let after: Vec<usize> = before.into_iter().chain(grows.then_some(given.by)).collect();
    for token in [Some(&got.token), got.handed.as_ref()].into_iter().flatten() {
        demand(token.actors == after, "another chain than before, or that and the requester")?;
        let once: BTreeSet<usize> = token.actors.iter().copied().collect();
        demand(once.len() == token.actors.len(), "a workload twice in the chain")?;
        demand(token.actors.len() <= DEPTH_MAX, "a chain too deep")?;
    }
    Ok(())
}

fn binding(setting: &Setting, given: &Given, got: &Got) -> Result<(), String> {
    let user = match (&given.step.deed, &given.held) {
        (Deed::Begin { user, .. }, _) => USERS[*user].0,
        (_deed, Some(held)) => held.text("sub"),
        (_deed, None) => return Err("on nothing".to_owned()),
    };
    for token in [Some(&got.token), got.handed.as_ref()].into_iter().flatten() {
        demand(token.text("sub") == user, "another subject")?;
        if let Some(held) = &given.held {
            demand(token.text("txn") == held.text("txn"), "another transaction")?;
            demand(token.text("jti") != held.text("jti"), "a token id twice")?;
        }
    }
    let claims = &got.token.claims;
    if matches!(given.step.deed, Deed::Renew { .. }) {
        let held = given.held.as_ref().ok_or("on nothing")?;
        demand(claims.get("req_wl") == held.claims.get("req_wl"), "a renewal for another requester")?;
        return demand(claims.get("callee") == held.claims.get("callee"), "a renewal for another callee");
    }
    demand(got.token.requester == given.by, "another requester or client than who asked")?;
    let Some(target) = given.target else { return demand(got.token.callee.is_none(), "an owner's token for a callee") };
    demand(claims.get("req_wl").is_none() && claims.get("callee").is_none(), "an access token that is more")?;
    let tjti = got.handed.as_ref().map(|handed| &handed.claims["jti"]);
    demand(claims.get("tjti") == tjti, "not bound to the token that is handed on with it")?;
    let Some(handed) = &got.handed else { return Ok(()) };
    demand(handed.requester == given.by, "handed on by another")?;
    demand(handed.callee == Some(setting.targets[target].workload), "handed on to another")
}

fn life(yes: &Yes, given: &Given, got: &Got) -> Result<(), String> {
    let now = given.now;
    demand(got.token.claims["iat"] == now, "issued at another time")?;
    if let Deed::Begin { .. } = given.step.deed {
        let (not_after, _long) = transaction_ends(yes, given);
        return demand(got.token.ends == not_after.min(now + TRANSACTION_TOKEN), "another end than a begin's");
    }
    let not_after = given.begun.as_ref().ok_or("never begun")?.not_after;
    let fits = |token: &Token, longest: u64| token.ends == not_after.min(now + longest.min(yes.max_life));
    let longest = if given.target.is_some() { ACCESS_TOKEN } else { TRANSACTION_TOKEN };
    demand(got.token.ends > now, "ended before it began")?;
    demand(fits(&got.token, longest), "another end than the least of kind, rule and transaction")?;
    let handed = got.handed.as_ref().is_none_or(|handed| fits(handed, TRANSACTION_TOKEN));
    demand(handed, "handed on with another end than the least of kind, rule and transaction")
}

/// When a transaction that begins now ends: by itself, and with a living session.
pub(super) fn transaction_ends(yes: &Yes, given: &Given) -> (u64, u64) {
    let Deed::Begin { signed_in, .. } = given.step.deed else { return (0, 0) };
    let now = given.now;
    let not_after = now + signed_in.min(yes.max_life).min(TRANSACTION);
    let long = yes.long_work.map(|long| now + long.min(LONG_WORK));
    (not_after, long.unwrap_or_default().max(not_after))
}

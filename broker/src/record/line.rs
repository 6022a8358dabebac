//! One line of the record: an entry as a JSON object, bounded as tokens and registry are. It never holds a token, a
//! token's bytes, a user's name, or text that a caller chose.

use std::sync::Arc;

use arc_swap::ArcSwap;
use identity::{Entry, Kind, Outcome, UnixTime, Would};
use serde_json::{Map, Value, json};

use super::{kind, merge::Key};
use crate::{
    names::{ACCESS_TOKEN_TYP, TXN_TOKEN_TYP},
    seal::Sealer,
};

/// Version of the line's form.
const VERSION: u64 = 1;
const MILLIS: u64 = 1000;

/// What a line says about its entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// Tokens will be issued.
    Granted,
    /// They were not, after the line above.
    Void,
    /// Nothing was granted.
    Refused,
}

/// Writes lines.
#[derive(Debug)]
pub(super) struct Liner {
    sealer: Sealer,
    /// Of the rules in force, for lines of what no rule decided.
    policy_digest: ArcSwap<String>,
}

impl Liner {
    pub(super) fn new(sealer: Sealer, policy_digest: &str) -> Self {
        Self { sealer, policy_digest: ArcSwap::from_pointee(policy_digest.to_owned()) }
    }

    /// The line of an entry.
    pub(super) fn line(&self, entry: &Entry, event: Event) -> String {
        let mut line = self.head(event_name(entry, event), entry.at);
        // Others may be in force since it was decided.
        if let Some(set) = &entry.rule_set {
            line.insert("pol".into(), json!(set));
        }
        let mut put = |name: &str, value: Option<Value>| value.map(|value| line.insert(name.to_owned(), value));
        put("op", Some(json!(kind(entry.kind))));
        put("txn", entry.transaction.as_ref().map(|txn| json!(txn.as_str())));
        put("req", Some(json!(entry.requester.to_string())));
        put("sub", entry.subject.as_ref().map(|subject| json!(self.blind(subject.as_str()))));
        put("act", entry.chain.as_ref().map(|chain| chain.iter().map(|actor| json!(actor.to_string())).collect()));
        put("target", entry.target.as_ref().map(|target| json!(target)));
        put("shown", entry.shown.as_ref().map(|scopes| json!(scopes.to_string())));
        put("asked", entry.asked.as_ref().map(|scopes| json!(scopes.to_string())));
        put("scope", entry.scopes.as_ref().map(|scopes| json!(scopes.to_string())));
        put("passes_on", entry.passed_on.as_ref().map(|scopes| json!(scopes.to_string())));
        put("may_ask", entry.may_ask.as_ref().map(|scopes| json!(scopes.to_string())));
        put("exp", entry.not_after.map(|end| json!(end.secs())));
        put("rule", Some(json!(entry.rules)));
        put("would", entry.would.as_ref().map(would));
        if !entry.tokens.is_empty() {
            put("typ", Some(types(entry)).filter(|types| !types.is_empty()).map(|types| json!(types)));
            put("jti", Some(entry.tokens.iter().map(|id| json!(id.as_str())).collect()));
        }
        if let Some(ended) = &entry.ended {
            put("what", Some(json!(ended.what)));
            put("iss", ended.issuer.as_ref().map(|issuer| json!(issuer)));
            let issuer = ended.issuer.as_deref().unwrap_or_default();
            put("sid", ended.session.as_ref().map(|id| json!(self.blind_session(issuer, id))));
            put("name", ended.name.as_ref().map(|name| json!(name)));
            put("txns", ended.transactions.map(|count| json!(count)));
        }
        let (decision, code) = match (&entry.outcome, event) {
            (Outcome::Granted | Outcome::Refused(_) | Outcome::Aborted, Event::Granted)
            | (Outcome::Granted, Event::Void | Event::Refused) => ("allow", ""),
            (Outcome::Refused(code), Event::Void | Event::Refused) => ("deny", code.as_str()),
            (Outcome::Aborted, Event::Void | Event::Refused) => ("aborted", ""),
        };
        put("dec", Some(json!(decision)));
        put("code", Some(json!(code)));
        Value::Object(line).to_string()
    }

    /// One line for `count` more refusals like the ones before it.
    pub(super) fn merged(&self, key: &Key, count: u64, at: UnixTime) -> String {
        let mut line = self.head("refuse", at);
        line.insert("req".into(), json!(key.requester.to_string()));
        line.insert("target".into(), json!(key.target));
        line.insert("dec".into(), json!("deny"));
        line.insert("code".into(), json!(key.code));
        line.insert("count".into(), json!(count));
        Value::Object(line).to_string()
    }

    /// The line before which `count` refusals, logouts and void lines are missing, because the disk took none.
    pub(super) fn gap(&self, count: u64, at: UnixTime) -> String {
        let mut line = self.head("gap", at);
        line.insert("count".into(), json!(count));
        Value::Object(line).to_string()
    }

    /// Other rules are in force, with this digest.
    pub(super) fn policies_loaded(&self, digest: &str, at: UnixTime) -> String {
        self.policy_digest.store(Arc::new(digest.to_owned()));
        let mut line = self.head("policies", at);
        line.insert("dec".into(), json!("allow"));
        line.insert("code".into(), json!(""));
        Value::Object(line).to_string()
    }

    /// A changed folder of rules had so many problems; the rules with the digest `pol` stay in force.
    pub(super) fn policies_refused(&self, problems: usize, at: UnixTime) -> String {
        let mut line = self.head("policies", at);
        line.insert("dec".into(), json!("deny"));
        line.insert("code".into(), json!("policies.not_loaded"));
        line.insert("count".into(), json!(problems));
        Value::Object(line).to_string()
    }

    /// A restored store was accepted, and so many transactions ended.
    pub(super) fn restore_accepted(&self, transactions: u64, at: UnixTime) -> String {
        let mut line = self.head("admin", at);
        line.insert("op".into(), json!("accept-restored"));
        line.insert("dec".into(), json!("allow"));
        line.insert("code".into(), json!(""));
        line.insert("count".into(), json!(transactions));
        Value::Object(line).to_string()
    }

    /// A keyed hash of a session. No subject holds a space or a bracket, so none is ever a subject's.
    pub(super) fn blind_session(&self, issuer: &str, id: &str) -> String {
        self.blind(&json!(["session", issuer, id]).to_string())
    }

    /// A keyed hash of a person's identifier.
    pub(super) fn blind(&self, name: &str) -> String {
        self.sealer.blind(name)
    }

    pub(super) fn head(&self, event: &str, at: UnixTime) -> Map<String, Value> {
        let mut line = Map::new();
        line.insert("v".into(), json!(VERSION));
        line.insert("t".into(), json!(event));
        line.insert("ts".into(), json!(at.secs().saturating_mul(MILLIS)));
        line.insert("pol".into(), json!(**self.policy_digest.load()));
        line
    }
}

fn event_name(entry: &Entry, event: Event) -> &'static str {
    match event {
        Event::Granted => kind(entry.kind),
        Event::Void => "void",
        Event::Refused => "refuse",
    }
}

/// What rules on trial would have said.
fn would(would: &Would) -> Value {
    json!({ "dec": if would.allow { "allow" } else { "deny" }, "rule": would.rules })
}

/// `typ` of each token, in the order of `jti`.
fn types(entry: &Entry) -> Vec<&'static str> {
    let first = match entry.kind {
        Some(Kind::Exchange) => ACCESS_TOKEN_TYP,
        Some(Kind::Begin | Kind::Renew) | None => TXN_TOKEN_TYP,
        Some(Kind::Use | Kind::Revoke | Kind::Introspect) => return Vec::new(),
    };
    let others = std::iter::repeat_n(TXN_TOKEN_TYP, entry.tokens.len().saturating_sub(1));
    std::iter::once(first).chain(others).collect()
}

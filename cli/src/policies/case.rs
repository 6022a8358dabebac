//! A question to the policies as people write it, and what it means.

use std::path::Path;

use identity::{ActorChain, Scopes, SpiffeId, Subject, TrustDomain, workload_id};
use policies::{Action, Administer, Decision, Explanation, MayAsk, Operation, Policies, Question, Use, What};
use runtime::clock;
use serde::Deserialize;
use serde_saphyr::Spanned;

use super::{at, yaml_fault};

/// As written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Written {
    /// What it shows, in words.
    #[serde(default)]
    pub(super) case: Option<String>,
    /// SPIFFE ID of who asks.
    pub(super) requester: String,
    /// `begin`, `exchange`, `use` or `administer`.
    pub(super) action: String,
    /// Name in the registry; at `begin` the trust domain, which need not be said.
    #[serde(default)]
    pub(super) target: Option<String>,
    /// The user; not at `use`.
    #[serde(default)]
    pub(super) subject: Option<String>,
    #[serde(default)]
    pub(super) groups: Vec<String>,
    #[serde(default)]
    pub(super) roles: Vec<String>,
    /// Who acts, current first; absent: the requester alone.
    #[serde(default)]
    pub(super) actors: Vec<String>,
    #[serde(default)]
    pub(super) scopes: Vec<String>,
    #[serde(default)]
    pub(super) passes_on: Vec<String>,
    /// At `administer`: `revoke` or `introspect`.
    #[serde(default)]
    pub(super) operation: Option<String>,
    /// At `administer`: `token`, `transaction`, `session`, `user`, `workload` or `key`.
    #[serde(default)]
    pub(super) what: Option<String>,
    /// `permit` or `deny`.
    #[serde(default)]
    pub(super) expect: Option<Expect>,
    /// The rules that decide.
    #[serde(default)]
    pub(super) rules: Option<Vec<String>>,
    /// The rules on trial that would permit it.
    #[serde(default)]
    pub(super) would: Option<Vec<String>>,
}

/// The decision that is expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Expect {
    Permit,
    Deny,
}

/// A question that can be put.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Case {
    pub(super) requester: SpiffeId,
    pub(super) asked: Asked,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Asked {
    /// For a user.
    ForUser { to: To, person: Person, actors: ActorChain, scopes: Scopes, passes_on: Scopes },
    /// In the own name.
    Own { target: String },
    /// About the broker itself.
    Administer { trust_domain: TrustDomain, operation: Operation, what: What },
}

/// What is called.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum To {
    Begin(TrustDomain),
    Exchange(String),
}

/// The user.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Person {
    pub(super) subject: Subject,
    pub(super) groups: Vec<String>,
    pub(super) roles: Vec<String>,
}

/// The cases of a file: a list, or a single one. Each is told with the line where it begins.
///
/// # Errors
/// Why not, in one line.
pub(super) fn read(file: &Path, text: &str) -> Result<Vec<Spanned<Written>>, String> {
    let is_list = text.lines().any(|line| line.starts_with("- ") || line.trim_end() == "-" || line.starts_with('['));
    let read = if is_list { serde_saphyr::from_str(text) } else { serde_saphyr::from_str(text).map(|one| vec![one]) };
    read.map_err(|error| yaml_fault(file, &error))
}

/// What a case that stands in a file means.
///
/// # Errors
/// Every mistake of it, each in one line.
pub(super) fn understood(file: &Path, written: &Spanned<Written>) -> Result<Case, Vec<String>> {
    let (line, column) = (written.referenced.line(), written.referenced.column());
    let told = |mistakes: Vec<String>| mistakes.into_iter().map(|mistake| at(file, line, column, mistake)).collect();
    Case::of(&written.value).map_err(told)
}

impl Case {
    /// What `written` means.
    ///
    /// # Errors
    /// Every mistake.
    pub(super) fn of(written: &Written) -> Result<Self, Vec<String>> {
        let mut mistakes = Vec::new();
        let requester = workload(&written.requester, "requester", &mut mistakes);
        let asked = match written.action.as_str() {
            "begin" => begin(written, requester.as_ref(), &mut mistakes),
            "exchange" => target(written, &mut mistakes).map(To::Exchange),
            "use" => return own(written, requester, mistakes),
            "administer" => return administer(written, requester, mistakes),
            other => {
                mistakes.push(format!("action: `{other}` is none of `begin`, `exchange`, `use` and `administer`"));
                None
            }
        };
        let subject = written.subject.as_deref().unwrap_or_default().parse::<Subject>();
        let subject = subject.map_err(|fault| mistakes.push(format!("subject: {fault}"))).ok();
        let actors = requester.as_ref().and_then(|requester| actors(written, requester, &mut mistakes));
        let scopes = scopes(&written.scopes, "scopes", &mut mistakes);
        let passes_on = self::scopes(&written.passes_on, "passes_on", &mut mistakes);
        match (requester, asked, subject, actors, scopes, passes_on) {
            (Some(requester), Some(to), Some(subject), Some(actors), Some(scopes), Some(passes_on))
                if mistakes.is_empty() =>
            {
                let person = Person { subject, groups: written.groups.clone(), roles: written.roles.clone() };
                Ok(Self { requester, asked: Asked::ForUser { to, person, actors, scopes, passes_on } })
            }
            _incomplete => Err(mistakes),
        }
    }

    /// The same question for another user.
    pub(super) fn with_person(&self, other: &Person) -> Self {
        let mut case = self.clone();
        if let Asked::ForUser { person, .. } = &mut case.asked {
            *person = other.clone();
        }
        case
    }

    pub(super) fn decide(&self, policies: &Policies) -> Decision {
        self.put(
            |question| policies.decide(question),
            |asked| policies.decide_use(asked),
            |asked| policies.decide_administer(asked),
        )
    }

    pub(super) fn explain(&self, policies: &Policies) -> Explanation {
        self.put(
            |question| policies.explain(question, clock::now()),
            |asked| policies.explain_use(asked, clock::now()),
            |asked| policies.explain_administer(asked, clock::now()),
        )
    }

    /// What could be asked instead, of the scopes that are asked.
    pub(super) fn may_ask(&self, policies: &Policies) -> MayAsk {
        self.put(
            |question| policies.may_ask(question, question.scopes),
            |_asked| MayAsk { scopes: Scopes::none(), anything: false },
            |_asked| MayAsk { scopes: Scopes::none(), anything: false },
        )
    }

    fn put<T>(
        &self,
        for_user: impl FnOnce(&Question<'_>) -> T,
        own: impl FnOnce(&Use<'_>) -> T,
        broker: impl FnOnce(&Administer<'_>) -> T,
    ) -> T {
        let Self { requester, asked } = self;
        match asked {
            Asked::Own { target } => own(&Use { requester, target }),
            Asked::Administer { trust_domain, operation, what } => {
                broker(&Administer { requester, trust_domain, operation: *operation, what: *what })
            }
            Asked::ForUser { to, person, actors, scopes, passes_on } => {
                let action = match to {
                    To::Begin(trust_domain) => Action::Begin { trust_domain },
                    To::Exchange(target) => Action::Exchange { target },
                };
                let Person { subject, groups, roles } = person;
                for_user(&Question { requester, action, subject, groups, roles, actors, scopes, passes_on })
            }
        }
    }
}

fn own(written: &Written, requester: Option<SpiffeId>, mut mistakes: Vec<String>) -> Result<Case, Vec<String>> {
    no_user(written, &mut mistakes);
    let target = target(written, &mut mistakes);
    match (requester, target) {
        (Some(requester), Some(target)) if mistakes.is_empty() => Ok(Case { requester, asked: Asked::Own { target } }),
        _incomplete => Err(mistakes),
    }
}

fn administer(written: &Written, requester: Option<SpiffeId>, mut mistakes: Vec<String>) -> Result<Case, Vec<String>> {
    no_user(written, &mut mistakes);
    let operation = written.operation.as_deref().and_then(Operation::named);
    if operation.is_none() {
        mistakes.push("operation: `administer` is about `revoke` or `introspect`".to_owned());
    }
    let what = written.what.as_deref().and_then(What::named);
    if what.is_none() {
        let known = "`token`, `transaction`, `session`, `user`, `workload` or `key`";
        mistakes.push(format!("what: `administer` is about a {known}"));
    }
    let domain = begin(written, requester.as_ref(), &mut mistakes);
    match (requester, domain, operation, what) {
        (Some(requester), Some(To::Begin(trust_domain)), Some(operation), Some(what)) if mistakes.is_empty() => {
            Ok(Case { requester, asked: Asked::Administer { trust_domain, operation, what } })
        }
        _incomplete => Err(mistakes),
    }
}

fn no_user(written: &Written, mistakes: &mut Vec<String>) {
    let of_a_user = [
        ("subject", written.subject.is_some()),
        ("groups", !written.groups.is_empty()),
        ("roles", !written.roles.is_empty()),
        ("actors", !written.actors.is_empty()),
        ("scopes", !written.scopes.is_empty()),
        ("passes_on", !written.passes_on.is_empty()),
    ];
    let meaningless = of_a_user.into_iter().filter(|(_key, stands)| *stands);
    let action = &written.action;
    mistakes.extend(meaningless.map(|(key, _stands)| format!("{key}: has no meaning at `{action}`, where no user is")));
}

fn begin(written: &Written, requester: Option<&SpiffeId>, mistakes: &mut Vec<String>) -> Option<To> {
    let Some(name) = &written.target else {
        return requester.map(|requester| To::Begin(requester.trust_domain().clone()));
    };
    match TrustDomain::new(name) {
        Ok(domain) if domain.as_str() == name => Some(To::Begin(domain)),
        Ok(_) | Err(_) => {
            mistakes.push(format!("target: `{name}` is no trust domain, which is what `{}` is about", written.action));
            None
        }
    }
}

fn target(written: &Written, mistakes: &mut Vec<String>) -> Option<String> {
    if written.target.is_none() {
        mistakes.push(format!("target: missing: `{}` is about a target", written.action));
    }
    written.target.clone()
}

/// As tokens nest them: the current one first, which is the requester.
fn actors(written: &Written, requester: &SpiffeId, mistakes: &mut Vec<String>) -> Option<ActorChain> {
    let names = if written.actors.is_empty() { std::slice::from_ref(&written.requester) } else { &written.actors };
    let mut ids = Vec::new();
    for name in names {
        ids.push(workload(name, "actors", mistakes)?);
    }
    if ids.first() != Some(requester) {
        mistakes.push("actors: the first must be the requester: who acts now stands first".to_owned());
        return None;
    }
    let mut ids = ids.into_iter().rev();
    let chain = ActorChain::of(ids.next()?);
    ids.try_fold(chain, ActorChain::then).map_err(|fault| mistakes.push(format!("actors: {fault}"))).ok()
}

fn workload(text: &str, key: &str, mistakes: &mut Vec<String>) -> Option<SpiffeId> {
    workload_id(text).map_err(|fault| mistakes.push(format!("{key}: `{text}` is {fault}"))).ok()
}

fn scopes(texts: &[String], key: &str, mistakes: &mut Vec<String>) -> Option<Scopes> {
    texts.join(" ").parse::<Scopes>().map_err(|fault| mistakes.push(format!("{key}: {fault}"))).ok()
}

//! From a question to Cedar's request, by Cedar's typed constructors only: no id is ever put into text, so nothing in
//! one can be read as policy.

use std::collections::HashSet;

use cedar_policy::{
    Context, Entities, Entity, EntityId, EntityTypeName, EntityUid, ParseErrors, Request, RestrictedExpression, Schema,
};
use identity::{Scopes, SpiffeId};

use crate::{Action, Administer, Question, Use};

/// The names of `schema.cedarschema`, parsed once.
#[derive(Debug)]
pub(crate) struct Vocabulary {
    workload: EntityTypeName,
    trust_domain: EntityTypeName,
    target: EntityTypeName,
    user: EntityTypeName,
    group: EntityTypeName,
    role: EntityTypeName,
    begin: EntityUid,
    exchange: EntityUid,
    own_use: EntityUid,
    administer: EntityUid,
}

/// A question with everything that does not change when it is asked again for another scope.
pub(crate) struct Prepared {
    principal: EntityUid,
    action: EntityUid,
    resource: EntityUid,
    about: About,
    /// The user with groups and roles as parents. Workloads and targets need no entry: nothing is above them.
    entities: Entities,
}

/// What its context says.
#[expect(
    clippy::large_enum_variant,
    reason = "one lives at a time, within a decision, and the large one is the usual one"
)]
enum About {
    /// A call for a user.
    Delegation(Delegation),
    /// An operator's operation, and on what.
    Administration(&'static str, &'static str),
    /// Nothing: a call in the own name.
    Nothing,
}

/// For whom, through whom, and what is handed on.
struct Delegation {
    subject: EntityUid,
    actors: RestrictedExpression,
    passes_on: RestrictedExpression,
}

/// Why a question could not be put to Cedar.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unaskable {
    #[error("the user's groups and roles are not acceptable to cedar: {0}")]
    Entities(String),
    #[error("the context is not acceptable to cedar: {0}")]
    Context(String),
    #[error("the request does not fit the schema: {0}")]
    Request(String),
}

impl Vocabulary {
    pub(crate) fn new() -> Result<Self, Box<ParseErrors>> {
        Ok(Self {
            workload: "Workload".parse()?,
            trust_domain: "TrustDomain".parse()?,
            target: "Target".parse()?,
            user: "User".parse()?,
            group: "Group".parse()?,
            role: "Role".parse()?,
            begin: r#"Action::"begin""#.parse()?,
            exchange: r#"Action::"exchange""#.parse()?,
            own_use: r#"Action::"use""#.parse()?,
            administer: r#"Action::"administer""#.parse()?,
        })
    }

    pub(crate) fn workload(&self, id: &SpiffeId) -> EntityUid {
        named(&self.workload, &id.to_string())
    }

    pub(crate) fn target(&self, name: &str) -> EntityUid {
        named(&self.target, name)
    }

    pub(crate) const fn exchange(&self) -> &EntityUid {
        &self.exchange
    }

    pub(crate) const fn own_use(&self) -> &EntityUid {
        &self.own_use
    }

    pub(crate) const fn administer(&self) -> &EntityUid {
        &self.administer
    }

    /// Whether a user is behind what is asked with this action.
    pub(crate) fn is_for_user(&self, action: &EntityUid) -> bool {
        *action != self.own_use && *action != self.administer
    }
}

impl Prepared {
    pub(crate) fn new(question: &Question<'_>, words: &Vocabulary) -> Result<Self, Unaskable> {
        let (action, resource) = match question.action {
            Action::Begin { trust_domain } => (&words.begin, named(&words.trust_domain, trust_domain.as_str())),
            Action::Exchange { target } => (&words.exchange, words.target(target)),
        };
        let subject = named(&words.user, question.subject.as_str());
        let groups = question.groups.iter().map(|group| named(&words.group, group));
        let roles = question.roles.iter().map(|role| named(&words.role, role));
        let parents: HashSet<EntityUid> = groups.chain(roles).collect();
        let user = Entity::new_no_attrs(subject.clone(), parents);
        let actors = question.actors.iter().map(|actor| RestrictedExpression::new_entity_uid(words.workload(actor)));
        Ok(Self {
            principal: words.workload(question.requester),
            action: action.clone(),
            resource,
            about: About::Delegation(Delegation {
                subject,
                actors: RestrictedExpression::new_set(actors),
                passes_on: set(question.passes_on),
            }),
            entities: Entities::from_entities([user], None).map_err(|error| Unaskable::Entities(error.to_string()))?,
        })
    }

    pub(crate) fn own(asked: &Use<'_>, words: &Vocabulary) -> Self {
        Self {
            principal: words.workload(asked.requester),
            action: words.own_use.clone(),
            resource: words.target(asked.target),
            about: About::Nothing,
            entities: Entities::empty(),
        }
    }

    pub(crate) fn administration(asked: &Administer<'_>, words: &Vocabulary) -> Self {
        Self {
            principal: words.workload(asked.requester),
            action: words.administer.clone(),
            resource: named(&words.trust_domain, asked.trust_domain.as_str()),
            about: About::Administration(asked.operation.name(), asked.what.name()),
            entities: Entities::empty(),
        }
    }

    pub(crate) const fn principal(&self) -> &EntityUid {
        &self.principal
    }

    pub(crate) const fn action(&self) -> &EntityUid {
        &self.action
    }

    pub(crate) const fn resource(&self) -> &EntityUid {
        &self.resource
    }

    pub(crate) const fn entities(&self) -> &Entities {
        &self.entities
    }

    /// The request for these scopes. It is checked against the schema: what strict validation promises of a rule
    /// holds only for such requests.
    pub(crate) fn with(&self, scopes: &Scopes, schema: &Schema) -> Result<Request, Unaskable> {
        let text = |text: &str| RestrictedExpression::new_string(text.to_owned());
        let pairs = match &self.about {
            About::Nothing => Vec::new(),
            About::Administration(operation, what) => vec![("operation", text(operation)), ("what", text(what))],
            About::Delegation(Delegation { subject, actors, passes_on }) => vec![
                ("subject", RestrictedExpression::new_entity_uid(subject.clone())),
                ("actors", actors.clone()),
                ("scopes", set(scopes)),
                ("passes_on", passes_on.clone()),
            ],
        };
        let pairs = pairs.into_iter().map(|(name, value)| (name.to_owned(), value));
        let context = Context::from_pairs(pairs).map_err(|error| Unaskable::Context(error.to_string()))?;
        let (principal, action, resource) = (self.principal.clone(), self.action.clone(), self.resource.clone());
        Request::new(principal, action, resource, context, Some(schema))
            .map_err(|error| Unaskable::Request(error.to_string()))
    }
}

fn named(kind: &EntityTypeName, id: &str) -> EntityUid {
    EntityUid::from_type_name_and_id(kind.clone(), EntityId::new(id))
}

fn set(scopes: &Scopes) -> RestrictedExpression {
    RestrictedExpression::new_set(scopes.iter().map(|scope| RestrictedExpression::new_string(scope.to_owned())))
}

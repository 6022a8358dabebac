//! What is asked: begins, calls and renewals by whomever, also such as only an attacker sends.

use proptest::prelude::*;

use super::setting::{ALL, Mask, USERS, WORKLOADS};

/// One request, before it is known what it stands on.
#[derive(Clone, Debug)]
pub(super) struct Step {
    /// Seconds since the one before.
    pub(super) wait: u64,
    pub(super) deed: Deed,
    /// Who asks; `None`: who may use the token that is shown.
    pub(super) by: Option<usize>,
    pub(super) wish: Mask,
    /// The wish is cut to what could be had.
    pub(super) fits: bool,
    pub(super) twist: Twist,
}

#[derive(Clone, Debug)]
pub(super) enum Deed {
    Begin { user: usize, edge: usize, shown: Mask, known: Mask, signed_in: u64, keeper: u64 },
    Call { pick: usize, target: usize },
    Renew { pick: usize },
}

/// What is odd about a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Twist {
    Plain,
    /// Wishes about actor, subject, transaction and scope where nobody may wish; they change nothing.
    Context,
    BadContext,
    ActorToken,
    ActorTokenWithoutType,
    ScopeTwice,
    SubjectTwice,
    SecondResource(usize),
    SecondAudience(usize),
    ForeignDomain,
    OtherClient,
    AccessTokenAsSubject(usize),
    /// The token's payload with every scope, under its old signature.
    Widened,
    /// The token's claims signed by somebody else.
    ForeignKey,
}

pub(super) fn generated() -> impl Strategy<Value = Step> {
    let mask = || prop_oneof![Just(ALL), 0..=ALL];
    let begin = (0..USERS.len(), 0..WORKLOADS, mask(), mask(), 0..4000_u64, prop::sample::select(vec![120_u64, 6000]))
        .prop_map(|(user, edge, shown, known, signed_in, keeper)| Deed::Begin {
            user,
            edge,
            shown,
            known,
            signed_in,
            keeper,
        });
    let call = (any::<usize>(), any::<usize>()).prop_map(|(pick, target)| Deed::Call { pick, target });
    let renew = any::<usize>().prop_map(|pick| Deed::Renew { pick });
    let deed = prop_oneof![1 => begin, 6 => call, 2 => renew];
    let twist = prop_oneof![6 => Just(Twist::Plain), 1 => twist()];
    let wait = prop_oneof![9 => 0..3_u64, 1 => 0..40_u64];
    (wait, deed, prop::option::weighted(0.15, 0..WORKLOADS), mask(), prop::bool::weighted(0.85), twist)
        .prop_map(|(wait, deed, by, wish, fits, twist)| Step { wait, deed, by, wish, fits, twist })
}

fn twist() -> impl Strategy<Value = Twist> {
    prop_oneof![
        Just(Twist::Context),
        Just(Twist::BadContext),
        Just(Twist::ActorToken),
        Just(Twist::ActorTokenWithoutType),
        Just(Twist::ScopeTwice),
        Just(Twist::SubjectTwice),
        any::<usize>().prop_map(Twist::SecondResource),
        any::<usize>().prop_map(Twist::SecondAudience),
        Just(Twist::ForeignDomain),
        Just(Twist::OtherClient),
        any::<usize>().prop_map(Twist::AccessTokenAsSubject),
        Just(Twist::Widened),
        Just(Twist::ForeignKey),
    ]
}

//! Why the answer is no. Every reason has a name here, a stable code, and a line in docs/refusals.md.
//! A refusal says that the caller may not; a fault (`fault.*`) says that we or a dependency cannot now.
//! Nothing here holds a token or policy text: every message may be shown to a model.

mod token_fault;

use std::borrow::Cow;

pub use token_fault::TokenFault;

use self::token_fault::{OF_ACCESS_TOKEN, OF_ACTOR, OF_CLIENT_ASSERTION, OF_LOGOUT_TOKEN, OF_SUBJECT, OF_TXN_TOKEN};
use crate::ChainRefusal;

/// The whole list: a line of documentation, the name, the stable code and the sentence.
macro_rules! refusals {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $message:literal;)*) => {
        /// A refusal or fault with its stable code. Codes never change their meaning; docs/refusals.md lists them all.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum Refusal {
            $($(#[$doc])* $name,)*
            /// The subject token is not acceptable.
            Subject(TokenFault),
            /// The actor token is not acceptable.
            Actor(TokenFault),
            /// The access token is not acceptable here.
            AccessToken(TokenFault),
            /// The transaction token is not acceptable here.
            TxnToken(TokenFault),
            /// The logout token is not acceptable.
            LogoutToken(TokenFault),
            /// The client assertion is not acceptable.
            ClientAssertion(TokenFault),
            /// A `forbid` rule spoke; holds the rule's id.
            PolicyForbidden(String),
        }

        const PLAIN: &[Refusal] = &[$(Refusal::$name,)*];

        impl Refusal {
            /// The stable code: `family.reason`.
            #[must_use]
            pub fn code(&self) -> Cow<'static, str> {
                match self {
                    $(Self::$name => Cow::Borrowed($code),)*
                    Self::Subject(fault) => fault.code("subject"),
                    Self::Actor(fault) => fault.code("actor"),
                    Self::AccessToken(fault) => fault.code("access_token"),
                    Self::TxnToken(fault) => fault.code("txn_token"),
                    Self::LogoutToken(fault) => fault.code("logout_token"),
                    Self::ClientAssertion(fault) => fault.code("client_assertion"),
                    Self::PolicyForbidden(rule) => Cow::Owned(format!("policy.{rule}")),
                }
            }

            /// One sentence about it that may be shown to a user or a model.
            #[must_use]
            pub const fn message(&self) -> &'static str {
                match self {
                    $(Self::$name => $message,)*
                    Self::Subject(TokenFault::Expired) => "The user's sign-in has expired; the user must sign in again.",
                    Self::Subject(_) => "The subject token is not acceptable; the user must sign in again.",
                    Self::Actor(_) => "The actor token does not prove the identity of the caller.",
                    Self::AccessToken(_) => "The access token is not acceptable here.",
                    Self::TxnToken(_) => "The transaction token does not fit this call.",
                    Self::LogoutToken(_) => "The logout token is not acceptable.",
                    Self::ClientAssertion(_) => "The client assertion does not prove who asks.",
                    Self::PolicyForbidden(_) => "Policy does not allow this call.",
                }
            }
        }
    };
}

refusals! {
    /// The token endpoint takes POST only.
    RequestMethod = "request.method", "Only POST is accepted here.";
    /// The body is no `application/x-www-form-urlencoded`.
    RequestMediaType = "request.media_type", "The request body must be a form.";
    /// The body is larger than the limit.
    RequestTooLarge = "request.too_large", "The request is too large.";
    /// Broken percent-encoding, invalid UTF-8, or more parameters than any request has.
    RequestMalformed = "request.malformed", "The request is malformed.";
    /// A parameter other than `resource` or `audience` stands twice (RFC 6749 §3.2).
    RequestRepeatedParameter = "request.repeated_parameter", "A parameter stands twice in the request.";
    /// A required parameter is absent or empty.
    RequestMissingParameter = "request.missing_parameter", "A required parameter is missing.";
    /// A grant type other than token exchange.
    RequestGrantType = "request.grant_type", "Only token exchange is offered here.";
    /// A token type that is not exchanged or not issued here, or a type without its token.
    RequestTokenType = "request.token_type", "This type of token is not exchanged or issued here.";
    /// A token of an authority, of which only the authority can speak (RFC 7009 §2.2.1).
    RequestForeignToken = "request.foreign_token", "The token was not issued here; whoever issued it revokes it.";
    /// A session or user is named without its authority, or with one that is not known here.
    RequestAuthority = "request.authority", "The request names no authority that is known here.";
    /// No rule lets this workload end what was given to another, or look at it.
    ClientNotPermitted = "client.not_permitted", "This workload may not do that to what others were given.";
    /// `client_id` is not the client that authenticated.
    ClientMismatch = "client.mismatch", "The client named in the request is not the one that authenticated.";
    /// An authentication method that is not offered here: a secret, or an assertion of another type.
    ClientMethod = "client.method", "This way of proving who asks is not accepted here.";
    /// Two ways to authenticate in one request (RFC 6749 §2.3).
    ClientSeveralMethods = "client.several_methods", "The request proves in two ways at once who asks.";
    /// No client certificate and no client assertion.
    ClientAssertionMissing = "client_assertion.missing", "The request does not prove who asks.";
    /// The client assertion would live longer than one may.
    ClientAssertionLongLived = "client_assertion.long_lived", "The client assertion would live for too long.";
    /// A request at an edge carries no token of a user.
    SubjectMissing = "subject.missing", "The request carries no token of a user; the user must sign in first.";
    /// The user's session at the provider ended, or the user was disabled.
    SubjectSessionEnded = "subject.session_ended", "The user's session has ended; the user must sign in again.";
    /// The transaction's own life is over.
    SubjectTransactionEnded = "subject.transaction_ended", "The time for this piece of work is over; the user must ask again.";
    /// The token that was shown, its transaction, or a workload that it names was revoked.
    SubjectRevoked = "subject.revoked", "This piece of work was revoked; the user must sign in and ask again.";
    /// The actor token proves another identity than the client certificate.
    ActorMismatch = "actor.mismatch", "The actor token does not prove the identity of the caller.";
    /// The requester is no edge: it may not show a user's token.
    EdgeNotRegistered = "edge.not_registered", "This workload is not one where users may enter.";
    /// The user's token was issued to a client that is no login client of this edge.
    EdgeLoginClient = "edge.login_client", "Users of this application may not enter here.";
    /// The requester is neither callee nor owner of the transaction token.
    ChainNotCallee = "chain.not_callee", "This workload was not given the authority that it tried to use.";
    /// The requester acts in this chain already.
    ChainLoop = "chain.loop", "This workload acts in the same chain already.";
    /// The chain would be too deep.
    ChainTooDeep = "chain.too_deep", "The chain of workloads is too long.";
    /// An access token was asked without a target.
    TargetMissing = "target.missing", "The request names no target.";
    /// No registered target has this resource or audience.
    TargetUnknown = "target.unknown", "The request names a target that is not registered.";
    /// The target is not of the kind that is asked about here.
    TargetKind = "target.kind", "The request names a target of another kind.";
    /// More than one target was named.
    TargetSeveral = "target.several", "The request names more than one target.";
    /// A transaction token was asked for another trust domain.
    TargetDomain = "target.domain", "The request names another trust domain.";
    /// A target's audience is one of an issuer, realm or token endpoint.
    TargetReservedAudience = "target.reserved_audience", "The target has an audience that no target may have.";
    /// The scope string breaks RFC 6749 §3.3.
    ScopeMalformed = "scope.malformed", "The scope is malformed.";
    /// More scope was asked than the subject token holds.
    ScopeBeyondSubject = "scope.beyond_subject", "The call needs more than the user's sign-in allows.";
    /// Scope was asked that the target does not know.
    ScopeBeyondTarget = "scope.beyond_target", "The target does not know this scope.";
    /// Policy allows this requester the target, but not this scope.
    ScopeNotPermitted = "scope.not_permitted", "This workload may call the target, but not for this.";
    /// The user's token holds no scope that this edge takes in.
    ScopeNoneForEdge = "scope.none_for_edge", "The user's sign-in allows nothing that is offered here.";
    /// The provider no longer grants the scope that the user's token claims.
    ScopeWithdrawn = "scope.withdrawn", "The user no longer has a permission that the sign-in claims.";
    /// The provider granted more than was asked; the answer was discarded.
    ScopeWidened = "scope.widened", "The identity provider gave more than was asked, so its answer was discarded.";
    /// The access token's scope does not cover this call.
    ScopeInsufficient = "scope.insufficient", "The call needs a scope that it was not granted.";
    /// No policy rule permits it.
    PolicyNoRule = "policy.no_rule", "Policy does not allow this call.";
    /// A policy could not be evaluated; that is never a permit.
    PolicyError = "policy.error", "Policy could not be decided, so the call is refused.";
    /// The rule wants the session confirmed, and the user's authority is a plain OpenID issuer, which cannot be asked.
    PolicySessionUnconfirmed = "policy.session_unconfirmed", "Policy wants the user's session confirmed, and the user's identity provider cannot be asked.";
    /// The target does not map this path, method, tool, resource or prompt.
    CallUnmapped = "call.unmapped", "The target does not offer this path, method or tool.";
    /// The call belongs to no live transaction.
    CallNoTransaction = "call.no_transaction", "The call belongs to no user's request, so it is refused.";
    /// No target that this workload reaches has this host.
    CallUnlistedHost = "call.unlisted_host", "This workload may not call this host.";
    /// A JSON-RPC batch.
    CallBatch = "call.batch", "JSON-RPC batches are not accepted.";
    /// The body is larger than may be read to find the tool.
    CallTooLarge = "call.too_large", "The request body is too large to be checked.";
    /// The request is not what its protocol says: no JSON-RPC, a bad URL, an unsafe path.
    CallMalformed = "call.malformed", "The request is malformed.";
    /// A credential header stands twice, or is named by `Connection`.
    CallCredentialHeaders = "call.credential_headers", "A credential header stands twice or is named by the Connection header.";
    /// The MCP session belongs to another user or caller, or is unknown.
    CallSession = "call.session", "The session is not known; initialize a new one.";
    /// Several transactions live, and nothing in the call shows to which it belongs.
    CallAmbiguous = "call.ambiguous", "Several requests are in progress, and nothing shows to which this call belongs.";
    /// The call bears the trace of a request that has ended.
    CallTraceEnded = "call.trace_ended", "The request to which this call belongs has ended.";
    /// Handle, trace and `_meta` of the call do not name the same transaction.
    CallContradiction = "call.contradiction", "The call names two requests at once.";
    /// CONNECT and Upgrade are not carried yet.
    CallMethod = "call.method", "Tunnels and protocol upgrades are not carried.";
    /// The target is called through another door of this sidecar.
    CallWrongDoor = "call.wrong_door", "This target is called through another door of the sidecar.";
    /// The call carries no access token.
    AccessTokenMissing = "access_token.missing", "The call carries no access token.";
    /// The access token, its transaction, or a workload that it names was revoked.
    AccessTokenRevoked = "access_token.revoked", "The access token was revoked.";
    /// The target passes on, and the call carries no transaction token.
    TxnTokenMissing = "txn_token.missing", "The transaction token does not fit this call.";
    /// The target passes nothing on, and the call carries a transaction token.
    TxnTokenUnexpected = "txn_token.unexpected", "The transaction token does not fit this call.";
    /// The transaction token and the access token were not minted together for this hop.
    TxnTokenMismatch = "txn_token.mismatch", "The transaction token does not fit this call.";
    /// The transaction token, or a workload that it names, was revoked.
    TxnTokenRevoked = "txn_token.revoked", "The transaction token was revoked.";
    /// The logout token was accepted before.
    LogoutTokenReplayed = "logout_token.replayed", "The logout token was used already.";
    /// The peer proved another identity than the target's.
    PeerWrongIdentity = "peer.wrong_identity", "The called service could not prove who it is.";
    /// The peer refused a fresh token.
    PeerRefusedToken = "peer.refused_token", "The called service refused a fresh token.";
    /// No certificate authority is configured by which the service could prove who it is.
    PeerNoRoots = "peer.no_roots", "No certificate authority is configured by which the called service could prove who it is.";
    /// The peer cannot be reached.
    PeerUnreachable = "peer.unreachable", "The called service cannot be reached.";
    /// The peer's answer could not be carried: a listing too large to filter, or no valid HTTP.
    PeerAnswer = "peer.answer", "The called service gave an answer that could not be carried.";
    /// The identity provider cannot be asked now.
    FaultProvider = "fault.provider", "The identity provider cannot be asked now; try again.";
    /// The provider has not told for too long who is still signed in.
    FaultUnconfirmed = "fault.unconfirmed", "It is not known now who is still signed in; try again.";
    /// The broker's store does not answer.
    FaultStore = "fault.store", "The service cannot do this now; try again.";
    /// The grant could not be recorded, so nothing was issued.
    FaultRecord = "fault.record", "The service cannot do this now; try again.";
    /// The broker cannot be reached.
    FaultBroker = "fault.broker", "The token broker cannot be reached now; try again.";
    /// This process has no valid identity now.
    FaultIdentity = "fault.identity", "The service cannot do this now; try again.";
    /// The sidecar has not yet learned its targets.
    FaultNotReady = "fault.not_ready", "The service cannot do this now; try again.";
    /// The app behind this sidecar does not answer.
    FaultApp = "fault.app", "The service behind this sidecar does not answer; try again.";
    /// One workload asks more often than it may.
    FaultRateLimited = "fault.rate_limited", "This service asks too often; try again later.";
    /// The clock of this process ran backwards.
    FaultClock = "fault.clock", "The service cannot do this now; try again.";
    /// A limit on work in progress is reached.
    FaultOverloaded = "fault.overloaded", "Too much work is in progress; try again.";
}

impl Refusal {
    /// The refusal with this code, for a sidecar that reads the broker's answer. `policy.<rule>` is a forbid's id.
    #[must_use]
    pub fn from_code(code: &str) -> Option<Self> {
        let known = Self::catalogue().find(|refusal| refusal.code() == code);
        known.or_else(|| code.strip_prefix("policy.").map(|rule| Self::PolicyForbidden(rule.to_owned())))
    }

    /// Every refusal that can occur, once; the forbid of policy stands with the placeholder `<rule id>`.
    pub fn catalogue() -> impl Iterator<Item = Self> {
        let of_tokens = TokenFault::of(OF_SUBJECT)
            .map(Self::Subject)
            .chain(TokenFault::of(OF_ACTOR).map(Self::Actor))
            .chain(TokenFault::of(OF_ACCESS_TOKEN).map(Self::AccessToken))
            .chain(TokenFault::of(OF_TXN_TOKEN).map(Self::TxnToken))
            .chain(TokenFault::of(OF_LOGOUT_TOKEN).map(Self::LogoutToken))
            .chain(TokenFault::of(OF_CLIENT_ASSERTION).map(Self::ClientAssertion));
        let forbidden = Self::PolicyForbidden("<rule id>".to_owned());
        PLAIN.iter().cloned().chain(of_tokens).chain(std::iter::once(forbidden))
    }

    /// Whether we or a dependency cannot, rather than the caller may not: answered 503, worth a retry.
    #[must_use]
    pub fn is_fault(&self) -> bool {
        self.code().starts_with("fault.")
    }
}

impl From<ChainRefusal> for Refusal {
    fn from(refusal: ChainRefusal) -> Self {
        match refusal {
            ChainRefusal::Loop => Self::ChainLoop,
            ChainRefusal::TooDeep => Self::ChainTooDeep,
        }
    }
}

#[cfg(test)]
mod tests;

//! The status and the OAuth error of each refusal (`protocol.md` §11).

use http::StatusCode;

use super::Door;
use identity::Refusal;

/// What the broker says of requests that no sidecar makes. No call ever meets one, unless the two do not fit together.
macro_rules! of_the_broker {
    () => {
        Refusal::RequestMethod
            | Refusal::RequestMediaType
            | Refusal::RequestTooLarge
            | Refusal::RequestMalformed
            | Refusal::RequestRepeatedParameter
            | Refusal::RequestMissingParameter
            | Refusal::RequestGrantType
            | Refusal::RequestTokenType
            | Refusal::RequestForeignToken
            | Refusal::RequestAuthority
            | Refusal::ClientNotPermitted
            | Refusal::ClientMismatch
            | Refusal::ClientMethod
            | Refusal::ClientSeveralMethods
            | Refusal::ClientAssertion(_)
            | Refusal::ClientAssertionMissing
            | Refusal::ClientAssertionLongLived
            | Refusal::Actor(_)
            | Refusal::ActorMismatch
            | Refusal::TargetMissing
            | Refusal::TargetUnknown
            | Refusal::TargetKind
            | Refusal::TargetSeveral
            | Refusal::TargetDomain
            | Refusal::TargetReservedAudience
            | Refusal::ScopeMalformed
            | Refusal::LogoutToken(_)
            | Refusal::LogoutTokenReplayed
    };
}

/// The status of each refusal. 401 toward an app only for `subject.*`: the user must come back; at edge and mesh also
/// for the tokens that are shown there.
pub(super) fn status(refusal: &Refusal, door: Door) -> StatusCode {
    match refusal {
        Refusal::Subject(_)
        | Refusal::SubjectMissing
        | Refusal::SubjectSessionEnded
        | Refusal::SubjectTransactionEnded
        | Refusal::SubjectRevoked => StatusCode::UNAUTHORIZED,
        Refusal::AccessToken(_)
        | Refusal::AccessTokenMissing
        | Refusal::AccessTokenRevoked
        | Refusal::TxnToken(_)
        | Refusal::TxnTokenMissing
        | Refusal::TxnTokenUnexpected
        | Refusal::TxnTokenMismatch
        | Refusal::TxnTokenRevoked => match door {
            Door::Edge | Door::Mesh => StatusCode::UNAUTHORIZED,
            Door::Agent | Door::Own => StatusCode::FORBIDDEN,
        },
        Refusal::CallBatch | Refusal::CallMalformed | Refusal::CallCredentialHeaders => StatusCode::BAD_REQUEST,
        Refusal::CallTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Refusal::CallSession => StatusCode::NOT_FOUND,
        Refusal::CallUnmapped
        | Refusal::CallNoTransaction
        | Refusal::CallAmbiguous
        | Refusal::CallTraceEnded
        | Refusal::CallContradiction
        | Refusal::CallUnlistedHost
        | Refusal::CallMethod
        | Refusal::CallWrongDoor
        | Refusal::EdgeNotRegistered
        | Refusal::EdgeLoginClient
        | Refusal::ChainNotCallee
        | Refusal::ChainLoop
        | Refusal::ChainTooDeep
        | Refusal::ScopeBeyondSubject
        | Refusal::ScopeBeyondTarget
        | Refusal::ScopeNotPermitted
        | Refusal::ScopeNoneForEdge
        | Refusal::ScopeWithdrawn
        | Refusal::ScopeWidened
        | Refusal::ScopeInsufficient
        | Refusal::PolicyNoRule
        | Refusal::PolicySessionUnconfirmed
        | Refusal::PolicyError
        | Refusal::PolicyForbidden(_)
        | of_the_broker!() => StatusCode::FORBIDDEN,
        Refusal::PeerWrongIdentity | Refusal::PeerNoRoots | Refusal::PeerRefusedToken | Refusal::PeerAnswer => {
            StatusCode::BAD_GATEWAY
        }
        // Nothing was sent, so the caller may try again.
        Refusal::PeerUnreachable
        | Refusal::FaultProvider
        | Refusal::FaultUnconfirmed
        | Refusal::FaultStore
        | Refusal::FaultRecord
        | Refusal::FaultBroker
        | Refusal::FaultIdentity
        | Refusal::FaultNotReady
        | Refusal::FaultApp
        | Refusal::FaultRateLimited
        | Refusal::FaultClock
        | Refusal::FaultOverloaded => StatusCode::SERVICE_UNAVAILABLE,
    }
}

/// The OAuth error beside the code (RFC 6750 §3.1; RFC 6749 §4.1.2.1 for the rest).
pub(super) fn error(refusal: &Refusal, status: StatusCode) -> &'static str {
    match status {
        StatusCode::UNAUTHORIZED => "invalid_token",
        StatusCode::FORBIDDEN if refusal.code().starts_with("scope.") => "insufficient_scope",
        StatusCode::FORBIDDEN => "access_denied",
        StatusCode::SERVICE_UNAVAILABLE => "temporarily_unavailable",
        StatusCode::BAD_GATEWAY => "server_error",
        _ => "invalid_request",
    }
}

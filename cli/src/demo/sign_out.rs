//! One more act, on a real Keycloak: alice is signed out while planner works for her. What planner has not asked for
//! yet, it does not get any more.

use std::time::Duration;

use dev::stack::{KEYCLOAK, Problem, Stack, StackFault};
use tokio::time::{Instant, sleep};

use super::{
    Run,
    event::{Event, LogoutRefusal, SignedOut},
    story::ask,
};

/// Planner begins a transaction, and asks for a target only when it is told to go on.
const QUESTION: &str = "Wait, then list_tickets yourself";
/// What planner gets: its own sidecar has heard of it, or the broker says so.
const CODES: [&str; 2] = ["subject.revoked", "subject.session_ended"];
const STATUS: u16 = 401;
/// Longest time between the push and the refusal (`protocol.md` §7).
const REFUSED_WITHIN: Duration = Duration::from_secs(1);
/// How often the record is looked at, and how long, until the transaction has begun.
const POLL_EVERY: Duration = Duration::from_millis(10);
const BEGUN_WITHIN: Duration = Duration::from_secs(10);

/// Plays it, where the provider is a Keycloak.
pub(super) async fn play(run: &mut Run, stack: &Stack) -> Result<(), StackFault> {
    if stack.admin().is_none() {
        return Ok(());
    }
    let token = stack.sign_in("alice", "tickets:read tickets:write").await?;
    let exchanges = stack.exchanges_at_provider().await?;
    let request = async {
        let answer = ask(stack, &token, QUESTION).await;
        answer.map(|answer| (answer, Instant::now()))
    };
    let ((answer, refused_at), signed_out_at) = tokio::try_join!(request, sign_out(stack))?;
    let took = refused_at.saturating_duration_since(signed_out_at);
    let asked = stack.exchanges_at_provider().await?.saturating_sub(exchanges);

    let refusal =
        LogoutRefusal { code: answer.refusal().unwrap_or_else(|| "none".to_owned()), status: answer.status.as_u16() };
    let milliseconds = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    let right = CODES.contains(&refusal.code.as_str()) && refusal.status == STATUS;
    run.expect(right, &format!("after the sign-out planner should get {STATUS} {}", CODES.join(" or ")));
    run.expect(took <= REFUSED_WITHIN, "the sign-out took more than 1 s to be felt");
    // The one exchange is that of the transaction's begin.
    run.expect(asked == 1, "Keycloak was asked about a session that it had said was over");
    run.summary.logout_refusal = Some(refusal.clone());
    run.summary.logout_to_refused_ms = Some(milliseconds);
    run.show(&Event::SignedOut(SignedOut { refusal, milliseconds, expected: right }));
    Ok(())
}

/// Signs alice out once her transaction has begun, and has planner go on. Returns when Keycloak had told the broker:
/// it answers its administrator only after that.
async fn sign_out(stack: &Stack) -> Result<Instant, StackFault> {
    let before = stack.records().len();
    let started = Instant::now();
    while stack.records().len() == before {
        if started.elapsed() > BEGUN_WITHIN {
            return Err(stack.fault(dev::stack::BROKER, Problem::Unknown));
        }
        sleep(POLL_EVERY).await;
    }
    if let Some(admin) = stack.admin() {
        admin.log_out("alice").await.map_err(|fault| stack.fault(KEYCLOAK, fault.into()))?;
    }
    let told = Instant::now();
    stack.proceed("planner").await?;
    Ok(told)
}

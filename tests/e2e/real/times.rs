//! How soon the end of a session is known, on a real Keycloak: that it is refused in the end is asserted, how long that
//! took is printed (`cargo test -p e2e --test e2e -- real::times --nocapture`), for docs/benchmarks.md.

use std::time::{Duration, Instant};

use dev::{apps::Call, real::admin::Admin, stack::StackOptions};
use harness::{Desk, TICKETS, begin, call, claims_of, eventually, to_tickets, tool};
use http::Method;
use serde_json::json;

const BOTH: &str = "tickets:read tickets:write";
const ROUNDS: usize = 3;

/// A sign-in as the login client keeps it: with the token that ends it.
struct SignIn {
    token: String,
    refresh: String,
}

/// Tickets with its sidecar, on real peers.
async fn options() -> StackOptions {
    let mut options = Desk::real_options().await;
    options.members.retain(|member| member.name == "tickets");
    let elsewhere = options.targets.iter_mut().filter(|target| target["name"] == "researcher");
    elsewhere.for_each(|target| target["connect"] = json!("127.0.0.1:1"));
    options
}

async fn to_realm(desk: &Desk, path: &str, more: &[(&str, &str)]) -> dev::apps::Answer {
    let url = format!("{}/protocol/openid-connect/{path}", desk.stack.issuer());
    let client = [("client_id", "test-login"), ("client_secret", ::peers::development::TEST_LOGIN_SECRET)];
    let answer = Call::new(Method::POST, &url).form(&[&client, more].concat()).send().await.expect("answered");
    assert!(answer.status.is_success(), "{path}: {} {}", answer.status, answer.json());
    answer
}

async fn sign_in(desk: &Desk) -> SignIn {
    let alice = [
        ("grant_type", "password"),
        ("username", "alice"),
        ("password", ::peers::development::ALICE_PASSWORD),
        ("scope", "openid tickets:read tickets:write"),
    ];
    let answer = to_realm(desk, "token", &alice).await;
    let token = |member: &str| answer.text(member).unwrap_or_else(|| panic!("{}", answer.json()));
    SignIn { token: token("/access_token"), refresh: token("/refresh_token") }
}

async fn begun(desk: &Desk, token: &str) -> String {
    let answer = desk.ask("planner", &begin(token, BOTH)).await;
    answer.text("/access_token").unwrap_or_else(|| panic!("{}", answer.json()))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    Logout,
    LogoutUntold,
    SessionDeleted,
    Disabled,
    Deleted,
    LogoutAll,
    RefreshTokenRevoked,
    RoleRemoved,
}

impl Ending {
    /// Does it.
    async fn happens(self, desk: &Desk, admin: &Admin, user: &SignIn) {
        let send = async |method, path: &str| admin.call(method, path, None).await.map(drop).expect("done");
        match self {
            Self::Logout | Self::LogoutUntold => {
                to_realm(desk, "logout", &[("refresh_token", &user.refresh)]).await;
            }
            Self::RefreshTokenRevoked => {
                to_realm(desk, "revoke", &[("token", &user.refresh)]).await;
            }
            Self::SessionDeleted => {
                let sid = claims_of(&user.token)["sid"].as_str().expect("a session").to_owned();
                send(Method::DELETE, &format!("sessions/{sid}")).await;
            }
            Self::Disabled => admin.set_enabled("alice", false).await.expect("disabled"),
            Self::Deleted => {
                let id = admin.user_id("alice").await.expect("alice");
                send(Method::DELETE, &format!("users/{id}")).await;
            }
            Self::LogoutAll => send(Method::POST, "logout-all").await,
            Self::RoleRemoved => admin.remove_role("alice", "tickets-writer").await.expect("removed"),
        }
    }

    /// Undoes it, where it can be.
    async fn is_over(self, admin: &Admin) {
        if self == Self::Disabled {
            admin.set_enabled("alice", true).await.expect("enabled");
        }
    }

    /// How often it can be done in one realm.
    const fn rounds(self) -> usize {
        match self {
            Self::Deleted | Self::RoleRemoved => 1,
            Self::Logout
            | Self::LogoutUntold
            | Self::SessionDeleted
            | Self::Disabled
            | Self::LogoutAll
            | Self::RefreshTokenRevoked => ROUNDS,
        }
    }
}

/// How long until planner's next call was refused.
struct Took {
    /// From Keycloak's answer to whoever did it.
    answered: Duration,
    /// From before he asked.
    whole: Duration,
    /// As `answered`, until the sidecar of tickets refused a token that was issued before.
    sidecar: Option<Duration>,
}

async fn measure(desk: &Desk, ending: Ending, expected: &[&str]) -> Vec<Took> {
    let admin = desk.stack.admin().expect("Keycloak");
    if ending != Ending::Logout {
        admin.set_logout_url(&dev::real::realm::LOGIN_CLIENTS, "http://127.0.0.1:9/").await.expect("set");
    }
    let mut times = Vec::new();
    for _round in 0..ending.rounds() {
        let user = sign_in(desk).await;
        let txn = begun(desk, &user.token).await;
        let form = call(&txn, TICKETS, "tickets:read");
        let access = desk.ask("planner", &form).await.text("/access_token").expect("before");
        let started = Instant::now();
        ending.happens(desk, admin, &user).await;
        let answered = Instant::now();
        let at_broker = async {
            let what = format!("{ending:?} is refused");
            let refusal = eventually(&what, || async { desk.ask("planner", &form).await.refusal() }).await;
            (refusal, answered.elapsed(), started.elapsed())
        };
        let (at_broker, sidecar) = tokio::join!(at_broker, refused_at_sidecar(desk, ending, &access, answered));
        let (refusal, answered, whole) = at_broker;
        assert!(expected.contains(&refusal.as_str()), "{ending:?}: {refusal}");
        times.push(Took { answered, whole, sidecar });
        ending.is_over(admin).await;
    }
    times
}

/// A role that is taken away ends no transaction, so its sidecars are told nothing.
async fn refused_at_sidecar(desk: &Desk, ending: Ending, access: &str, from: Instant) -> Option<Duration> {
    if ending == Ending::RoleRemoved {
        return None;
    }
    let refused = || async {
        let answer = desk.to_mesh("planner", "tickets", to_tickets(access, &tool("list_tickets"))).await;
        // A call that was in progress then is cut off.
        let refusal = answer.refusal().filter(|refusal| refusal != "subject.revoked")?;
        assert_eq!(refusal, "access_token.revoked", "{ending:?}");
        Some(())
    };
    eventually(&format!("{ending:?} is refused at the sidecar"), refused).await;
    Some(from.elapsed())
}

fn print(what: &str, times: &[Took]) {
    let told = |Took { answered, whole, sidecar }: &Took| {
        let sidecar = sidecar.map_or_else(|| "–".to_owned(), |took| took.as_millis().to_string());
        format!("{} ({}), sidecar {sidecar}", answered.as_millis(), whole.as_millis())
    };
    let times: Vec<String> = times.iter().map(told).collect();
    println!("times: {what}: {} ms", times.join("; "));
}

#[tokio::test]
async fn every_end_of_a_session_is_refused_soon() {
    let gone = ["subject.session_ended"];
    let rows: [(Ending, &[&str]); 8] = [
        (Ending::Logout, &gone),
        (Ending::LogoutUntold, &gone),
        (Ending::SessionDeleted, &gone),
        (Ending::Disabled, &gone),
        (Ending::LogoutAll, &gone),
        (Ending::RefreshTokenRevoked, &gone),
        (Ending::RoleRemoved, &["scope.withdrawn", "subject.revoked"]),
        (Ending::Deleted, &gone),
    ];
    let desk = Desk::open_with(options().await).await;
    for (ending, expected) in rows {
        if ending == Ending::Deleted {
            // The role of the row before is gone for good, and the next begin wants it.
            continue;
        }
        let times = measure(&desk, ending, expected).await;
        print(&format!("{ending:?}"), &times);
    }
    desk.close().await;
    let desk = Desk::open_with(options().await).await;
    print("Deleted", &measure(&desk, Ending::Deleted, &gone).await);
    desk.close().await;
}

#[tokio::test]
async fn under_strict_the_very_next_call_is_refused() {
    let gone = ["subject.session_ended"];
    let mut options = options().await;
    let rule = options.policies.get_mut("planner-may-read-tickets.cedar").expect("the rule");
    *rule = rule.replace("\npermit", "\n@liveness(\"strict\")\npermit");
    let desk = Desk::open_with(options).await;
    for ending in [Ending::RefreshTokenRevoked, Ending::LogoutAll, Ending::Disabled] {
        print(&format!("strict {ending:?}"), &measure(&desk, ending, &gone).await);
    }
    desk.close().await;
}

//! Calls for each CPU-second of the broker, beside the floor and beside Keycloak. Rounds alternate: each loads one after
//! the other for about a second of CPU, and a ratio is taken within the round.

use anyhow::Context as _;
use bytes::Bytes;

use crate::{
    anchors::{Asked, Floor, LINES, begin, call, renew, token},
    costs,
    figure::{self, Bound},
    floor::{SIGNED, VERIFIED},
    keycloak::Keycloak,
    load::{Load, count},
    progress::note,
};

/// Rounds; the first before them is thrown away.
const ROUNDS: usize = 9;
/// Requests of a round to each.
const REQUESTS: usize = 4000;
/// Requests of a round to Keycloak: each costs ten times as much.
const EXCHANGES: usize = 1000;
/// Transactions under way.
const TRANSACTIONS: usize = 200;
const UNIT: &str = "calls per CPU-second";

/// Calls for each CPU-second in one round.
struct Round {
    first: f64,
    seen: f64,
    verified: f64,
    signed: f64,
    exchanged: Option<f64>,
}

/// Measures; beside `keycloak` where there is one.
pub(crate) async fn measure(keycloak: Option<&Keycloak>) -> anyhow::Result<()> {
    note(format_args!("Calls of the broker and of the floor …"));
    let asked = Asked::embedded().await?;
    let floor = asked.floor(&asked.server).await?;
    let user = asked.stack.sign_in("alice", &format!("openid {}", crate::anchors::SCOPE)).await?;
    let begun = asked.load(vec![begin(&user)], TRANSACTIONS).run("begins").await?;
    let mut transactions = tokens(&begun.answers)?;
    let mut rounds = Vec::new();
    for number in 0..=ROUNDS {
        let renewed = asked.load(bodies(&transactions, renew), REQUESTS).run("renewals").await?;
        let fresh = tokens(&renewed.answers)?;
        let round = round(&asked, &floor, &fresh, keycloak).await?;
        note(format_args!(
            "  round {number} of {ROUNDS}: {:.0} first sight, {:.0} seen before; floor {:.0} and {:.0}{}",
            round.first,
            round.seen,
            round.verified,
            round.signed,
            round.exchanged.map(|rate| format!("; Keycloak {rate:.0}")).unwrap_or_default(),
        ));
        if number > 0 {
            rounds.push(round);
        }
        // Of the last answers, one of each transaction or nearly so.
        transactions = fresh.into_iter().take(TRANSACTIONS).collect();
    }
    print(&rounds)?;
    drop(floor);
    asked.stack.stop(dev::stack::Leave::Nothing).await;
    Ok(())
}

async fn round(asked: &Asked, floor: &Floor, fresh: &[String], keycloak: Option<&Keycloak>) -> anyhow::Result<Round> {
    let first = asked.load(bodies(fresh, call), REQUESTS);
    let few = fresh.get(..TRANSACTIONS).context("too few tokens")?;
    let seen = asked.load(bodies(few, call), REQUESTS);
    Ok(Round {
        verified: per_cpu(&floor.load(VERIFIED, &first), floor.pid).await?,
        first: per_cpu(&first, asked.pid).await?,
        // Each was shown in the load above.
        seen: per_cpu(&seen, asked.pid).await?,
        signed: per_cpu(&floor.load(SIGNED, &seen), floor.pid).await?,
        exchanged: match keycloak {
            Some(keycloak) => Some(per_cpu(&keycloak.load(EXCHANGES, LINES).await?, keycloak.pid).await?),
            None => None,
        },
    })
}

/// Requests of `load` for each CPU-second of the process that serves them.
pub(crate) async fn per_cpu(load: &Load, pid: u32) -> anyhow::Result<f64> {
    let before = costs::cpu(pid)?;
    let served = load.run("calls").await?;
    let took = costs::cpu(pid)?.saturating_sub(before);
    Ok(count(served.answers.len()) / took.as_secs_f64())
}

fn print(rounds: &[Round]) -> anyhow::Result<()> {
    let pairs = |side: &dyn Fn(&Round) -> Option<(f64, f64)>| rounds.iter().filter_map(side).collect::<Vec<_>>();
    figure::ratio(
        "first sight ÷ floor that verifies and signs",
        UNIT,
        &pairs(&|round| Some((round.first, round.verified))),
        Bound::AtLeast { must: 0.60, aim: 0.75 },
    )?;
    figure::ratio(
        "subject seen before ÷ floor that only signs",
        UNIT,
        &pairs(&|round| Some((round.seen, round.signed))),
        Bound::AtLeast { must: 0.40, aim: 0.55 },
    )?;
    let first = pairs(&|round| Some((round.first, round.exchanged?)));
    if first.is_empty() {
        return Ok(());
    }
    let at_least = |must: f64, aim: f64| Bound::AtLeast { must, aim };
    figure::ratio("first sight ÷ warm Keycloak's exchange", UNIT, &first, at_least(10.0, 15.0))?;
    let seen = pairs(&|round| Some((round.seen, round.exchanged?)));
    figure::ratio("subject seen before ÷ warm Keycloak's exchange", UNIT, &seen, at_least(20.0, 30.0))
}

fn tokens(answers: &[Bytes]) -> anyhow::Result<Vec<String>> {
    answers.iter().map(token).collect()
}

fn bodies(tokens: &[String], body: impl Fn(&str) -> Bytes) -> Vec<Bytes> {
    tokens.iter().map(|token| body(token)).collect()
}

//! The anchor that users know: a real Keycloak's standard exchange, with a JWT-SVID as client assertion, just as the broker
//! asks it. Only warm: cold it takes three to five times the CPU, which would flatter us.

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use bytes::Bytes;
use dev::stack::{KEYCLOAK, KeycloakSpeed, Leave, Peers, StackOptions};
use identity::workload_id;
use runtime::{clock, workload::JwtSvids};

use crate::{
    anchors::{Asked, BROKER_ID, SCOPE, begin},
    costs,
    load::{Load, Pick, Server, count, form},
    progress::note,
};

/// Exchanges until the JVM has compiled what it needs (`keycloak.md` §9).
const WARM_AFTER: usize = 40_000;
/// How many at a time while it gets warm: tokens must live until the last of them is sent.
const AT_ONCE: usize = 4000;
/// Connections while it gets warm: the most calls a second come at eight.
const WARMING_LINES: usize = 8;
const BASE: &str = "spiffe";

/// A warm Keycloak, with SPIRE and a broker of its own.
#[derive(Debug)]
pub(crate) struct Keycloak {
    pub(crate) asked: Asked,
    /// The JVM's process.
    pub(crate) pid: u32,
    svids: JwtSvids,
}

/// Starts it and warms it up: some minutes.
pub(crate) async fn warm() -> anyhow::Result<Keycloak> {
    note(format_args!("A real Keycloak and SPIRE …"));
    let options = StackOptions {
        peers: Peers::Real,
        keycloak_speed: KeycloakSpeed::RunsFast,
        // Longer than a measurement's pause between two fetches.
        spire_lives: Some((Duration::from_secs(3600), Duration::from_secs(300))),
        ..StackOptions::story()
    };
    let asked = Asked::start(options).await?;
    let pid = asked.stack.address(KEYCLOAK, "pid").context("no Keycloak")?.parse().context("no process id")?;
    let workload = asked.stack.own_workload(&workload_id(BROKER_ID)?, BASE).await?;
    workload.wait().await;
    let svids = JwtSvids::new(asked.stack.workload_api(), workload);
    let keycloak = Keycloak { asked, pid, svids };
    note(format_args!("Keycloak gets warm: {WARM_AFTER} exchanges …"));
    let mut done = 0_usize;
    while done < WARM_AFTER {
        let before = costs::cpu(pid)?;
        let served = keycloak.load(AT_ONCE, WARMING_LINES).await?.run("warming Keycloak").await?;
        done = done.saturating_add(served.answers.len());
        let cpu = costs::cpu(pid)?.saturating_sub(before).as_secs_f64() / count(served.answers.len());
        note(format_args!("  {done} of {WARM_AFTER}: {:.1} ms of CPU each, {:.0}/s", cpu * 1000.0, served.rate()));
    }
    Ok(keycloak)
}

impl Keycloak {
    /// Exchanges at Keycloak itself: on each connection another session's.
    pub(crate) async fn load(&self, requests: usize, lines: usize) -> anyhow::Result<Load> {
        let issuer = self.asked.stack.issuer();
        let svid = self.svids.fetch(issuer, clock::now()).await.context("no JWT-SVID")?;
        let users = self.users(lines).await?;
        let bodies: Vec<Bytes> = users.iter().map(|user| standard_exchange(user, svid.expose())).collect();
        let (authority, path) = issuer.strip_prefix("http://").and_then(|url| url.split_once('/')).context("no URL")?;
        Ok(Load {
            server: Server::Plain { address: authority.to_owned() },
            path: format!("/{path}/protocol/openid-connect/token"),
            bodies: Arc::new(bodies),
            lines,
            requests,
            pick: Pick::OfLine,
        })
    }

    /// Begins at the broker beside it: on each connection another session's.
    pub(crate) async fn begins(&self, requests: usize, lines: usize) -> anyhow::Result<Load> {
        let bodies = self.users(lines).await?.iter().map(|user| begin(user)).collect();
        Ok(Load { lines, pick: Pick::OfLine, ..self.asked.load(bodies, requests) })
    }

    /// Ends everything.
    pub(crate) async fn close(self) {
        self.asked.stack.stop(Leave::Nothing).await;
    }

    async fn users(&self, sessions: usize) -> anyhow::Result<Vec<String>> {
        let mut users = Vec::new();
        for _session in 0..sessions {
            users.push(self.asked.stack.sign_in("alice", &format!("openid {SCOPE}")).await?);
        }
        Ok(users)
    }
}

/// As the broker asks (RFC 8693 §2.1, `keycloak.md` §4).
fn standard_exchange(user: &str, assertion: &str) -> Bytes {
    form(&[
        ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
        ("subject_token", user),
        ("subject_token_type", "urn:ietf:params:oauth:token-type:access_token"),
        ("audience", "txn-broker"),
        ("scope", SCOPE),
        ("client_id", "txn-broker"),
        ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-spiffe"),
        ("client_assertion", assertion),
    ])
}

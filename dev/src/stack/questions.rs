//! What a running stack can be asked, and what its programs can be told.

use http::Method;
use serde::Deserialize;
use serde_json::Value;

use super::{KEYCLOAK, PROVIDER, Problem, Stack, StackFault};
use crate::apps::{Answer, Attempt, Call, Loot};

/// What an app's process received so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct Seen {
    /// Compact JWS strings.
    pub tokens: usize,
    /// Requests.
    pub requests: usize,
    /// Connections, also without a request.
    pub connections: usize,
}

impl Stack {
    /// What an app's process received so far.
    ///
    /// # Errors
    /// [`Problem::Call`] when it does not answer, [`Problem::Refused`] when it is no app of ours.
    pub async fn seen(&self, app: &str) -> Result<Seen, StackFault> {
        let answer = self.ask(app, "control", "/seen").await?;
        serde_json::from_slice(&answer.body).map_err(|_other| self.fault(app, Problem::Refused(answer.status)))
    }

    /// What the Workload API says to an app's process: `PermissionDenied`, as it must be.
    ///
    /// # Errors
    /// As [`Stack::seen`].
    pub async fn identity_of_app(&self, app: &str) -> Result<String, StackFault> {
        let answer = self.ask(app, "control", "/identity").await?;
        Ok(answer.text("/identity").unwrap_or_default())
    }

    /// The metrics of a broker or sidecar, as text.
    ///
    /// # Errors
    /// As [`Stack::seen`].
    pub async fn metrics(&self, process: &str) -> Result<String, StackFault> {
        let answer = self.ask(process, "admin", "/metrics").await?;
        Ok(String::from_utf8_lossy(&answer.body).into_owned())
    }

    /// Tells an app that waits in the middle of its work to go on.
    ///
    /// # Errors
    /// As [`Stack::seen`].
    pub async fn proceed(&self, app: &str) -> Result<(), StackFault> {
        self.call(app, Method::POST, "control", "/proceed").await.map(drop)
    }

    /// Token exchanges at the provider so far, as the provider itself counts them.
    ///
    /// # Errors
    /// [`Problem::Call`] when it does not answer, [`Problem::Refused`] when it does not tell.
    pub async fn exchanges_at_provider(&self) -> Result<usize, StackFault> {
        if let Some(admin) = &self.admin {
            return admin.exchanges().await.map_err(|fault| self.fault(KEYCLOAK, fault.into()));
        }
        let base = self.issuer.split_once("/realms/").map_or(self.issuer.as_str(), |(base, _realm)| base);
        let asked = Call::new(Method::GET, &format!("{base}/dev/exchanges")).send().await;
        let answer = asked.map_err(|fault| self.fault(PROVIDER, fault.into()))?;
        let exchanges = answer.json().get("exchanges").and_then(Value::as_u64);
        let exchanges = exchanges.and_then(|exchanges| usize::try_from(exchanges).ok());
        exchanges.ok_or_else(|| self.fault(PROVIDER, Problem::Refused(answer.status)))
    }

    /// Has the process `attacker` try `attempt` (`steal` or `pass-through`).
    ///
    /// # Errors
    /// [`Problem::Attack`] when the attempt could not even be made.
    pub async fn attack(&self, attacker: &str, attempt: &str, loot: &Loot) -> Result<Attempt, StackFault> {
        let url = format!("{}/{attempt}", self.app(attacker).unwrap_or_default());
        let body = serde_json::to_value(loot).unwrap_or_default();
        let answer = Call::new(Method::POST, &url).json(&body).send().await;
        let answer = answer.map_err(|fault| self.fault(attacker, fault.into()))?;
        serde_json::from_slice(&answer.body)
            .map_err(|_other| self.fault(attacker, Problem::Attack(String::from_utf8_lossy(&answer.body).into_owned())))
    }

    async fn ask(&self, process: &str, door: &str, path: &str) -> Result<Answer, StackFault> {
        self.call(process, Method::GET, door, path).await
    }

    async fn call(&self, process: &str, method: Method, door: &str, path: &str) -> Result<Answer, StackFault> {
        let address = self.address(process, door).unwrap_or_default();
        let asked = Call::new(method, &format!("http://{address}{path}")).send().await;
        let answer = asked.map_err(|fault| self.fault(process, fault.into()))?;
        if answer.status.is_success() { Ok(answer) } else { Err(self.fault(process, Problem::Refused(answer.status))) }
    }
}

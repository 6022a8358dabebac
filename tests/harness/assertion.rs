//! Clients without a certificate, at the broker's door for client assertions.

use dev::{
    apps::{Answer, Call},
    stack::StackOptions,
};
use http::Method;
use serde_json::{Map, Value, json};

use crate::{Desk, Form};

/// `client_assertion_type` of a JWT-SVID.
const JWT_SPIFFE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-spiffe";

/// Opens the broker's door for client assertions, in clear text on loopback.
pub fn open_assertion_door(options: &mut StackOptions) {
    options.broker["assertions"] = json!({"listen": "127.0.0.1:0"});
}

impl Form {
    /// The same with `assertion` as the client's JWT-SVID.
    #[must_use]
    pub fn by(self, assertion: &str) -> Self {
        self.add("client_assertion_type", JWT_SPIFFE).add("client_assertion", assertion)
    }
}

impl Desk {
    /// Where clients without a certificate come.
    #[must_use]
    pub fn assertion_address(&self) -> String {
        self.stack.address("broker", "assertions").expect("the door is open").to_owned()
    }

    /// Posts `form` to the door for client assertions.
    pub async fn present(&self, form: &Form) -> Answer {
        self.to_assertion_door(form.clone().into()).await
    }

    /// Sends anything to the door for client assertions, over plain TCP.
    pub async fn to_assertion_door(&self, call: Call) -> Answer {
        let stream = tokio::net::TcpStream::connect(self.assertion_address()).await.expect("connected");
        call.send_over(stream).await.expect("answered")
    }

    /// A JWT-SVID with any claims under the trust domain's key, its header changed by `header` (`null` removes).
    pub async fn forged_svid(&self, header: Value, claims: Value) -> String {
        self.forged(false, header, claims).await
    }

    /// The same under the key of a federated trust domain, whose keys the Workload API gives, too.
    pub async fn federated_svid(&self, claims: Value) -> String {
        self.forged(true, json!({}), claims).await
    }

    async fn forged(&self, federated: bool, header: Value, claims: Value) -> String {
        let header: Map<String, Value> = header.as_object().expect("an object").clone();
        self.stack.registrar().expect("embedded").forge_jwt(federated, header, claims).await.expect("signed")
    }
}

impl From<Form> for Call {
    /// A post to the token endpoint.
    fn from(form: Form) -> Self {
        Self::new(Method::POST, "https://broker.agents.svc/token").form(&form.pairs())
    }
}

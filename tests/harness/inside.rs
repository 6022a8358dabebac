//! A transaction that is open: planner's app was asked, holds its handle, and does not answer until it is let go.

use std::sync::{Arc, Mutex};

use dev::{
    apps::{Answer, Call},
    stack::{App, StackOptions},
};
use http::Method;
use serde_json::json;
use tokio::task::JoinHandle;

use crate::{Desk, Sink, eventually};

/// Inside of alice's transaction at planner.
#[derive(Debug)]
pub struct Inside {
    /// The stack: planner and tickets with their sidecars.
    pub desk: Desk,
    /// The handle that planner's app was given.
    pub handle: String,
    /// The token with which alice came.
    pub user: String,
    request: Option<JoinHandle<()>>,
    released: Arc<Mutex<bool>>,
    _planner: Sink,
}

impl Inside {
    /// Opens one, with the app at `tickets` behind the sidecar of tickets.
    pub async fn open(tickets: &str) -> Self {
        Self::open_with(tickets, |_options| {}).await
    }

    /// As [`Inside::open`], in a stack that `change` has changed.
    pub async fn open_with(tickets: &str, change: impl FnOnce(&mut StackOptions)) -> Self {
        let released = Arc::new(Mutex::new(false));
        let seen = Arc::clone(&released);
        let planner = Sink::holding(move || *seen.lock().expect("not poisoned")).await;
        let mut options = Desk::options();
        options.members.retain(|member| member.name != "researcher");
        options.members[0].app = App::At(planner.url());
        options.members[1].app = App::At(tickets.to_owned());
        options.targets[0]["connect"] = json!("127.0.0.1:1");
        change(&mut options);
        let desk = Desk::open_with(options).await;
        let url = format!("{}/ask", desk.stack.edge("planner").expect("an edge"));
        let user = desk.alice().await;
        let call = Call::new(Method::POST, &url).header("authorization", &format!("Bearer {user}")).json(&json!({}));
        let request = async move { call.send().await.map(drop).expect("answered") };
        #[expect(clippy::disallowed_methods, reason = "a test ends with its runtime; nothing has to drain")]
        let request = Some(tokio::spawn(request));
        let handle = eventually("planner's app is asked", || async {
            let received = planner.received();
            received.first().map(|first| first.headers["countersign-handle"].to_str().expect("text").to_owned())
        })
        .await;
        Self { desk, handle, user, request, released, _planner: planner }
    }

    /// Planner's proxy.
    #[must_use]
    pub fn proxy(&self) -> String {
        self.desk.stack.agent("planner").expect("an agent door")
    }

    /// What planner's app gets for a call that it makes inside of the transaction.
    pub async fn through(&self, call: Call) -> Answer {
        let call = call.header("countersign-handle", &self.handle);
        call.send_through(&self.proxy()).await.expect("answered")
    }

    /// Lets planner's app answer and waits until that has reached the user: the transaction's request is over.
    pub async fn end(&mut self) {
        *self.released.lock().expect("not poisoned") = true;
        self.request.take().expect("open").await.expect("ended");
    }

    /// Ends all processes.
    pub async fn close(self) {
        *self.released.lock().expect("not poisoned") = true;
        self.desk.close().await;
    }
}

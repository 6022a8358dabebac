//! Several users inside of planner at once: each request of theirs stays open until it is answered or given up.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
};

use dev::{
    apps::{Answer, Call},
    stack::{App, StackOptions},
};
use http::{HeaderMap, Method};
use serde_json::json;
use tokio::task::JoinHandle;

use crate::{Desk, Sink, eventually};

/// Stands for every request.
const ALL: &str = "*";

/// A stack of planner and tickets, in which requests can be opened and ended one by one.
#[derive(Debug)]
pub struct Crowd {
    /// The stack.
    pub desk: Desk,
    planner: Sink,
    answered: Arc<Mutex<BTreeSet<String>>>,
}

/// One open request, and what planner's app was given with it.
#[derive(Debug)]
pub struct Guest {
    /// The headers that the app got.
    pub headers: HeaderMap,
    /// The token with which alice came.
    pub user: String,
    line: String,
    answered: Arc<Mutex<BTreeSet<String>>>,
    request: JoinHandle<Answer>,
}

impl Crowd {
    /// Opens the stack, with the app at `tickets` behind the sidecar of tickets.
    pub async fn open(tickets: &str) -> Self {
        Self::open_with(tickets, Desk::options()).await
    }

    /// The same with other rules.
    pub async fn open_with(tickets: &str, mut options: StackOptions) -> Self {
        let answered = Arc::new(Mutex::new(BTreeSet::new()));
        let seen = Arc::clone(&answered);
        let planner = Sink::holding_each(move |one| {
            let answered = seen.lock().expect("not poisoned");
            answered.contains(&one.line) || answered.contains(ALL)
        })
        .await;
        options.members.retain(|member| member.name != "researcher");
        options.members[0].app = App::At(planner.url());
        options.members[1].app = App::At(tickets.to_owned());
        options.targets[0]["connect"] = json!("127.0.0.1:1");
        Self { desk: Desk::open_with(options).await, planner, answered }
    }

    /// Alice asks planner, with `headers`; each time it is another transaction.
    pub async fn enter(&self, headers: &[(&'static str, &str)]) -> Guest {
        let path = format!("/ask?{}", self.planner.received().len());
        let url = format!("{}{path}", self.desk.stack.edge("planner").expect("an edge"));
        let user = self.desk.alice().await;
        let call = Call::new(Method::POST, &url).header("authorization", &format!("Bearer {user}")).json(&json!({}));
        let call = headers.iter().fold(call, |call, (name, value)| call.header(*name, value));
        let request = async move { call.send().await.expect("answered") };
        #[expect(clippy::disallowed_methods, reason = "a test ends with its runtime; nothing has to drain")]
        let request = tokio::spawn(request);
        let line = format!("POST {path}");
        let headers = eventually("planner's app is asked", || async {
            self.planner.received().into_iter().find(|one| one.line == line).map(|one| one.headers)
        })
        .await;
        Guest { headers, user, line, answered: Arc::clone(&self.answered), request }
    }

    /// What planner's app gets for a call.
    pub async fn through(&self, call: Call) -> Answer {
        call.send_through(&self.desk.stack.agent("planner").expect("an agent door")).await.expect("answered")
    }

    /// Ends all processes.
    pub async fn close(self) {
        self.answered.lock().expect("not poisoned").insert(ALL.to_owned());
        self.desk.close().await;
    }
}

impl Guest {
    /// The handle of this request.
    #[must_use]
    pub fn handle(&self) -> &str {
        self.headers["countersign-handle"].to_str().expect("text")
    }

    /// The trace id that the app was given.
    #[must_use]
    pub fn trace(&self) -> &str {
        self.headers["traceparent"].to_str().expect("text").split('-').nth(1).expect("a trace id")
    }

    /// A `traceparent` in the trace of this request, below a span of the app.
    #[must_use]
    pub fn traceparent(&self) -> String {
        format!("00-{}-00f067aa0ba902b7-01", self.trace())
    }

    /// Planner's app answers, and the user has it.
    pub async fn leave(self) {
        self.answered.lock().expect("not poisoned").insert(self.line.clone());
        self.answer().await;
    }

    /// What the user is answered, while planner's app is still at work.
    pub async fn answer(self) -> Answer {
        self.request.await.expect("ended")
    }

    /// The user hangs up while planner's app is at work.
    pub fn hang_up(self) {
        self.request.abort();
    }
}

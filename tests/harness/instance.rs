//! An instance of `countersign up` with folders of its own, so that tests do not meet.

use std::sync::Arc;

use dev::apps::Call;
use http::Method;
use rustix::process::Signal;

use crate::{Finished, Folder, Program, Running, patiently};

/// An instance, running or not yet.
#[derive(Debug)]
pub struct Instance {
    folder: Arc<Folder>,
    up: Option<Running>,
}

impl Instance {
    /// Folders without an instance in them.
    #[must_use]
    pub fn none() -> Self {
        Self { folder: Arc::default(), up: None }
    }

    /// Starts one, and waits until it is ready.
    pub async fn start(arguments: &[&str]) -> Self {
        Self::none().begin(arguments).await
    }

    /// Starts it in these folders.
    pub async fn begin(mut self, arguments: &[&str]) -> Self {
        let ready = self.ready_file("up");
        let arguments = [&["up", "--ready-file", &ready], arguments].concat();
        self.up = Some(self.program().arguments(arguments).start());
        let ready = self.ready_file("up");
        patiently("the instance is ready", || async { std::fs::exists(&ready).is_ok_and(|there| there).then_some(()) })
            .await;
        self
    }

    /// Starts it again after it was killed.
    ///
    /// # Panics
    /// Where it was not.
    pub async fn start_again(&mut self) {
        std::fs::remove_file(self.ready_file("up")).expect("was ready before");
        let killed = self.up.take().expect("ran").end().await;
        assert_eq!(killed.code, None, "{}", killed.stderr);
        *self = Self { folder: self.folder.clone(), up: None }.begin(&[]).await;
    }

    /// `countersign`, with the environment of this instance.
    #[must_use]
    pub fn program(&self) -> Program {
        let folder = self.path("");
        Program::new("countersign").variable("XDG_RUNTIME_DIR", &folder).variable("TMPDIR", &folder)
    }

    /// `countersign run --as WORKLOAD … -- COMMAND`.
    #[must_use]
    pub fn run_program(&self, workload: &str, more: &[&str], command: &[String]) -> Program {
        let program = self.program().arguments(["run", "--as", workload]).arguments(more);
        program.arguments(["--"]).arguments(command)
    }

    /// The same, started, with a ready file.
    #[must_use]
    pub fn run(&self, workload: &str, more: &[&str], command: &[String]) -> Running {
        let ready = self.ready_file(workload);
        let more = [&["--ready-file", &ready], more].concat();
        self.run_program(workload, &more, command).start()
    }

    /// A name's ready file.
    #[must_use]
    pub fn ready_file(&self, name: &str) -> String {
        self.path(&format!("{name}.json"))
    }

    /// An address of the instance itself.
    pub async fn address(&self, name: &str) -> String {
        self.up.as_ref().expect("started").address(&self.ready_file("up"), name).await
    }

    /// Process id of the instance.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.up.as_ref().expect("started").pid()
    }

    /// Where `name` lies in the folder.
    #[must_use]
    pub fn path(&self, name: &str) -> String {
        self.folder.path(name)
    }

    /// Writes a file and returns its path.
    #[must_use]
    pub fn write(&self, name: &str, text: &str) -> String {
        self.folder.write(name, text)
    }

    /// The folder, to look into after the end.
    #[must_use]
    pub fn kept(&self) -> Arc<Folder> {
        self.folder.clone()
    }

    /// A user's token, as the printed command gets it.
    pub async fn sign_in(&self, user: &str) -> String {
        self.sign_in_for(user, "tickets:read tickets:write").await
    }

    /// A user's token for `scope`.
    pub async fn sign_in_for(&self, user: &str, scope: &str) -> String {
        let url = format!("{}/protocol/openid-connect/token", self.address("issuer").await);
        let form = [
            ("grant_type", "password"),
            ("client_id", "console"),
            ("username", user),
            ("password", user),
            ("scope", scope),
        ];
        let answer = Call::new(Method::POST, &url).form(&form).send().await.expect("answered");
        answer.text("/access_token").expect("signed in")
    }

    /// Ends it as an operator does.
    pub async fn end(self) -> Finished {
        let up = self.up.expect("started");
        up.signal(Signal::TERM);
        up.end().await
    }
}

//! An instance of `countersign up` with own programs behind `countersign run`, and users who ask the agent among them.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicU32, Ordering},
};

use ::peers::Cache;
use dev::apps::Call;
use harness::{Finished, Folder, Program, Running, eventually};
use http::{Method, StatusCode};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::{net::TcpStream, task::JoinSet};

const SCOPES: &str = "tickets:read tickets:write";

static COUNT: AtomicU32 = AtomicU32::new(0);

/// A running instance and what joined it. All of it ends with this value.
#[derive(Debug)]
pub(super) struct Bench {
    guests: BTreeMap<String, Guest>,
    up: Running,
    name: String,
    issuer: String,
    python: PathBuf,
    folder: Folder,
}

/// A program behind its sidecar.
#[derive(Debug)]
struct Guest {
    run: Running,
    doors: Value,
}

/// What a user was answered.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) body: Value,
    text: String,
}

/// Our program, which leaves nothing outside of `folder`.
fn program(folder: &Folder) -> Program {
    let folder = folder.path("");
    Program::new("countersign").variable("XDG_RUNTIME_DIR", &folder).variable("TMPDIR", &folder)
}

impl Bench {
    /// Starts `countersign up` with `options`; paths in them are those of the checkout.
    pub(super) async fn up(options: &[&str]) -> Self {
        let folder = Folder::new();
        let python =
            Cache::of_user().and_then(|cache| cache.python("agent")).unwrap_or_else(|missing| panic!("{missing}"));
        let name = format!("test-{}-{}", process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let ready = folder.path("up.json");
        let arguments = ["up", "--name", &name, "--ready-file", &ready].map(str::to_owned);
        let options = options.iter().map(|option| in_checkout(option));
        let up = program(&folder).arguments(arguments.into_iter().chain(options)).start();
        let issuer = up.address(&ready, "issuer").await;
        Self { guests: BTreeMap::new(), up, name, issuer, python, folder }
    }

    /// The MCP server of the examples as the workload `tickets`.
    pub(super) async fn run_tickets(&mut self) {
        let command = vec![text_of(&self.python), in_checkout("examples/mcp-tickets/server.py")];
        self.run("tickets", &[], command, &[]).await;
    }

    /// The agent of the examples as `workload`, where users enter, by OpenTelemetry's launcher.
    pub(super) async fn run_agent(&mut self, workload: &str, variables: &[(&str, &str)]) {
        let launcher = self.python.with_file_name("opentelemetry-instrument");
        let agent = in_checkout("examples/langgraph-agent/agent.py");
        let command = vec![text_of(&launcher), text_of(&self.python), agent];
        self.run(workload, &["--edge"], command, variables).await;
    }

    async fn run(&mut self, workload: &str, options: &[&str], command: Vec<String>, variables: &[(&str, &str)]) {
        let ready = self.folder.path(&format!("{workload}.json"));
        let own = ["run", "--name", &self.name, "--as", workload, "--ready-file", &ready];
        let own = own.iter().chain(options).chain(&["--"]).map(|argument| (*argument).to_owned());
        let mut program = program(&self.folder).arguments(own.chain(command));
        for (name, value) in variables {
            program = program.variable(name, value);
        }
        let run = program.start();
        let app = run.address(&ready, "app").await;
        let doors = fs::read_to_string(&ready).expect("a ready file").parse().expect("JSON");
        eventually("the program listens", || async { TcpStream::connect(&app).await.ok() }).await;
        self.guests.insert(workload.to_owned(), Guest { run, doors });
    }

    /// What `user` is answered.
    pub(super) async fn ask(&self, user: &str) -> Reply {
        ask(&self.issuer, &self.edge(), user).await
    }

    /// What alice and bob are answered who ask at once: alice's call for a session is on its way when bob comes in, and
    /// is answered only then.
    pub(super) async fn ask_at_once(&self) -> (Reply, Reply) {
        let tickets = pid(self.program("tickets"));
        kill_process(tickets, Signal::STOP).expect("sent");
        let (calls, begins) = (self.count("correlations").await, self.count("broker_calls").await);
        let mut asking = JoinSet::new();
        let (issuer, edge) = (self.issuer.clone(), self.edge());
        asking.spawn(async move { ("alice", ask(&issuer, &edge, "alice").await) });
        eventually("alice's call is out", || async { (self.count("correlations").await > calls).then_some(()) }).await;
        let (issuer, edge) = (self.issuer.clone(), self.edge());
        asking.spawn(async move { ("bob", ask(&issuer, &edge, "bob").await) });
        // Alice's begin, the token for her call, bob's begin.
        let both = |now: u64| now >= begins.saturating_add(3);
        eventually("bob is in", || async { both(self.count("broker_calls").await).then_some(()) }).await;
        kill_process(tickets, Signal::CONT).expect("sent");
        let mut replies: BTreeMap<_, _> = asking.join_all().await.into_iter().collect();
        let mut of = |user| replies.remove(user).expect("an answer");
        (of("alice"), of("bob"))
    }

    /// Environment and arguments of a workload's program.
    pub(super) fn process_of(&self, workload: &str) -> [(&'static str, String); 2] {
        let pid = self.program(workload);
        [("environment", "environ"), ("arguments", "cmdline")].map(|(what, file)| {
            let bytes = fs::read(format!("/proc/{pid}/{file}")).expect("readable");
            assert!(!bytes.is_empty(), "{workload} has ended");
            (what, String::from_utf8_lossy(&bytes).into_owned())
        })
    }

    /// Ends all in order; returns what each workload and its program said.
    pub(super) async fn end(self) -> BTreeMap<String, String> {
        let mut told = BTreeMap::new();
        for (workload, Guest { run, .. }) in self.guests {
            run.signal(Signal::TERM);
            let Finished { stdout, stderr, .. } = run.end().await;
            told.insert(workload, stdout + &stderr);
        }
        self.up.signal(Signal::TERM);
        let finished = self.up.end().await;
        assert_eq!(finished.code, Some(0), "{}{}", finished.stdout, finished.stderr);
        told
    }

    fn edge(&self) -> String {
        self.guests.values().find_map(|guest| guest.doors["edge"].as_str()).expect("an edge").to_owned()
    }

    /// The process of a workload's program: the child of its `run` that is Python.
    fn program(&self, workload: &str) -> u32 {
        let run = self.guests[workload].run.pid();
        let children = fs::read_to_string(format!("/proc/{run}/task/{run}/children")).expect("readable");
        let is_python =
            |pid: &u32| fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| text_of(&exe).contains("python"));
        children.split_whitespace().filter_map(|pid| pid.parse().ok()).find(is_python).expect("its program runs")
    }

    /// The sum of a counter of the sidecar where users enter.
    async fn count(&self, counter: &str) -> u64 {
        let admin =
            self.guests.values().find(|guest| guest.doors["edge"].is_string()).map(|guest| &guest.doors["admin"]);
        let url = format!("http://{}/metrics", admin.and_then(Value::as_str).expect("an admin door"));
        let answer = Call::new(Method::GET, &url).send().await.expect("answered");
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        let of_it = text.lines().filter(|line| line.starts_with(&format!("countersign_{counter}_total{{")));
        of_it.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
    }
}

impl Reply {
    /// Answered with the user's own tickets and nobody else's.
    pub(super) fn assert_served(&self, user: &str) {
        assert_eq!(self.status, 200, "{user}: {}", self.text);
        let (all, own) =
            (self.text.matches("opened by").count(), self.text.matches(&format!("(opened by {user})")).count());
        assert!(own == all && own > 0, "{user}: {}", self.text);
    }

    /// Answered with nobody's tickets.
    pub(super) fn assert_refused(&self) {
        assert!(self.status.is_server_error() && !self.text.contains("opened by"), "{} {}", self.status, self.text);
    }

    /// Whatever was answered, it was not with a ticket of `other`.
    pub(super) fn assert_never(&self, other: &str) {
        assert!(!self.text.contains(&format!("opened by {other}")), "{}", self.text);
    }
}

async fn ask(issuer: &str, edge: &str, user: &str) -> Reply {
    let form = [
        ("grant_type", "password"),
        ("client_id", "console"),
        ("username", user),
        ("password", user),
        ("scope", SCOPES),
    ];
    let signed_in =
        Call::new(Method::POST, &format!("{issuer}/protocol/openid-connect/token")).form(&form).send().await;
    let token = signed_in.expect("answered").text("/access_token").expect("a token");
    let answer = Call::new(Method::POST, &format!("http://{edge}/ask"))
        .header("authorization", &format!("Bearer {token}"))
        .json(&json!({"question": "Which of my tickets are open?"}))
        .send()
        .await
        .expect("answered");
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    Reply { status: answer.status, body: answer.json(), text }
}

fn pid(of: u32) -> Pid {
    i32::try_from(of).ok().and_then(Pid::from_raw).expect("a process id")
}

/// What of the checkout `argument` names, or `argument` where it names nothing of it.
fn in_checkout(argument: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(argument);
    if path.exists() { text_of(&path) } else { argument.to_owned() }
}

fn text_of(path: &Path) -> String {
    path.to_str().expect("text").to_owned()
}

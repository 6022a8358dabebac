//! What reaches the record, and that no token leaves before its line.

use std::{fs, path::PathBuf};

use runtime::ready_file::ReadyFile;
use serde_json::Value;

use super::*;
use crate::sessions::tests::sealer;

struct Fixture {
    recorder: Recorder,
    process: Process,
    folder: Folder,
}

/// Removed when the test is over.
struct Folder(PathBuf);

impl Folder {
    fn text(&self) -> String {
        fs::read_to_string(self.0.join("record.jsonl")).expect("reads")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

impl Fixture {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("broker-recorder-{name}-{}", std::process::id()));
        drop(fs::remove_dir_all(&folder));
        let process = Process::new(ReadyFile::default());
        let recorder = Recorder::start(RecordFile::open(&folder).expect("opens"), sealer(), "digest", &process);
        Self { recorder, process, folder: Folder(folder) }
    }

    fn decision(&self) -> DecisionRecord {
        let at = UnixTime::from_secs(1000).expect("a time");
        let requester = SpiffeId::new("spiffe://corp.example/planner").expect("an id");
        let mut record = self.recorder.decision(at, requester, "r1".to_owned());
        record.note(|entry| {
            entry.kind = Some(Kind::Exchange);
            entry.subject = Some("alice".parse().expect("a name"));
            entry.target = Some("tickets".to_owned());
        });
        record
    }

    /// All lines, once everybody has let go of the recorder.
    async fn lines(self) -> Vec<Value> {
        drop(self.recorder);
        assert!(self.process.shutdown.drain(Duration::from_secs(5)).await.is_empty());
        let text = self.folder.text();
        assert!(!text.contains("alice"));
        text.lines().map(|line| serde_json::from_str(line).expect("json")).collect()
    }
}

#[tokio::test]
async fn a_grant_is_on_disk_when_it_is_acknowledged_and_its_end_writes_no_second_line() {
    let fixture = Fixture::new("granted");
    let mut record = fixture.decision();
    record.note(|entry| {
        entry.tokens = vec!["a-7".parse().expect("an id"), "t-2".parse().expect("an id")];
        entry.rules = vec!["read".to_owned()];
        entry.may_ask = Some("tickets:read".parse().expect("scopes"));
    });
    fixture.recorder.granted(record.entry()).await.expect("durable");
    assert!(fixture.folder.text().contains("a-7"));
    record.finish(Outcome::Granted);
    let lines = fixture.lines().await;
    assert_eq!(lines.len(), 1);
    assert_eq!(
        (&lines[0]["t"], &lines[0]["dec"], &lines[0]["rule"][0]),
        (&"exchange".into(), &"allow".into(), &"read".into())
    );
    assert_eq!(lines[0]["typ"], serde_json::json!(["at+jwt", "txntoken+jwt"]));
    assert!(lines[0]["sub"].is_string());
    assert_eq!(lines[0]["may_ask"], "tickets:read");
}

#[tokio::test]
async fn what_was_recorded_and_not_issued_is_void() {
    let fixture = Fixture::new("void");
    let mut record = fixture.decision();
    record.note(|entry| {
        entry.tokens = vec!["a-7".parse().expect("an id")];
        entry.rules = vec!["read".to_owned()];
    });
    fixture.recorder.granted(record.entry()).await.expect("durable");
    drop(record);
    let lines = fixture.lines().await;
    assert_eq!(
        (&lines[1]["t"], &lines[1]["dec"], &lines[1]["jti"][0]),
        (&"void".into(), &"aborted".into(), &"a-7".into())
    );
}

#[tokio::test]
async fn a_use_is_recorded_without_a_token_and_void_where_nobody_was_told() {
    let fixture = Fixture::new("use");
    let mut record = fixture.decision();
    record.note(|entry| {
        entry.kind = Some(Kind::Use);
        entry.subject = None;
        entry.rules = vec!["planner-uses-inventory".to_owned()];
    });
    fixture.recorder.granted(record.entry()).await.expect("durable");
    drop(record);
    let lines = fixture.lines().await;
    let told = |line: &Value| (line["t"].clone(), line["op"].clone(), line["dec"].clone(), line["rule"][0].clone());
    let rule = Value::from("planner-uses-inventory");
    assert_eq!(told(&lines[0]), ("use".into(), "use".into(), "allow".into(), rule.clone()));
    assert_eq!(told(&lines[1]), ("void".into(), "use".into(), "aborted".into(), rule));
    assert!(lines[0].get("jti").is_none() && lines[0].get("sub").is_none() && lines[0].get("typ").is_none());
}

#[tokio::test]
async fn refusals_in_a_loop_are_ten_lines_and_a_count() {
    let fixture = Fixture::new("refused");
    for _ in 0..25 {
        fixture.decision().finish(Outcome::Refused("policy.no_rule".to_owned()));
    }
    let lines = fixture.lines().await;
    assert_eq!(lines.len(), 11);
    assert_eq!((&lines[0]["t"], &lines[0]["code"]), (&"refuse".into(), &"policy.no_rule".into()));
    assert_eq!((&lines[10]["count"], &lines[10]["target"]), (&15.into(), &"tickets".into()));
}

#[tokio::test]
async fn when_the_disk_takes_nothing_nothing_is_granted_and_the_broker_is_not_ready() {
    let fixture = Fixture::new("full");
    let process = Process::new(ReadyFile::default());
    let recorder = Recorder::start(RecordFile::that_takes_nothing(), sealer(), "digest", &process);
    let record = fixture.decision();
    assert_eq!(recorder.granted(record.entry()).await, Err(Refusal::FaultRecord));
    assert!(process.telemetry.not_ready().iter().any(|(flag, _reason)| *flag == "record"));
}

#[tokio::test]
async fn without_a_writer_nothing_is_granted() {
    let fixture = Fixture::new("gone");
    let (jobs, waiting) = mpsc::channel(1);
    drop(waiting);
    let recorder = Recorder { jobs, ..fixture.recorder.clone() };
    let record = fixture.decision();
    assert_eq!(recorder.granted(record.entry()).await, Err(Refusal::FaultRecord));
}

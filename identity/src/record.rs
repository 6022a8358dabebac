//! One value per decision: opened when a request is accepted, consumed when it is answered.
//! Metric, log line and ledger leaf are three views of it; when nobody finishes it, its drop says `aborted`.

use std::fmt;

use crate::{ActorChain, Scopes, SpiffeId, Subject, TokenId, TransactionId, UnixTime};

/// What was decided about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A user's token became a transaction.
    Begin,
    /// A transaction token became an access token.
    Exchange,
    /// A transaction token was renewed.
    Renew,
    /// A workload may call a target in its own name.
    Use,
    /// Something was revoked.
    Revoke,
    /// A token was looked at.
    Introspect,
}

/// How it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Tokens were issued.
    Granted,
    /// Refused, with the code.
    Refused(String),
    /// The caller left, or the task was dropped, before there was an answer.
    Aborted,
}

/// What permits under observation would have said beside a decision, of which they changed nothing (ADR 14).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Would {
    /// Whether they would have allowed it; otherwise the rules cannot be evaluated, and would have refused it.
    pub allow: bool,
    /// Their ids, by name; at least one.
    pub rules: Vec<String>,
}

/// What was revoked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// `token`, `transaction`, `session`, `user`, `workload` or `key`.
    pub what: &'static str,
    /// The authority of a session or user: its issuer URL.
    pub issuer: Option<String>,
    /// `sid` of a session.
    pub session: Option<String>,
    /// The workload, or the key's `kid`.
    pub name: Option<String>,
    /// How many running transactions ended with it; `None` before it has been done.
    pub transactions: Option<u64>,
}

/// The content of a record. Holds no token and no name of a person beyond the subject's identifier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// When the request was accepted.
    pub at: UnixTime,
    /// What was decided about; unknown while the request could not be read.
    pub kind: Option<Kind>,
    /// The authenticated requester.
    pub requester: SpiffeId,
    /// The transaction.
    pub transaction: Option<TransactionId>,
    /// For whom.
    pub subject: Option<Subject>,
    /// Who acts, requester included.
    pub chain: Option<ActorChain>,
    /// The target's name, or the trust domain.
    pub target: Option<String>,
    /// Scope of the token that was shown.
    pub shown: Option<Scopes>,
    /// What was asked for, where edge or target has all of it; anything else is text that a caller chose.
    pub asked: Option<Scopes>,
    /// What was granted: scope of the access token, at begin and renewal of the transaction token.
    pub scopes: Option<Scopes>,
    /// Scope of the transaction token that a call hands on, or would; `None` where the target passes nothing on.
    pub passed_on: Option<Scopes>,
    /// What an access token without scope says that may be asked (`protocol.md` §4).
    pub may_ask: Option<Scopes>,
    /// Ids of the tokens issued.
    pub tokens: Vec<TokenId>,
    /// When the longest of them ends.
    pub not_after: Option<UnixTime>,
    /// The Cedar rules that decided.
    pub rules: Vec<String>,
    /// Digest of the set of rules that they are from; `None` where none decided.
    pub rule_set: Option<String>,
    /// What rules under observation would have said.
    pub would: Option<Would>,
    /// What was to be revoked.
    pub ended: Option<Ended>,
    /// How it ended.
    pub outcome: Outcome,
}

/// An open record. Moved through the steps of one request.
///
/// ```
/// # use identity::{DecisionRecord, Outcome, SpiffeId, UnixTime};
/// # let at = UnixTime::from_secs(1).expect("a time");
/// # let requester = SpiffeId::new("spiffe://corp.example/planner").expect("an id");
/// let record = DecisionRecord::open(at, requester, |entry| assert_eq!(entry.outcome, Outcome::Granted));
/// record.finish(Outcome::Granted);
/// ```
/// It is finished once:
/// ```compile_fail,E0382
/// # use identity::{DecisionRecord, Outcome, SpiffeId, UnixTime};
/// # let at = UnixTime::from_secs(1).expect("a time");
/// # let requester = SpiffeId::new("spiffe://corp.example/planner").expect("an id");
/// let record = DecisionRecord::open(at, requester, |entry| assert_eq!(entry.outcome, Outcome::Granted));
/// record.finish(Outcome::Granted);
/// record.finish(Outcome::Granted);
/// ```
pub struct DecisionRecord {
    entry: Option<Entry>,
    sink: Option<Box<dyn FnOnce(Entry) + Send>>,
}

impl DecisionRecord {
    /// Opens a record; `sink` gets the entry exactly once, at `finish` or at drop.
    pub fn open(at: UnixTime, requester: SpiffeId, sink: impl FnOnce(Entry) + Send + 'static) -> Self {
        let entry = Entry {
            at,
            kind: None,
            requester,
            transaction: None,
            subject: None,
            chain: None,
            target: None,
            shown: None,
            asked: None,
            scopes: None,
            passed_on: None,
            may_ask: None,
            tokens: Vec::new(),
            not_after: None,
            rules: Vec::new(),
            rule_set: None,
            would: None,
            ended: None,
            outcome: Outcome::Aborted,
        };
        Self { entry: Some(entry), sink: Some(Box::new(sink)) }
    }

    /// Notes what became known on the way.
    pub fn note(&mut self, note: impl FnOnce(&mut Entry)) {
        if let Some(entry) = &mut self.entry {
            note(entry);
        }
    }

    /// What is known so far, to write it before the tokens leave.
    #[must_use]
    pub const fn entry(&self) -> Option<&Entry> {
        self.entry.as_ref()
    }

    /// Closes the record.
    pub fn finish(mut self, outcome: Outcome) {
        self.note(|entry| entry.outcome = outcome);
        self.deliver();
    }

    fn deliver(&mut self) {
        if let (Some(entry), Some(sink)) = (self.entry.take(), self.sink.take()) {
            sink(entry);
        }
    }
}

impl Drop for DecisionRecord {
    fn drop(&mut self) {
        self.deliver();
    }
}

impl fmt::Debug for DecisionRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DecisionRecord").field("entry", &self.entry).finish_non_exhaustive()
    }
}

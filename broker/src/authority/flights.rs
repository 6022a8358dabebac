//! Equal questions to a provider are asked once: whoever asks what is being asked already waits for that answer, and one
//! failure answers all who wait. Who leaves takes nothing from the others; the last who leaves ends the call. What was
//! answered is never told to who came later: every answer is younger than its question.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use aws_lc_rs::digest::{Context, SHA256, SHA256_OUTPUT_LEN};
use futures_util::{
    FutureExt as _,
    future::{BoxFuture, Shared, WeakShared},
};
use identity::{RawToken, Refusal};

use super::asking::{Claim, Keeper};

/// Different questions at once: as many as may wait for one provider, each under 100 bytes beside its call.
pub(super) const FLIGHTS_MAX: usize = super::ASKING_MAX;

/// What everybody gets who asked.
pub(super) type Answer = Result<Arc<Keeper>, Refusal>;

type Flight = Shared<BoxFuture<'static, Answer>>;

/// What is being asked.
#[derive(Default)]
pub(super) struct Flights(Mutex<HashMap<Question, WeakShared<BoxFuture<'static, Answer>>>>);

/// A token and what is to be confirmed of it, as a hash: no token is held for being asked about.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Question([u8; SHA256_OUTPUT_LEN]);

impl Question {
    pub(super) fn of(token: &RawToken, claim: &Claim<'_>) -> Self {
        let scopes = claim.scopes.to_string();
        let mut hash = Context::new(&SHA256);
        // The length first, so that no two questions are one text.
        for part in [token.expose(), claim.subject.as_str(), claim.session, &scopes] {
            hash.update(&part.len().to_be_bytes());
            hash.update(part.as_bytes());
        }
        hash.update(&claim.doubts.to_be_bytes());
        let mut question = [0; SHA256_OUTPUT_LEN];
        question.iter_mut().zip(hash.finish().as_ref()).for_each(|(byte, hashed)| *byte = *hashed);
        Self(question)
    }
}

impl Flights {
    /// The call that asks `question` and is not answered yet, or the one that `call` makes; and whether it was there.
    ///
    /// # Errors
    /// `fault.overloaded` where as many questions are open as may be.
    pub(super) fn join(
        &self,
        question: Question,
        call: impl FnOnce() -> BoxFuture<'static, Answer>,
    ) -> Result<(Flight, bool), Refusal> {
        let mut flights = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(flight) = flights.get(&question).and_then(open) {
            return Ok((flight, true));
        }
        if flights.len() >= FLIGHTS_MAX {
            flights.retain(|_question, flight| open(flight).is_some());
            if flights.len() >= FLIGHTS_MAX {
                return Err(Refusal::FaultOverloaded);
            }
        }
        let flight = call().shared();
        if let Some(held) = flight.downgrade() {
            flights.insert(question, held);
        }
        Ok((flight, false))
    }
}

/// A call that somebody waits for and nobody has an answer of.
fn open(flight: &WeakShared<BoxFuture<'static, Answer>>) -> Option<Flight> {
    flight.upgrade().filter(|flight| flight.peek().is_none())
}

impl fmt::Debug for Flights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Flights(..)")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::oneshot;

    use super::*;
    use crate::authority::tests::keeper;

    fn question(token: &str, session: &str, scopes: &str) -> Question {
        let token = RawToken::parse(token.to_owned()).expect("short");
        let (subject, scopes) = ("alice".parse().expect("a name"), scopes.parse().expect("scopes"));
        Question::of(&token, &Claim { subject: &subject, session, scopes: &scopes, doubts: 0 })
    }

    /// A call that is answered when the sender says so, and how often it was begun.
    fn call(calls: &Arc<AtomicUsize>) -> (oneshot::Sender<Answer>, BoxFuture<'static, Answer>) {
        let (answer, answered) = oneshot::channel();
        let calls = Arc::clone(calls);
        let call = async move {
            calls.fetch_add(1, Ordering::SeqCst);
            answered.await.unwrap_or(Err(Refusal::FaultProvider))
        };
        (answer, call.boxed())
    }

    fn none() -> BoxFuture<'static, Answer> {
        panic!("asked a second time")
    }

    #[test]
    fn only_equal_questions_are_one() {
        let asked = question("t", "s", "a b");
        assert!(asked == question("t", "s", "b a"));
        for other in
            [question("u", "s", "a b"), question("t", "r", "a b"), question("t", "s", "a"), question("ts", "", "a b")]
        {
            assert!(asked != other);
        }
        let (subject, scopes) = ("alice".parse().expect("a name"), "a b".parse().expect("scopes"));
        let doubted = Claim { subject: &subject, session: "s", scopes: &scopes, doubts: 1 };
        let token = RawToken::parse("t".to_owned()).expect("short");
        assert!(asked != Question::of(&token, &doubted), "an answer from before a doubt does not end it");
    }

    #[tokio::test]
    async fn one_answer_and_one_failure_are_for_all_who_wait() {
        let (flights, calls) = (Flights::default(), Arc::new(AtomicUsize::new(0)));
        let given = Arc::new(keeper("alice", "a", 100).0);
        for told in [Ok(given), Err(Refusal::FaultProvider)] {
            let (answer, begun) = call(&calls);
            let mut waiting = vec![flights.join(question("t", "s", "a"), || begun).expect("joined").0];
            for _ in 0..50 {
                let (flight, shared) = flights.join(question("t", "s", "a"), none).expect("joined");
                assert!(shared);
                waiting.push(flight);
            }
            answer.send(told.clone()).expect("waited for");
            for got in futures_util::future::join_all(waiting).await {
                assert_eq!(
                    got.map(|keeper| keeper.raw().expose().to_owned()),
                    told.clone().map(|keeper| keeper.raw().expose().to_owned())
                );
            }
        }
        assert_eq!(calls.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn who_leaves_takes_nothing_and_the_last_ends_the_call() {
        let (flights, calls) = (Flights::default(), Arc::new(AtomicUsize::new(0)));
        let (answer, begun) = call(&calls);
        let mut first = flights.join(question("t", "s", "a"), || begun).expect("joined").0;
        assert!(futures_util::poll!(&mut first).is_pending());
        let second = flights.join(question("t", "s", "a"), none).expect("joined").0;
        drop(first);
        assert!(!answer.is_closed());
        drop(second);
        assert!(answer.is_closed(), "nobody waits for it any more");
        let (_answer, begun) = call(&calls);
        assert!(!flights.join(question("t", "s", "a"), || begun).expect("joined").1, "asked anew");
    }

    #[tokio::test]
    async fn an_answer_is_not_told_to_who_asks_after_it() {
        let (flights, calls) = (Flights::default(), Arc::new(AtomicUsize::new(0)));
        let (answer, begun) = call(&calls);
        let first = flights.join(question("t", "s", "a"), || begun).expect("joined").0;
        // Somebody who waits and has not looked yet keeps the answer alive.
        let _slow = first.clone();
        answer.send(Err(Refusal::SubjectSessionEnded)).expect("waited for");
        assert_eq!(first.await.err(), Some(Refusal::SubjectSessionEnded));
        let (_answer, begun) = call(&calls);
        assert!(!flights.join(question("t", "s", "a"), || begun).expect("joined").1);
    }

    #[tokio::test]
    async fn one_question_more_than_the_limit_is_turned_away() {
        let (flights, calls) = (Flights::default(), Arc::new(AtomicUsize::new(0)));
        let ask = |number: usize| flights.join(question(&format!("t{number}"), "s", "a"), || call(&calls).1);
        let mut open: Vec<_> = (0..FLIGHTS_MAX).map(|number| ask(number).expect("joined")).collect();
        assert_eq!(ask(FLIGHTS_MAX).err(), Some(Refusal::FaultOverloaded));
        open.pop();
        assert!(ask(FLIGHTS_MAX).is_ok(), "a place is free again");
    }
}

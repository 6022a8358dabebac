//! Transactions: one row each, from begin to its end.

use identity::{Lifetime, Scopes, SpiffeId, Subject, SubjectToken, TransactionId, UnixTime};
use serde::Deserialize;
use serde_json::json;
use sqlx::{Row as _, sqlite::SqliteRow};

use super::{Store, StoreFault, integer, time};
use crate::{
    authority::Keeper,
    grant::{Ends, Grant},
    sessions::{Mark, SignIn},
};

const TABLE: StoreFault = StoreFault::Malformed("transactions");

/// A transaction as it was begun, with its user's groups and roles as the authority said last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Transaction {
    pub(crate) id: TransactionId,
    /// Issuer URL.
    pub(crate) authority: String,
    pub(crate) subject: Subject,
    /// `sid` at the authority.
    pub(crate) session: String,
    /// What a sign-out ends it by.
    pub(crate) sign_in: SignIn,
    pub(crate) scopes: Scopes,
    pub(crate) groups: Vec<String>,
    pub(crate) roles: Vec<String>,
    pub(crate) ends: Ends,
    /// Life of its keeper, if there is one.
    pub(crate) keeper_ends: Option<Lifetime>,
}

/// What is sealed.
#[derive(Deserialize)]
struct Person {
    subject: String,
    groups: Vec<String>,
    roles: Vec<String>,
}

impl Store {
    /// Writes a transaction and its keeper, both or none.
    ///
    /// # Errors
    /// The [`StoreFault`]; then the transaction was not begun.
    pub(crate) async fn begin(
        &self,
        grant: &Grant,
        edge: &SpiffeId,
        keeper: &Keeper,
        now: UnixTime,
    ) -> Result<(), StoreFault> {
        self.write_begin(grant, edge, (keeper.proof(), Some(keeper)), now).await
    }

    /// Writes a transaction that rests on the user's own token alone.
    ///
    /// # Errors
    /// The [`StoreFault`]; then the transaction was not begun.
    pub(crate) async fn begin_alone(
        &self,
        grant: &Grant,
        edge: &SpiffeId,
        token: &SubjectToken,
        now: UnixTime,
    ) -> Result<(), StoreFault> {
        self.write_begin(grant, edge, (token, None), now).await
    }

    async fn write_begin(
        &self,
        grant: &Grant,
        edge: &SpiffeId,
        (proof, keeper): (&SubjectToken, Option<&Keeper>),
        now: UnixTime,
    ) -> Result<(), StoreFault> {
        let scopes = grant.scopes();
        let person = self.seal_person(grant.transaction(), grant.subject(), proof)?;
        let sign_in = SignIn::of(&self.sealer, proof);
        let mut writing = self.writer.begin().await?;
        sqlx::query(
            "INSERT INTO transactions (txn, authority, person, sid, session_mark, user_mark, confirmed_at, scope, edge, \
             begun_at, not_after, long_not_after) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(grant.transaction().as_str())
        .bind(proof.issuer())
        .bind(person)
        .bind(proof.session())
        .bind(sign_in.session.bytes())
        .bind(sign_in.user.bytes())
        .bind(integer(sign_in.confirmed_at)?)
        .bind(scopes.to_string())
        .bind(edge.to_string())
        .bind(integer(now)?)
        .bind(integer(grant.ends().not_after.not_after())?)
        .bind(integer(grant.ends().long_not_after.not_after())?)
        .execute(&mut *writing)
        .await?;
        if let Some(keeper) = keeper {
            self.put_keeper(&mut writing, scopes, keeper).await?;
        }
        Ok(writing.commit().await?)
    }

    /// The transaction with this id, if it was begun here and not deleted since.
    ///
    /// # Errors
    /// The [`StoreFault`].
    pub(crate) async fn transaction(&self, id: &TransactionId) -> Result<Option<Transaction>, StoreFault> {
        if let Some(transaction) = self.recent.find(id) {
            return Ok(Some(Transaction::clone(&transaction)));
        }
        let reading = self.recent.reading();
        let row = sqlx::query(
            "SELECT t.*, k.not_after AS keeper_not_after FROM transactions t LEFT JOIN keepers k \
             ON k.issuer = t.authority AND k.sid = t.sid AND k.scope = t.scope WHERE t.txn = ?",
        )
        .bind(id.as_str())
        .fetch_optional(&self.readers)
        .await?;
        let transaction = row.map(|row| self.read(id, &row)).transpose()?;
        if let Some(transaction) = &transaction {
            self.recent.keep(reading, transaction);
        }
        Ok(transaction)
    }

    /// Puts a fresh keeper in place of the one of `transaction`, and its groups and roles into the rows of all that rest on
    /// it: one answer counts for all.
    ///
    /// # Errors
    /// The [`StoreFault`].
    pub(crate) async fn renew_keeper(
        &self,
        transaction: &Transaction,
        keeper: &Keeper,
    ) -> Result<Transaction, StoreFault> {
        let proof = keeper.proof();
        let sign_in = SignIn::of(&self.sealer, proof);
        let change = self.recent.change();
        let mut writing = self.writer.begin().await?;
        let resting = sqlx::query("SELECT txn FROM transactions WHERE session_mark = ? AND scope = ?")
            .bind(sign_in.session.bytes())
            .bind(transaction.scopes.to_string())
            .fetch_all(&mut *writing)
            .await?;
        for row in resting {
            let id = row.try_get::<String, _>("txn")?.parse().map_err(|_malformed| TABLE)?;
            // An answer that was overtaken by a younger one takes nothing back.
            sqlx::query("UPDATE transactions SET person = ?1, confirmed_at = ?2 WHERE txn = ?3 AND confirmed_at <= ?2")
                .bind(self.seal_person(&id, &transaction.subject, proof)?)
                .bind(integer(sign_in.confirmed_at)?)
                .bind(id.as_str())
                .execute(&mut *writing)
                .await?;
        }
        self.put_keeper(&mut writing, &transaction.scopes, keeper).await?;
        writing.commit().await?;
        change.done();
        Ok(Transaction {
            groups: proof.groups().to_vec(),
            roles: proof.roles().to_vec(),
            keeper_ends: Some(proof.lifetime()),
            sign_in,
            ..transaction.clone()
        })
    }

    /// Whoever reads the file learns nobody's name, and whoever writes to it puts nobody into a group.
    fn seal_person(&self, id: &TransactionId, subject: &Subject, proof: &SubjectToken) -> Result<Vec<u8>, StoreFault> {
        let person = json!({ "subject": subject.as_str(), "groups": proof.groups(), "roles": proof.roles() });
        Ok(self.sealer.seal(&place(id.as_str()), person.to_string().as_bytes())?)
    }

    fn read(&self, id: &TransactionId, row: &SqliteRow) -> Result<Transaction, StoreFault> {
        let text = |column: &str| row.try_get::<String, _>(column);
        let mark = |column: &str| Mark::read(&row.try_get::<Vec<u8>, _>(column)?).ok_or(TABLE);
        let ends = |column: &str| Ok::<_, StoreFault>(Lifetime::until(time(row.try_get(column)?)?));
        let person = self.sealer.open(&place(id.as_str()), &row.try_get::<Vec<u8>, _>("person")?)?;
        let Person { subject, groups, roles } = serde_json::from_slice(&person).map_err(|_malformed| TABLE)?;
        let keeper_ends: Option<i64> = row.try_get("keeper_not_after")?;
        Ok(Transaction {
            id: id.clone(),
            authority: text("authority")?,
            subject: subject.parse().map_err(|_malformed| TABLE)?,
            session: text("sid")?,
            sign_in: SignIn {
                session: mark("session_mark")?,
                user: mark("user_mark")?,
                confirmed_at: time(row.try_get("confirmed_at")?)?,
            },
            scopes: text("scope")?.parse().map_err(|_malformed| TABLE)?,
            groups,
            roles,
            ends: Ends { not_after: ends("not_after")?, long_not_after: ends("long_not_after")? },
            keeper_ends: keeper_ends.map(|secs| time(secs).map(Lifetime::until)).transpose()?,
        })
    }
}

pub(super) fn place(id: &str) -> String {
    format!("transactions/{id}")
}

//! A connection to the in-memory store, with at most one open transaction.

use super::state::{State, Transaction};
use super::{SharedState, lock};
use crate::{StoreError, StreamId};

/// A connection to a [`MemoryStore`](super::MemoryStore). Outside a transaction each call commits
/// by itself; dropping the connection rolls an open transaction back.
#[derive(Debug)]
pub struct MemoryConnection {
    state: SharedState,
    transaction: Option<Transaction>,
}

impl MemoryConnection {
    pub(super) fn new(state: SharedState) -> Self {
        MemoryConnection { state, transaction: None }
    }

    /// Begins a transaction.
    ///
    /// # Errors
    ///
    /// One is open already.
    pub fn begin(&mut self) -> Result<(), StoreError> {
        if self.transaction.is_some() {
            return Err(misuse("a transaction is open already: commit it or roll it back first"));
        }
        self.transaction = Some(lock(&self.state).begin());
        Ok(())
    }

    /// Commits the transaction: its events, checkpoints and rows appear together.
    ///
    /// # Errors
    ///
    /// None is open.
    pub fn commit(&mut self) -> Result<(), StoreError> {
        let transaction = self.transaction.take().ok_or_else(no_transaction)?;
        lock(&self.state).commit(transaction);
        Ok(())
    }

    /// Rolls the transaction back. The positions it drew are never used again.
    ///
    /// # Errors
    ///
    /// None is open.
    pub fn rollback(&mut self) -> Result<(), StoreError> {
        let transaction = self.transaction.take().ok_or_else(no_transaction)?;
        lock(&self.state).end(&transaction);
        Ok(())
    }

    /// Sets a savepoint to which the transaction can return; it replaces an earlier one.
    ///
    /// # Errors
    ///
    /// No transaction is open.
    pub fn savepoint(&mut self) -> Result<(), StoreError> {
        let transaction = self.transaction.as_mut().ok_or_else(no_transaction)?;
        transaction.set_savepoint();
        Ok(())
    }

    /// Undoes what the transaction wrote since its savepoint.
    ///
    /// # Errors
    ///
    /// No transaction is open, or it has no savepoint.
    pub fn rollback_to_savepoint(&mut self) -> Result<(), StoreError> {
        let transaction = self.transaction.as_mut().ok_or_else(no_transaction)?;
        if transaction.return_to_savepoint() {
            Ok(())
        } else {
            Err(misuse("no savepoint is set: set one first"))
        }
    }

    pub(super) fn check_open(&self) -> Result<(), StoreError> {
        self.transaction.as_ref().map(drop).ok_or_else(no_transaction)
    }

    /// Writes a row of the caller's own, in the transaction if one is open.
    ///
    /// # Errors
    ///
    /// None today.
    pub fn insert_row(&mut self, table: &str, value: i64) -> Result<(), StoreError> {
        self.in_transaction(|_, transaction| {
            transaction.rows.push((table.to_owned(), value));
            Ok(())
        })
    }

    /// The caller's own rows of `table`, in the order of their commits.
    ///
    /// # Errors
    ///
    /// None today.
    pub fn rows(&mut self, table: &str) -> Result<Vec<i64>, StoreError> {
        self.read(|state, transaction| Ok(state.rows(transaction, table)))
    }

    /// Deletes the committed events of a stream, at once and for everybody.
    pub fn delete_stream(&mut self, stream: &StreamId) {
        lock(&self.state).delete_stream(stream);
    }

    /// Runs `work` in the open transaction, or in one of its own that commits if it succeeds.
    pub(super) fn in_transaction<T, E>(
        &mut self,
        work: impl FnOnce(&mut State, &mut Transaction) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut state = lock(&self.state);
        if let Some(transaction) = &mut self.transaction {
            return work(&mut state, transaction);
        }
        let mut transaction = state.begin();
        let result = work(&mut state, &mut transaction);
        match result {
            Ok(_) => state.commit(transaction),
            Err(_) => state.end(&transaction),
        }
        result
    }

    pub(super) fn read<T>(
        &mut self,
        work: impl FnOnce(&State, &Transaction) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.in_transaction(|state, transaction| work(state, transaction))
    }
}

impl Drop for MemoryConnection {
    fn drop(&mut self) {
        if let Some(transaction) = &self.transaction {
            lock(&self.state).end(transaction);
        }
    }
}

fn no_transaction() -> StoreError {
    misuse("no transaction is open: begin one first")
}

fn misuse(what: &'static str) -> StoreError {
    StoreError::misuse(what)
}

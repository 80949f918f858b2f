//! A source whose commits fail, once, in the ways a commit can fail.

use std::error::Error;
use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};

use es::{EventSource, StoreError};

/// What becomes of the transaction whose commit fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommitFault {
    /// The connection is lost before the commit arrives.
    LostBefore,
    /// The commit arrives, and the connection is lost before the answer does.
    LostAfter,
}

/// Fails one commit and does everything else as the source it wraps.
#[derive(Debug)]
pub struct Faulty<S> {
    inner: S,
    fault: CommitFault,
    commits_before: AtomicUsize,
}

impl<S> Faulty<S> {
    /// The commit after `commits_before` others fails.
    pub fn new(inner: S, fault: CommitFault, commits_before: usize) -> Self {
        Faulty { inner, fault, commits_before: AtomicUsize::new(commits_before) }
    }
}

impl<S: EventSource> EventSource for Faulty<S> {
    type Connection = S::Connection;
    type Store = S::Store;
    type Pooled = S::Pooled;
    type Transaction = S::Transaction;

    fn store(&self) -> &S::Store {
        self.inner.store()
    }

    async fn acquire(&self) -> Result<S::Pooled, StoreError> {
        self.inner.acquire().await
    }

    fn release(&self, conn: S::Pooled) {
        self.inner.release(conn);
    }

    async fn begin_within(
        &self,
        time_max: std::time::Duration,
    ) -> Result<S::Transaction, StoreError> {
        self.inner.begin_within(time_max).await
    }

    fn appended(&self) -> impl Future<Output = ()> + Send {
        self.inner.appended()
    }

    async fn check_open(&self, transaction: &mut S::Transaction) -> Result<(), StoreError> {
        self.inner.check_open(transaction).await
    }

    async fn probe(&self, transaction: &mut S::Transaction) -> Result<(), StoreError> {
        self.inner.probe(transaction).await
    }

    async fn commit(&self, transaction: S::Transaction) -> Result<(), StoreError> {
        // It wraps around after the one that fails, and so fails no other.
        if self.commits_before.fetch_sub(1, Ordering::Relaxed) != 0 {
            return self.inner.commit(transaction).await;
        }
        match self.fault {
            CommitFault::LostBefore => self.inner.rollback(transaction).await?,
            CommitFault::LostAfter => self.inner.commit(transaction).await?,
        }
        Err(StoreError::ConnectionLost { source: "the connection was cut by a test".into() })
    }

    async fn rollback(&self, transaction: S::Transaction) -> Result<(), StoreError> {
        self.inner.rollback(transaction).await
    }

    fn cause(&self, error: &(dyn Error + 'static)) -> Option<es::Cause> {
        self.inner.cause(error)
    }
}

//! A source that counts how often a processor has looked for events.

use std::error::Error;
use std::future::Future;

use es::{EventSource, StoreError};
use tokio::sync::watch;

/// Counts the connections borrowed for reads and does everything as the source it wraps.
#[derive(Debug)]
pub(super) struct Polls<S> {
    inner: S,
    count: watch::Sender<usize>,
}

impl<S> Polls<S> {
    pub(super) fn new(inner: S) -> Self {
        Polls { inner, count: watch::Sender::new(0) }
    }

    /// Waits until `more` reads have been begun from now on.
    pub(super) async fn wait_for(&self, more: usize) {
        let mut count = self.count.subscribe();
        let goal = *count.borrow() + more;
        count.wait_for(|count| *count >= goal).await.expect("the sender is in `self`");
    }
}

impl<S: EventSource> EventSource for Polls<S> {
    type Connection = S::Connection;
    type Store = S::Store;
    type Pooled = S::Pooled;
    type Transaction = S::Transaction;

    fn store(&self) -> &S::Store {
        self.inner.store()
    }

    async fn acquire(&self) -> Result<S::Pooled, StoreError> {
        self.count.send_modify(|count| *count += 1);
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
        self.inner.commit(transaction).await
    }

    async fn rollback(&self, transaction: S::Transaction) -> Result<(), StoreError> {
        self.inner.rollback(transaction).await
    }

    fn cause(&self, error: &(dyn Error + 'static)) -> Option<es::Cause> {
        self.inner.cause(error)
    }
}

//! A source that lets two processors read the same batch before either may begin to handle it.

use std::error::Error;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use es::{EventSource, StoreError};
use tokio::sync::Barrier;

/// The transaction that handles the first batch; the one before loads the checkpoint.
const FIRST_BATCH: usize = 1;

/// Delays the transaction of the first batch until the other processor is there as well.
#[derive(Debug)]
pub struct Rendezvous<S> {
    inner: S,
    barrier: Arc<Barrier>,
    begun: AtomicUsize,
}

impl<S> Rendezvous<S> {
    /// Wraps the source of one of the processors that meet at `barrier`.
    pub fn new(inner: S, barrier: Arc<Barrier>) -> Self {
        Rendezvous { inner, barrier, begun: AtomicUsize::new(0) }
    }
}

impl<S: EventSource> EventSource for Rendezvous<S> {
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
        if self.begun.fetch_add(1, Ordering::Relaxed) == FIRST_BATCH {
            self.barrier.wait().await;
        }
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

//! A source that can be stopped, as a process is by a debugger or a full disk.

use std::error::Error;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use es::{EventSource, StoreError};
use tokio::sync::watch;

/// Does everything as the source it wraps, until it is frozen; then nothing begins until it is
/// thawed. What is open stays open.
#[derive(Debug)]
pub struct Frozen<S> {
    inner: S,
    is_frozen: watch::Sender<bool>,
    freezes_at_begin: Arc<AtomicBool>,
}

impl<S> Frozen<S> {
    /// Wraps a source, which is not frozen yet.
    pub fn new(inner: S) -> Self {
        Frozen { inner, is_frozen: watch::Sender::new(false), freezes_at_begin: Arc::default() }
    }

    /// Freezes with the next transaction that is about to begin.
    pub fn freeze_at_begin(&self) {
        self.freezes_at_begin.store(true, Ordering::Relaxed);
    }

    /// Waits until it is frozen.
    pub async fn frozen(&self) {
        let mut is_frozen = self.is_frozen.subscribe();
        is_frozen.wait_for(|is_frozen| *is_frozen).await.expect("the sender is in `self`");
    }

    /// Goes on.
    pub fn thaw(&self) {
        self.is_frozen.send_replace(false);
    }

    async fn thawed(&self) {
        let mut is_frozen = self.is_frozen.subscribe();
        is_frozen.wait_for(|is_frozen| !is_frozen).await.expect("the sender is in `self`");
    }
}

impl<S: EventSource> EventSource for Frozen<S> {
    type Connection = S::Connection;
    type Store = S::Store;
    type Pooled = S::Pooled;
    type Transaction = S::Transaction;

    fn store(&self) -> &S::Store {
        self.inner.store()
    }

    async fn acquire(&self) -> Result<S::Pooled, StoreError> {
        self.thawed().await;
        self.inner.acquire().await
    }

    fn release(&self, conn: S::Pooled) {
        self.inner.release(conn);
    }

    async fn begin_within(
        &self,
        time_max: std::time::Duration,
    ) -> Result<S::Transaction, StoreError> {
        if self.freezes_at_begin.swap(false, Ordering::Relaxed) {
            self.is_frozen.send_replace(true);
        }
        self.thawed().await;
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

//! A source whose database can be switched off.

use std::error::Error;
use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use es::{Cause, EventSource, StoreError};

/// Hands out no connection while its database is off, and counts who asked; does everything as the
/// source it wraps otherwise.
#[derive(Debug)]
pub(super) struct Outage<S> {
    inner: S,
    is_off: AtomicBool,
    asked: AtomicUsize,
}

impl<S> Outage<S> {
    pub(super) fn new(inner: S) -> Self {
        Outage { inner, is_off: AtomicBool::new(false), asked: AtomicUsize::new(0) }
    }

    pub(super) fn switch(&self, is_off: bool) {
        self.is_off.store(is_off, Ordering::SeqCst);
    }

    pub(super) fn is_off(&self) -> bool {
        self.is_off.load(Ordering::SeqCst)
    }

    /// How often somebody asked while it was off.
    pub(super) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    fn check(&self) -> Result<(), StoreError> {
        if !self.is_off() {
            return Ok(());
        }
        self.asked.fetch_add(1, Ordering::SeqCst);
        Err(StoreError::ConnectionLost { source: "it is switched off".into() })
    }
}

impl<S: EventSource> EventSource for Outage<S> {
    type Connection = S::Connection;
    type Store = S::Store;
    type Pooled = S::Pooled;
    type Transaction = S::Transaction;

    fn store(&self) -> &S::Store {
        self.inner.store()
    }

    async fn acquire(&self) -> Result<S::Pooled, StoreError> {
        self.check()?;
        self.inner.acquire().await
    }

    fn release(&self, conn: S::Pooled) {
        self.inner.release(conn);
    }

    async fn begin_within(&self, time_max: Duration) -> Result<S::Transaction, StoreError> {
        self.check()?;
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

    fn cause(&self, error: &(dyn Error + 'static)) -> Option<Cause> {
        self.inner.cause(error)
    }
}

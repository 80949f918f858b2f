//! LISTEN: hearing of new events instead of looking for them.

use std::convert::Infallible;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use es::StoreError;
use es_sqlx::PooledConnection;
use sqlx::PgPool;
use sqlx::postgres::{PgListener, PgPoolOptions};
use tokio::sync::Notify;
use tokio::time::timeout;
use tracing::warn;

use crate::PgEventStore;
use crate::error::store_error;

/// After how long a silence the connection is replaced: one that died without a word is silent, too.
const SILENCE_MAX: Duration = Duration::from_mins(1);

/// How long it may take to connect.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(10);

/// The longest pause before another attempt to connect, before jitter.
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// Wakes the processors of a [`PgSource`](crate::PgSource) when events are appended; made by
/// [`PgSource::with_notifications`](crate::PgSource::with_notifications).
#[derive(Debug)]
pub struct PgNotifications {
    pool: PgPool,
    channel: String,
    listener: PgListener,
    appended: Arc<Notify>,
}

impl PgNotifications {
    pub(crate) async fn listen(
        pool: &PgPool,
        store: &PgEventStore,
        appended: Arc<Notify>,
    ) -> Result<Self, StoreError> {
        let conn = PooledConnection::acquire(pool, es_sqlx::close).await;
        let mut conn = conn.map_err(store_error)?;
        let channel = store.notification_channel(&mut conn).await?;
        conn.release();
        let listener = connect(pool, &channel).await?;
        Ok(PgNotifications { pool: pool.clone(), channel, listener, appended })
    }

    /// Passes on what the server says, for as long as the future is polled: spawn it. It uses a
    /// connection of its own, beside the pool. When that is lost it connects again by itself, however
    /// long the server is away; processors poll meanwhile.
    ///
    /// # Errors
    ///
    /// The pool was closed.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: dropping the future ends the listening.
    pub async fn run(mut self) -> Result<Infallible, StoreError> {
        let pool = self.pool.clone();
        tokio::select! {
            biased;
            () = pool.close_event() => Err(store_error(sqlx::Error::PoolClosed)),
            never = self.pass_on() => match never {},
        }
    }

    async fn pass_on(&mut self) -> Infallible {
        loop {
            match timeout(SILENCE_MAX, self.listener.try_recv()).await {
                // None says that the connection was lost and made again: something may be missed.
                Ok(Ok(_notification)) => {}
                Ok(Err(error)) => {
                    warn!(error = &error as &dyn Error, "no notifications: connecting again");
                    self.connect_again().await;
                }
                Err(_) => self.connect_again().await,
            }
            self.appended.notify_waiters();
        }
    }

    async fn connect_again(&mut self) {
        let pauses = ExponentialBuilder::new().with_max_delay(PAUSE_MAX).without_max_times();
        let connected = (|| connect(&self.pool, &self.channel))
            .retry(pauses.with_jitter())
            .sleep(tokio::time::sleep)
            .notify(|error, pause| {
                warn!(error = error as &dyn Error, ?pause, "no notifications: trying again");
            })
            .await;
        if let Ok(listener) = connected {
            self.listener = listener;
        }
    }
}

/// A connection of its own: one that dies without a word would be missing in the caller's pool.
async fn connect(pool: &PgPool, channel: &str) -> Result<PgListener, StoreError> {
    let options = PgPoolOptions::new().max_connections(1).acquire_timeout(CONNECT_TIME_MAX);
    let own = options.connect_lazy_with((*pool.connect_options()).clone());
    let connected = async {
        let mut listener = PgListener::connect_with(&own).await?;
        listener.listen(channel).await?;
        Ok(listener)
    };
    let connected = timeout(CONNECT_TIME_MAX, connected).await;
    connected.unwrap_or(Err(sqlx::Error::PoolTimedOut)).map_err(store_error)
}

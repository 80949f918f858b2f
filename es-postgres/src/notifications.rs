//! LISTEN: hearing of new events instead of looking for them.

use std::convert::Infallible;
use std::sync::Arc;

use es::StoreError;
use sqlx::PgPool;
use sqlx::postgres::PgListener;
use tokio::sync::Notify;

use crate::PgEventStore;
use crate::error::store_error;

/// Wakes the processors of a [`PgSource`](crate::PgSource) when events are appended; made by
/// [`PgSource::with_notifications`](crate::PgSource::with_notifications).
#[derive(Debug)]
pub struct PgNotifications {
    listener: PgListener,
    appended: Arc<Notify>,
}

impl PgNotifications {
    pub(crate) async fn listen(
        pool: &PgPool,
        store: &PgEventStore,
        appended: Arc<Notify>,
    ) -> Result<Self, StoreError> {
        let channel: String =
            store.notification_channel(&mut *pool.acquire().await.map_err(store_error)?).await?;
        let mut listener = PgListener::connect_with(pool).await.map_err(store_error)?;
        listener.listen(&channel).await.map_err(store_error)?;
        Ok(PgNotifications { listener, appended })
    }

    /// Passes on what the server says, for as long as the future is polled: spawn it. It connects
    /// again by itself when the connection is lost; processors poll meanwhile.
    ///
    /// # Errors
    ///
    /// The connection was lost and cannot be made again. The processors go on by polling.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: dropping the future ends the listening.
    pub async fn run(mut self) -> Result<Infallible, StoreError> {
        loop {
            // None says that the connection was lost and made again: something may be missed.
            let _notification = self.listener.try_recv().await.map_err(store_error)?;
            self.appended.notify_waiters();
        }
    }
}

//! Importing by COPY.

use es::adapter::{ImportStatements, NumberedEvent};
use es::{ImportError, Position, StoreError, StreamId, TransactionState, Version};
use sqlx::PgConnection;
use sqlx::postgres::PgDatabaseError;
use uuid::Uuid;

use crate::error::{statement_error, store_error};
use crate::{PgEventStore, copy_row, record};

/// How many bytes are handed to the connection at a time.
const BUFFER_BYTES: usize = 64 * 1024;

impl ImportStatements for PgEventStore {
    async fn begin_import(&self, conn: &mut PgConnection) -> Result<(), StoreError> {
        // A savepoint can be set only inside a transaction. Without one the registration would end
        // before the positions are drawn, and protect nothing.
        let savepoint = "savepoint es_import; release savepoint es_import";
        if let Err(error) = sqlx::raw_sql(savepoint).execute(&mut *conn).await {
            return Err(no_transaction(error));
        }
        let row = self.fetch_one(conn, &self.statements().register, |query| query).await?;
        self.check_positions(&row, 1)
    }

    async fn stream_versions(
        &self,
        conn: &mut PgConnection,
        streams: &[&StreamId],
    ) -> Result<Vec<(StreamId, Version)>, StoreError> {
        let column = |part: fn(&StreamId) -> &str| streams.iter().map(|id| part(id)).collect();
        let (contexts, types, ids): (Vec<_>, Vec<_>, Vec<_>) = (
            column(StreamId::bounded_context),
            column(StreamId::aggregate_type),
            column(StreamId::aggregate_id),
        );
        let sql = &self.statements().stream_versions;
        let rows = self.fetch_all(conn, sql, |query| {
            query.bind(&contexts[..]).bind(&types[..]).bind(&ids[..])
        });
        let rows = rows.await?;
        rows.iter().map(|row| Ok((record::stream(row)?, record::number(row, 3)?))).collect()
    }

    async fn insert_numbered(
        &self,
        conn: &mut PgConnection,
        events: impl Iterator<Item = NumberedEvent> + Send,
        meanwhile: impl FnOnce() + Send,
    ) -> Result<Position, ImportError> {
        let copied = self.copy(conn, events, meanwhile).await;
        copied.map_err(|error| import_error(self.statements().import.as_str(), error))?;
        let row = self.fetch_one(conn, &self.statements().last_drawn, |query| query).await?;
        Ok(record::number(&row, 0)?)
    }
}

impl PgEventStore {
    /// The server works on what has come while the rest is being written.
    async fn copy(
        &self,
        conn: &mut PgConnection,
        events: impl Iterator<Item = NumberedEvent> + Send,
        meanwhile: impl FnOnce() + Send,
    ) -> Result<(), sqlx::Error> {
        let mut copy = conn.copy_in_raw(self.statements().import.as_str()).await?;
        let mut buffer = Vec::with_capacity(BUFFER_BYTES);
        buffer.extend(copy_row::HEADER);
        for event in events {
            copy_row::write(&mut buffer, &event);
            if buffer.len() >= BUFFER_BYTES {
                copy.send(&*buffer).await?;
                buffer.clear();
            }
        }
        buffer.extend(copy_row::TRAILER);
        copy.send(&*buffer).await?;
        meanwhile();
        copy.finish().await.map(drop)
    }
}

fn no_transaction(error: sqlx::Error) -> StoreError {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    // no_active_sql_transaction
    if code.as_deref() != Some("25P01") {
        return store_error(error);
    }
    let reason = "an import outside one would hide from readers that it is under way: begin one";
    StoreError::NoTransaction { reason, source: error.into() }
}

/// Sorts an error of the COPY, after which the transaction must be rolled back.
fn import_error(sql: &str, error: sqlx::Error) -> ImportError {
    let database = error.as_database_error();
    let constraint = database.and_then(sqlx::error::DatabaseError::constraint).unwrap_or_default();
    if constraint.ends_with("_event_id_key")
        && let Some(event_id) = database
            .and_then(|error| error.try_downcast_ref::<PgDatabaseError>()?.detail().and_then(id_in))
    {
        return ImportError::DuplicateEventId { event_id };
    }
    if constraint.ends_with("_stream_key") {
        let transaction = TransactionState::MustRollBack;
        return StoreError::Retryable { transaction, source: error.into() }.into();
    }
    statement_error(sql, error).into()
}

/// The id in `Key (event_id)=(…) already exists.`, whatever language that is in.
fn id_in(detail: &str) -> Option<Uuid> {
    detail.split(['(', ')']).find_map(|part| part.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_is_found_in_the_servers_words() {
        let id = Uuid::from_u128(7);
        assert_eq!(id_in(&format!("Key (event_id)=({id}) already exists.")), Some(id));
        assert_eq!(id_in(&format!("Schlüssel »(event_id)=({id})« existiert bereits.")), Some(id));
        assert_eq!(id_in("Key (event_id)=(?) already exists."), None);
    }
}

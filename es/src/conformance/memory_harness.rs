//! The in-memory store as a harness: the model answers to its own clauses.

use super::{Conn, Harness};
use crate::error::StoreError;
use crate::memory::MemoryStore;
use crate::stream_id::StreamId;

/// Makes in-memory stores.
#[derive(Debug, Default, Clone, Copy)]
pub struct MemoryHarness;

impl Harness for MemoryHarness {
    type Source = MemoryStore;

    async fn source(&self) -> MemoryStore {
        MemoryStore::default()
    }

    async fn savepoint(&self, conn: &mut Conn<Self>) -> Result<(), StoreError> {
        conn.savepoint()
    }

    async fn rollback_to_savepoint(&self, conn: &mut Conn<Self>) -> Result<(), StoreError> {
        conn.rollback_to_savepoint()
    }

    async fn insert_row(
        &self,
        conn: &mut Conn<Self>,
        label: &str,
        value: i64,
    ) -> Result<(), StoreError> {
        conn.insert_row(label, value)
    }

    async fn rows(&self, conn: &mut Conn<Self>, label: &str) -> Result<Vec<i64>, StoreError> {
        conn.rows(label)
    }

    async fn delete_stream(
        &self,
        conn: &mut Conn<Self>,
        stream: &StreamId,
    ) -> Result<(), StoreError> {
        conn.delete_stream(stream);
        Ok(())
    }
}

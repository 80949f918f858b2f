//! The projection: how often each file changed, by how many lines, and who changed it.

use std::marker::PhantomData;

use es::{EventFilter, PersistedEvent, ProjectionName};
use projection::{EventContext, HandlerError, Projection};

use crate::backend::Backend;
use crate::file_changed::FileChanged;

/// The name its checkpoints are kept under.
pub(crate) static NAME: ProjectionName = ProjectionName::from_static("file_stats");

/// Keeps `file_stats` and `file_authors`, in the transaction that moves the checkpoint.
pub(crate) struct FileStats<B> {
    backend: PhantomData<fn() -> B>,
}

impl<B> FileStats<B> {
    pub(crate) fn new() -> Self {
        FileStats { backend: PhantomData }
    }
}

impl<B: Backend> Projection for FileStats<B> {
    type Connection = B::Connection;

    fn name(&self) -> &ProjectionName {
        &NAME
    }

    fn filter(&self) -> EventFilter {
        EventFilter::default().with_event_types([FileChanged::EVENT_TYPE])
    }

    async fn handle(
        &self,
        conn: &mut B::Connection,
        event: &PersistedEvent,
        _context: &EventContext,
    ) -> Result<(), HandlerError> {
        let change: FileChanged = event.payload_json()?;
        B::add_file_change(conn, event.aggregate_id(), &change).await?;
        Ok(())
    }
}

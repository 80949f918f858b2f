//! The projection: how often each file changed, by how many lines, and who changed it.

use std::marker::PhantomData;

use es::{EventFilter, PersistedEvent, ProjectionName};
use projection::{EventContext, HandlerError, Projection};

use crate::backend::Backend;
use crate::file_changed::FileChanged;

/// The name its checkpoints are kept under.
pub(crate) const NAME: &str = "file_stats";

/// Keeps `file_stats` and `file_authors`, in the transaction that moves the checkpoint.
pub(crate) struct FileStats<B> {
    name: ProjectionName,
    backend: PhantomData<fn() -> B>,
}

impl<B> FileStats<B> {
    pub(crate) fn new() -> anyhow::Result<Self> {
        Ok(FileStats { name: ProjectionName::new(NAME)?, backend: PhantomData })
    }

    pub(crate) fn name(&self) -> &ProjectionName {
        &self.name
    }
}

impl<B: Backend> Projection<B::Connection> for FileStats<B> {
    fn name(&self) -> ProjectionName {
        self.name.clone()
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

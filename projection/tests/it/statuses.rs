//! What an operator sees, written by serde and read again.

use std::sync::Arc;

use es::conformance::{Fixture, MemoryHarness};
use es::memory::{MemoryConnection, MemoryStore};
use es::{PersistedEvent, ProjectionName};
use projection::conformance::append_numbers;
use projection::operator::{PartitionLag, ProjectionStatus, ResetTo};
use projection::{EventContext, HandlerError, Operator, Processor, Projection};
use tokio_util::sync::CancellationToken;

struct Nothing;

impl Projection for Nothing {
    type Connection = MemoryConnection;

    fn name(&self) -> &ProjectionName {
        static NAME: ProjectionName = ProjectionName::from_static("nothing");
        &NAME
    }

    async fn handle(
        &self,
        _conn: &mut MemoryConnection,
        _event: &PersistedEvent,
        _context: &EventContext,
    ) -> Result<(), HandlerError> {
        Ok(())
    }
}

#[tokio::test]
async fn what_an_operator_sees_comes_back_as_it_was() {
    let store = MemoryStore::default();
    let fixture = Fixture { harness: MemoryHarness, source: store.clone() };
    append_numbers(&fixture, 10).await;
    let processor = Processor::new(Arc::new(store.clone())).with_projection(Nothing);
    processor.run_until_caught_up(CancellationToken::new()).await.expect("it catches up");
    let operator = Operator::new(&store);
    let start = ResetTo::Position(es::Position::START);
    operator.reset(Nothing.name(), start).await.expect("it is reset");

    let status = operator.status().await.expect("the status");
    let json = serde_json::to_string(&status).expect("it is written");
    assert!(json.contains(r#""name":"nothing""#), "{json}");
    let read: Vec<ProjectionStatus> = serde_json::from_str(&json).expect("it is read");
    assert_eq!(read, status);
    assert!(read[0].rebuild().is_some());

    let lag = operator.lag(Nothing.name()).await.expect("the lag");
    let json = serde_json::to_string(&lag).expect("it is written");
    assert_eq!(serde_json::from_str::<Vec<PartitionLag>>(&json).expect("it is read"), lag);
}

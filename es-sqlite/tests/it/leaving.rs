//! A worker that stops while another connection holds the file.

use std::sync::Arc;
use std::time::Duration;

use es::conformance::Fixture;
use es::{ProjectionName, WorkerId};
use es_sqlite::SqliteSource;
use es_sqlite::sqlx::{Connection, SqliteConnection};
use projection::conformance::Recorder;
use projection::{Operator, OperatorError, Processor};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::harness::{SqliteHarness, execute};

/// Long enough that the wait for the file is at its longest pauses, a tenth of a second each: what
/// asks later is then answered before.
const HELD: Duration = Duration::from_millis(600);

const PATIENCE: Duration = Duration::from_mins(1);

fn name() -> ProjectionName {
    ProjectionName::new("p").expect("a valid name")
}

async fn workers(source: &SqliteSource) -> Vec<WorkerId> {
    match Operator::new(source).status_of(&name()).await {
        Err(OperatorError::UnknownProjection { .. }) => Vec::new(),
        status => status.expect("a status").workers,
    }
}

/// That it is there was sent before it leaves, and is carried out before it leaves.
#[tokio::test]
async fn a_worker_that_stops_while_it_waits_for_the_file_is_out_of_the_count() {
    let store = Fixture::new(Arc::new(SqliteHarness::new())).await;
    let source = Arc::new(store.source.clone());
    for round in 0..3 {
        let recorder = Recorder::new(Arc::clone(&store.harness), "p");
        let worker = Processor::new(Arc::clone(&source))
            .with_lease(Duration::from_mins(10))
            .with_poll_interval(Duration::from_millis(10))
            .with_projection(recorder);
        let stop = CancellationToken::new();
        let play = async {
            while workers(&source).await.is_empty() {
                sleep(Duration::from_millis(5)).await;
            }
            let mut other =
                SqliteConnection::connect_with(&store.harness.options()).await.expect("connected");
            execute(&mut other, "begin immediate").await.expect("the file is held");
            sleep(HELD).await;
            stop.cancel();
            sleep(HELD / 10).await;
            execute(&mut other, "rollback").await.expect("the file is free");
        };
        let both = async { tokio::join!(worker.run(stop.clone()), play) };
        let (ended, ()) = Box::pin(timeout(PATIENCE, both)).await.expect("it stops");
        ended.expect("it stops when it is told to");
        // Longer than a statement that nobody waits for any more would wait for the file.
        sleep(HELD / 2).await;
        assert_eq!(workers(&source).await, [], "round {round}");
    }
}

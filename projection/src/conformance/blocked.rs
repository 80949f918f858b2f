//! A clause about a handler that blocks its thread.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use es::conformance::{Conn, Harness};
use es::{EventFilter, PersistedEvent, ProjectionName};
use futures_util::future::join;
use tokio::task::block_in_place;
use tokio_util::sync::CancellationToken;

use super::fixture::{Recorder, Stage, append_numbers, options};
use super::survival::until;
use crate::{EventContext, HandlerError, Processor, Projection, Trouble};

/// A recorder whose handler does not give its thread back until the gate is open.
struct Blocking<H> {
    recorder: Recorder<H>,
    is_blocked: AtomicBool,
    is_open: Mutex<bool>,
    opened: Condvar,
}

/// Opens the gate if the clause fails: its runtime waits for the thread.
struct OpenAtLast<H>(Arc<Blocking<H>>);

impl<H> Drop for OpenAtLast<H> {
    fn drop(&mut self) {
        self.0.open();
    }
}

impl<H> Blocking<H> {
    fn open(&self) {
        *self.is_open.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.opened.notify_all();
    }

    fn block(&self) {
        self.is_blocked.store(true, Ordering::SeqCst);
        let is_open = self.is_open.lock().unwrap_or_else(PoisonError::into_inner);
        // A thread that is blocked without a word to the runtime may be the one that all others wait
        // for, and then the worker is as one that is dead.
        block_in_place(|| drop(self.opened.wait_while(is_open, |is_open| !*is_open)));
    }
}

impl<H: Harness> Projection for Blocking<H> {
    type Connection = Conn<H>;

    fn name(&self) -> &ProjectionName {
        self.recorder.name()
    }

    async fn handle(
        &self,
        conn: &mut Conn<H>,
        event: &PersistedEvent,
        _: &EventContext,
    ) -> Result<(), HandlerError> {
        self.recorder.record(conn, event).await?;
        self.block();
        Ok(())
    }
}

/// The server ends the transaction of a handler that blocks its thread, and another worker takes
/// the partition over; what the handler does when it returns has no effect.
pub async fn a_handler_that_blocks_its_thread_is_taken_over<H: Harness>(harness: H)
where
    H::Source: Clone,
{
    const LIMIT: Duration = Duration::from_secs(1);
    let stage = Stage::new(harness).await;
    append_numbers(&stage.store, 5).await;
    let blocking = Arc::new(Blocking {
        recorder: Recorder::new(Arc::clone(&stage.harness), "p"),
        is_blocked: AtomicBool::new(false),
        is_open: Mutex::new(false),
        opened: Condvar::new(),
    });
    let _open_at_last = OpenAtLast(Arc::clone(&blocking));
    let worker = || {
        Processor::new(Arc::clone(&stage.source))
            .with_lease(LIMIT)
            .with_poll_interval(Duration::from_millis(50))
    };
    let options = options().with_time_max(LIMIT);
    let first = worker().with_projection_options(Arc::clone(&blocking), options);
    let second = worker().with_projection_options(stage.recorder("p"), options);
    let health = first.health();
    let stop = CancellationToken::new();
    let play = async {
        let is_blocked = async || blocking.is_blocked.load(Ordering::SeqCst);
        until("the handler blocks", is_blocked).await;
        let handled = async {
            stage.wait_for_all("p").await;
            let says_so = |one: &Trouble| one.reason.contains("its thread");
            until("its worker says so", async || health.troubles().iter().any(says_so)).await;
            blocking.open();
            until("the first is well", async || health.is_well()).await;
            stop.cancel();
        };
        join(second.run(stop.clone()), handled).await.0
    };
    let (ended, second_ended) = join(first.run(stop.clone()), play).await;
    ended.and(second_ended).expect("they stop when they are told to");
    stage.assert_handled_once("p", &EventFilter::default()).await;
}

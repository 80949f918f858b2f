//! A worker on a real server whose time-outs and full disk come into its handlers.

use std::num::NonZeroU32;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use es::conformance::{Conn, Fixture, Harness};
use es::{DeadLetter, PersistedEvent, Position, ProjectionName};
use es_postgres::PgSource;
use es_postgres::sqlx::{self, AssertSqlSafe, PgConnection, PgPool};
use futures_util::future::{Either, select};
use projection::conformance::{Recorder, append_numbers};
use projection::{
    EventContext, FailurePolicy, HandlerError, Operator, Processor, Projection, ProjectionOptions,
    Retries,
};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::harness::{PgHarness, execute};

/// Longer than any wait of a test that does not hang.
const PATIENCE: Duration = Duration::from_secs(40);

/// What the handler does at number 3, in its transaction.
#[derive(Debug, Clone, Copy)]
enum Habit {
    /// Waits for something that is not the database.
    Pauses,
    /// The same, after it has set a limit of its own.
    PausesTooLong,
    /// And then it is at its end, which does not ask the database.
    PausesAtTheEnd,
    /// Runs a statement for longer than the limit that it has set.
    AsksTooMuch,
    /// Writes, like at every other number.
    None,
}

fn is_third(event: &PersistedEvent) -> bool {
    event.payload_json::<i64>().expect("a number") == 3
}

struct Habitual {
    recorder: Recorder<PgHarness>,
    habit: Habit,
    calls: AtomicUsize,
}

impl Projection for Habitual {
    type Connection = Conn<PgHarness>;

    fn name(&self) -> &ProjectionName {
        self.recorder.name()
    }

    fn failure_policy(&self) -> FailurePolicy {
        FailurePolicy::Park(Retries::new(NonZeroU32::new(2).expect("two")))
    }

    async fn handle(
        &self,
        conn: &mut PgConnection,
        event: &PersistedEvent,
        _: &EventContext,
    ) -> Result<(), HandlerError> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        self.recorder.record(conn, event).await?;
        if !is_third(event) {
            return Ok(());
        }
        match self.habit {
            Habit::None => {}
            Habit::Pauses => sleep(Duration::from_millis(700)).await,
            Habit::PausesTooLong => {
                let limit = "set local idle_in_transaction_session_timeout = 50";
                execute(conn, limit).await?;
                sleep(Duration::from_millis(300)).await;
                execute(conn, "select 1").await?;
            }
            Habit::PausesAtTheEnd => {
                let limit = "set local idle_in_transaction_session_timeout = 50";
                execute(conn, limit).await?;
                sleep(Duration::from_millis(300)).await;
            }
            Habit::AsksTooMuch => {
                execute(conn, "set local statement_timeout = 50").await?;
                execute(conn, "select pg_sleep(5)").await?;
            }
        }
        Ok(())
    }
}

/// A log of twelve events, and one source whose sessions have the database's own settings.
struct Shop {
    store: Fixture<Arc<PgHarness>>,
    source: Arc<PgSource>,
}

impl Shop {
    async fn new(settings: &[(&str, &str)]) -> Self {
        let store = Fixture::new(Arc::new(PgHarness::new())).await;
        append_numbers(&store, 12).await;
        let options = store.harness.options().options(settings.iter().copied());
        let pool = PgPool::connect_with(options).await.expect("a pool");
        let source = Arc::new(PgSource::new(pool, store.harness.store()));
        Shop { store, source }
    }

    fn habitual(&self, name: &str, habit: Habit) -> Arc<Habitual> {
        let recorder = Recorder::new(Arc::clone(&self.store.harness), name);
        Arc::new(Habitual { recorder, habit, calls: AtomicUsize::new(0) })
    }

    /// Runs a worker with the projection and a good one, until all is handled or parked.
    async fn run(&self, projection: &Arc<Habitual>, meanwhile: impl Future<Output = ()>) {
        let attempts = NonZeroU32::new(3).expect("three");
        let options = ProjectionOptions::default().with_attempts_max(attempts);
        let worker = Processor::new(Arc::clone(&self.source))
            .with_poll_interval(Duration::from_millis(20))
            .with_projection_options(Arc::clone(projection), options)
            .with_projection(self.habitual("good", Habit::None));
        let stop = CancellationToken::new();
        let all = async {
            meanwhile.await;
            let end = self.store.log().await.last().expect("an event").position();
            for name in ["p", "good"] {
                let name = ProjectionName::new(name).expect("a valid name");
                let handled = Operator::new(&*self.source).wait_for(&name, end, PATIENCE).await;
                if let Err(error) = handled {
                    let status = Operator::new(&*self.source).status_of(&name).await;
                    panic!("{name}: {error:?}: {status:#?}");
                }
            }
        };
        match select(pin!(worker.run(stop.clone())), pin!(all)).await {
            Either::Left((ended, _)) => panic!("the worker ended by itself: {ended:?}"),
            Either::Right(((), run)) => {
                stop.cancel();
                let ended = timeout(PATIENCE, run).await.expect("it stops in time");
                ended.expect("it was stopped");
            }
        }
        assert_eq!(self.rows("good").await, (1..=12).collect::<Vec<i64>>());
    }

    async fn rows(&self, name: &str) -> Vec<i64> {
        let mut conn = self.store.conn().await;
        self.store.harness.rows(&mut conn, name).await.expect("rows")
    }

    async fn letters(&self) -> Vec<DeadLetter> {
        let name = ProjectionName::new("p").expect("a valid name");
        let letters = Operator::new(&*self.source).dead_letters(&name, Position::START, 100).await;
        letters.expect("the dead letters")
    }
}

/// The database's limits are for its other users: a handler has the time that the processor gives.
#[tokio::test]
async fn a_handler_that_pauses_has_the_processors_time_and_not_the_databases() {
    let settings = [("idle_in_transaction_session_timeout", "300ms"), ("statement_timeout", "10s")];
    let shop = Shop::new(&settings).await;
    let mut conn = shop.source.pool().acquire().await.expect("a connection");
    let shown: String = sqlx::query_scalar("show idle_in_transaction_session_timeout")
        .fetch_one(&mut *conn)
        .await
        .expect("the setting");
    assert_eq!(shown, "300ms");
    drop(conn);
    let pausing = shop.habitual("p", Habit::Pauses);
    Box::pin(shop.run(&pausing, async {})).await;
    assert_eq!(shop.rows("p").await, (1..=12).collect::<Vec<i64>>());
    assert_eq!(shop.letters().await, []);
    assert_eq!(pausing.calls.load(Ordering::SeqCst), 12, "each once");
}

#[tokio::test]
async fn an_event_whose_handler_always_runs_into_a_time_limit_of_the_server_is_parked() {
    for habit in [Habit::PausesTooLong, Habit::PausesAtTheEnd, Habit::AsksTooMuch] {
        let shop = Shop::new(&[]).await;
        let slow = shop.habitual("p", habit);
        Box::pin(shop.run(&slow, async {})).await;
        let letters = shop.letters().await;
        let log = shop.store.log().await;
        let third = log.iter().find(|event| is_third(event)).expect("number 3").position();
        let failed: Vec<_> = letters.iter().filter(|letter| letter.attempts > 0).collect();
        assert_eq!(failed.len(), 1, "{habit:?}: one event is at fault: {letters:?}");
        assert_eq!(failed[0].position, third, "{habit:?}");
        let rows = shop.rows("p").await;
        assert_eq!(rows.len() + letters.len(), 12, "{habit:?}: {rows:?}, {letters:?}");
        assert!(!rows.contains(&third.get()));
    }
}

/// The server's own codes, at every write of the read model, for far longer than the attempts that
/// the policy allows.
#[tokio::test]
async fn a_full_disk_parks_nothing_and_is_over_when_there_is_room() {
    // disk_full, out_of_memory, cannot_connect_now, read_only_sql_transaction, io_error.
    for code in ["53100", "53200", "57P03", "25006", "58030"] {
        let shop = Shop::new(&[]).await;
        let mut conn = shop.store.conn().await;
        let full = format!(
            "create table disk (is_full boolean);
             insert into disk values (true);
             create function fail() returns trigger language plpgsql as $$ begin
                 if new.label = 'p' and (select is_full from disk) then
                     raise 'simulated' using errcode = '{code}';
                 end if;
                 return new;
             end $$;
             create trigger t before insert on caller_rows
             for each row execute function fail()"
        );
        sqlx::raw_sql(AssertSqlSafe(full)).execute(&mut *conn).await.expect("a full disk");
        let writing = shop.habitual("p", Habit::None);
        let make_room = async {
            let tried = async {
                while writing.calls.load(Ordering::SeqCst) < 8 {
                    sleep(Duration::from_millis(10)).await;
                }
            };
            timeout(PATIENCE, tried).await.expect("it is tried again and again");
            assert!(shop.rows("p").await.is_empty(), "{code}");
            assert_eq!(shop.letters().await, [], "{code}");
            execute(&mut conn, "update disk set is_full = false").await.expect("room");
        };
        Box::pin(shop.run(&writing, make_room)).await;
        assert_eq!(shop.letters().await, [], "{code}");
        assert_eq!(shop.rows("p").await, (1..=12).collect::<Vec<i64>>(), "{code}");
    }
}

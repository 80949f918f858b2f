//! Events a reader never sees, or not for as long as an unrelated transaction is open.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use super::{Bench, Kind, announce, one_event};
use crate::contender::{Contender, Seen};

const LOST: Kind = Kind::less("lost events", "% never seen");
const LATE: Kind = Kind::less("lost events", "% only seen when an unrelated transaction ends");

const WRITERS: usize = 8;

/// How long a reader is given to see the rest.
const PATIENCE: Duration = Duration::from_secs(5);

/// Counts for each contender with a reader. `url_of` is the database of one, for `PostgreSQL`.
pub(crate) async fn lost(bench: &mut Bench, url_of: impl Fn(&str) -> String) -> anyhow::Result<()> {
    let duration = bench.quick_or(Duration::from_secs(3), Duration::from_secs(20));
    announce("lost events");
    for index in 0..bench.contenders.len() {
        let contender = &bench.contenders[index];
        let name = contender.name();
        contender.prepare().await?;
        let mut conn = PgConnection::connect(&url_of(name)).await?;
        let pause = pause_after_insert(contender.events_table());
        sqlx::raw_sql(AssertSqlSafe(pause)).execute(&mut conn).await?;
        let Some(counts) = count(&**contender, conn, duration).await? else { continue };
        let share = |count: u64| 100.0 * count as f64 / counts.committed.max(1) as f64;
        let setting = format!("{WRITERS} writers that pause before they commit");
        bench.record(LOST, &setting, name, share(counts.lost));
        bench.record(LATE, &setting, name, share(counts.late));
        eprintln!(
            "   {name}: committed={} lost={} late={}",
            counts.committed, counts.lost, counts.late
        );
    }
    Ok(())
}

/// Makes every transaction that inserts events wait, behind its insert, for up to 20 ms: whatever
/// the library is, its positions are drawn by then.
fn pause_after_insert(events_table: &str) -> String {
    format!(
        "create function pause() returns trigger language plpgsql as
         $$ begin perform pg_sleep(random() * 0.02); return null; end $$;
         create trigger pause after insert on {events_table}
         for each statement execute function pause();
         create table unrelated (number integer);"
    )
}

struct Counts {
    committed: u64,
    lost: u64,
    late: u64,
}

async fn count(
    contender: &dyn Contender,
    mut conn: PgConnection,
    duration: Duration,
) -> anyhow::Result<Option<Counts>> {
    let (sender, mut seen) = unbounded_channel();
    let stop = CancellationToken::new();
    let write = async {
        let mut numbers = HashSet::new();
        let mut writer = contender.writer(WRITERS, one_event()).await?;
        if let Some(writer) = &mut writer {
            writer.append(0).await?;
        }
        collect(&mut seen, &mut numbers, 1, PATIENCE).await;
        let is_there = !numbers.is_empty();
        let mut unrelated = conn.begin().await?;
        sqlx::raw_sql("insert into unrelated values (1)").execute(&mut *unrelated).await?;
        let committed = if is_there { write(contender, duration).await? } else { 0 };
        let expected = committed as usize + 1;
        collect(&mut seen, &mut numbers, expected, PATIENCE).await;
        let missing_while_open = expected.saturating_sub(numbers.len());
        unrelated.rollback().await?;
        collect(&mut seen, &mut numbers, expected, PATIENCE).await;
        let lost = expected.saturating_sub(numbers.len());
        let late = missing_while_open.saturating_sub(lost) as u64;
        stop.cancel();
        anyhow::Ok(is_there.then_some(Counts { committed, lost: lost as u64, late }))
    };
    let (followed, counts) = tokio::join!(contender.follow(sender, stop.clone()), write);
    if !followed? {
        return Ok(None);
    }
    counts
}

/// Writes events with numbers from 1 on, all different; gives how many.
async fn write(contender: &dyn Contender, duration: Duration) -> anyhow::Result<u64> {
    let (next, deadline) = (Arc::new(AtomicU64::new(1)), Instant::now() + duration);
    let mut tasks = Vec::new();
    for index in 0..WRITERS {
        let Some(mut writer) = contender.writer(index, one_event()).await? else { continue };
        let next = Arc::clone(&next);
        tasks.push(tokio::spawn(async move {
            let mut committed = 0;
            while Instant::now() < deadline {
                writer.append(next.fetch_add(1, Ordering::Relaxed)).await?;
                committed += 1;
            }
            anyhow::Ok(committed)
        }));
    }
    let mut committed = 0;
    for task in tasks {
        committed += task.await??;
    }
    Ok(committed)
}

/// Collects what is seen until it is enough, or nothing new has come for as long as `patience`.
async fn collect(
    seen: &mut UnboundedReceiver<Seen>,
    numbers: &mut HashSet<u64>,
    enough: usize,
    patience: Duration,
) {
    while numbers.len() < enough {
        match timeout_at(Instant::now() + patience, seen.recv()).await {
            Ok(Some(seen)) => numbers.insert(seen.number),
            Ok(None) | Err(_) => return,
        };
    }
}

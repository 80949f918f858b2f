//! What each step of an append adds to a plain insert of the same rows. PostgreSQL only.

use anyhow::Context;
use async_trait::async_trait;
use es::StreamId;
use es_postgres::PgSource;
use sqlx::{AssertSqlSafe, PgPool, SqlSafeStr, SqlStr};
use uuid::Uuid;

use super::append::setting;
use super::{Bench, Kind, OWN, SMALL, announce, write_all, writers_of};
use crate::contender::{AppendPlan, Scope, Streams, Writer, note};
use crate::limit::rows;
use crate::ours::Ours;

const STEPS: Kind = Kind::more("append steps", "appends/s");

/// The columns that are inserted.
const INSERTED: &str = "bounded_context, aggregate_type, aggregate_id, aggregate_version, slot, \
    event_id, event_type, event_version, payload, metadata, correlation_id, causation_id, \
    trace_id, created_at";

/// The stream's version as the writer expects it.
const EXPECTED: &str = "(select $5::bigint as version) as stream";

/// As it is.
const VERSION: &str = "(select coalesce((select aggregate_version from events \
    where bounded_context = $1 and aggregate_type = $2 and aggregate_id = $3 \
    order by aggregate_version desc limit 1), 0) as version offset 0) as stream";

/// Measures the steps of an append, each with all that come before it: the plain insert; that and
/// what keeps a conflict from being an error; the version, looked up; the registration that
/// readers heed; the library, which also looks for taken event ids where there are several.
pub(crate) async fn steps(bench: &mut Bench, ours: &Ours<PgSource>) -> anyhow::Result<()> {
    let registered = registered();
    let steps = [
        ("limit + conflict", EXPECTED),
        ("limit + version", VERSION),
        ("limit + registration", &registered),
    ];
    for (events, writers) in [(1, 1), (1, 8), (10, 1), (10, 8)] {
        let (streams, scope) = (Streams::Fresh, Scope::Pool);
        let plan = AppendPlan { events, payload_bytes: SMALL, streams, scope };
        let setting = setting(plan, writers);
        announce(&format!("append steps: {setting}"));
        bench.prepare().await?;
        for round in 0..bench.rounds {
            for turn in 0..OWN + steps.len() {
                let index = (turn + round) % (OWN + steps.len());
                let (name, writers) = if let Some(step) = index.checked_sub(OWN) {
                    let (name, stream) = steps[step];
                    let sql = AssertSqlSafe(append(stream, events)).into_sql_str();
                    let writer = |_| StepWriter::boxed(ours.source.pool(), plan, sql.clone());
                    (name, (0..writers).map(writer).collect())
                } else {
                    let contender = &*bench.contenders[index];
                    let writers = writers_of(contender, plan, writers).await?;
                    (contender.name(), writers.context("ours and the limit have writers")?)
                };
                let (appends, taken) = write_all(writers, events, bench.append_time()).await?;
                bench.record(STEPS, &setting, name, appends as f64 / taken.as_secs_f64());
            }
        }
    }
    Ok(())
}

/// The stream's version, and the lock that tells readers of positions to come.
fn registered() -> String {
    format!(
        "(select stream.version, case when coalesce(current_setting('es.bench', true), '') = '' \
         then pg_advisory_xact_lock_shared(1, (last_value - (not is_called)::integer)::integer)::text \
         || case when pg_current_xact_id_if_assigned() is not null \
         then set_config('es.bench', 'yes', true) else '' end end as lock \
         from {VERSION}, events_global_position_seq where stream.version = $5 offset 0) as stream"
    )
}

/// The insert of one event, or of one and then the others.
fn append(stream: &str, events: usize) -> String {
    let one = format!(
        "insert into events ({INSERTED}) select $1, $2, $3, stream.version + 1, $4::smallint, \
         $6::uuid, $7, $8::integer, $9::bytea, $10::text::json, $11, $12, $13, \
         $14::timestamptz from {stream} where stream.version = $5 \
         on conflict do nothing returning aggregate_version, global_position"
    );
    if events == 1 {
        return one;
    }
    format!(
        "with first as ({one}) insert into events ({INSERTED}) \
         select $1, $2, $3, first.aggregate_version + ordinal, $4, event_id, event_type, \
         event_version, payload, metadata::json, correlation_id, causation_id, trace_id, created_at \
         from first, unnest($15::uuid[], $16::text[], $17::integer[], $18::bytea[], $19::text[], \
         $20::text[], $21::text[], $22::text[], $23::timestamptz[]) with ordinality as other \
         (event_id, event_type, event_version, payload, metadata, correlation_id, causation_id, \
         trace_id, created_at, ordinal) order by ordinal \
         returning aggregate_version, global_position, (select global_position from first)"
    )
}

struct StepWriter {
    pool: PgPool,
    plan: AppendPlan,
    note: String,
    sql: SqlStr,
}

impl StepWriter {
    fn boxed(pool: &PgPool, plan: AppendPlan, sql: SqlStr) -> Box<dyn Writer> {
        Box::new(StepWriter { pool: pool.clone(), plan, note: note(plan.payload_bytes), sql })
    }
}

#[async_trait]
impl Writer for StepWriter {
    async fn append(&mut self, first_number: u64) -> anyhow::Result<()> {
        let stream = StreamId::new("Sales", "Order", Uuid::now_v7().to_string())?;
        let rows = rows(&stream, 0, first_number, self.plan.events, &self.note);
        let (first, others) = rows.split_first().expect("an append has events");
        let none = None::<Uuid>;
        let mut insert = sqlx::query(self.sql.clone())
            .bind(stream.bounded_context())
            .bind(stream.aggregate_type())
            .bind(stream.aggregate_id())
            .bind(first.slot)
            .bind(0_i64)
            .bind(first.id)
            .bind("OrderPlaced")
            .bind(1)
            .bind(first.payload.as_bytes())
            .bind(None::<&str>)
            .bind(none)
            .bind(none)
            .bind(none)
            .bind(first.created_at);
        if !others.is_empty() {
            let none = None::<Vec<Uuid>>;
            insert = insert
                .bind(others.iter().map(|row| row.id).collect::<Vec<_>>())
                .bind(vec!["OrderPlaced"; others.len()])
                .bind(vec![1; others.len()])
                .bind(others.iter().map(|row| row.payload.as_bytes()).collect::<Vec<_>>())
                .bind(None::<Vec<&str>>)
                .bind(none.clone())
                .bind(none.clone())
                .bind(none)
                .bind(others.iter().map(|row| row.created_at).collect::<Vec<_>>());
        }
        let inserted = insert.fetch_all(&mut *self.pool.acquire().await?).await?.len();
        anyhow::ensure!(inserted == others.len().max(1), "{inserted} rows came back");
        Ok(())
    }
}

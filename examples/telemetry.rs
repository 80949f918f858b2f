//! A projection's spans and metrics in OpenTelemetry, printed instead of sent.
//!
//! `tracing` spans go through the layer of `tracing-opentelemetry`, the counters, histograms and
//! gauges of `projection` (feature `metrics`) through the recorder of `metrics-opentelemetry`. To
//! send them to a collector, put the exporters of `opentelemetry-otlp` where the two from
//! `opentelemetry-stdout` are; nothing else changes.
//!
//! Every event carries the trace in which it was appended, and its handling goes on with that
//! trace: who looks at a request sees what projections have made of it, later and elsewhere. The
//! spans of the worker itself last as long as it runs, and would be no parents for that.

use std::collections::HashMap;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use es::{
    AppendResult, Event, EventStore, ExpectedVersion, InvalidEvent, PersistedEvent, ProjectionName,
    StreamId,
};
use es_sqlite::sqlx::sqlite::SqlitePoolOptions;
use es_sqlite::sqlx::{self, AssertSqlSafe, SqliteConnection, SqlitePool};
use es_sqlite::{SqliteEventStore, SqliteSource};
use metrics_opentelemetry::{OpenTelemetryMetrics, OpenTelemetryRecorder};
use migrate_gen::{Database, Schema};
use opentelemetry::metrics::MeterProvider;
use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::{TraceContextExt, TracerProvider};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use projection::{EventContext, HandlerError, Operator, Processor, Projection};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, Span, info_span, instrument};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::prelude::*;

/// What a collector knows this program as.
const SERVICE: &str = "telemetry-example";

/// How often the worker looks around.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let telemetry = Telemetry::start()?;
    run().await?;
    telemetry.stop()
}

/// The providers, which must be told to send what they still hold.
struct Telemetry {
    traces: SdkTracerProvider,
    metrics: SdkMeterProvider,
}

impl Telemetry {
    fn start() -> Result<Self, Box<dyn Error>> {
        let resource = Resource::builder().with_service_name(SERVICE).build();

        let exporter = opentelemetry_stdout::SpanExporter::default();
        let traces = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_resource(resource.clone())
            .build();
        let layer = tracing_opentelemetry::layer().with_tracer(traces.tracer(SERVICE));
        tracing_subscriber::registry().with(layer.with_filter(LevelFilter::INFO)).try_init()?;

        let exporter = opentelemetry_stdout::MetricExporter::default();
        let metrics = SdkMeterProvider::builder()
            .with_periodic_exporter(exporter)
            .with_resource(resource)
            .build();
        let recorder =
            OpenTelemetryRecorder::new(OpenTelemetryMetrics::new(metrics.meter(SERVICE)));
        // OpenTelemetry's own bounds are meant for milliseconds.
        recorder.set_histogram_bounds(
            ["projection_batch_seconds"].into_iter(),
            &[0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0],
        );
        ::metrics::set_global_recorder(recorder).map_err(|error| error.to_string())?;
        Ok(Telemetry { traces, metrics })
    }

    fn stop(&self) -> Result<(), Box<dyn Error>> {
        self.traces.shutdown()?;
        self.metrics.shutdown()?;
        Ok(())
    }
}

/// A few requests, and a worker that follows them.
async fn run() -> Result<(), Box<dyn Error>> {
    let pool = SqlitePoolOptions::new().max_connections(1).connect("sqlite::memory:").await?;
    let schema = Schema::new(Database::Sqlite).to_sql()?;
    sqlx::raw_sql(AssertSqlSafe(schema)).execute(&pool).await?;
    sqlx::raw_sql("create table revenue (total integer)").execute(&pool).await?;
    sqlx::raw_sql("insert into revenue values (0)").execute(&pool).await?;

    let store = SqliteEventStore::default();
    let source = Arc::new(SqliteSource::new(pool.clone(), store.clone()));
    let worker = Processor::new(Arc::clone(&source))
        .with_poll_interval(POLL_INTERVAL)
        .with_projection(Revenue);
    let stop = CancellationToken::new();
    let working = tokio::spawn({
        let stop = stop.clone();
        async move { worker.run(stop).await }
    });
    for number in 1..=3 {
        let placed = place_order(&pool, &store, number).await?;
        let position = placed.last_position();
        let operator = Operator::new(&*source);
        operator.wait_for(Revenue.name(), position, Duration::from_secs(10)).await?;
    }
    // The worker sets the gauge of the lag when it polls.
    tokio::time::sleep(POLL_INTERVAL * 10).await;
    stop.cancel();
    working.await??;
    Ok(())
}

/// What would be a request of a service, with a span of its own.
#[instrument(skip(pool, store), fields(position))]
async fn place_order(
    pool: &SqlitePool,
    store: &SqliteEventStore,
    number: u32,
) -> Result<AppendResult, Box<dyn Error>> {
    let order = StreamId::new("Sales", "Order", format!("order-{number}"))?;
    let placed = in_current_trace(Event::json("OrderPlaced", &4200)?)?;

    let mut tx = pool.begin_with("BEGIN IMMEDIATE").await?;
    let appended = store.append(&mut tx, &order, ExpectedVersion::NoStream, &[placed]).await?;
    tx.commit().await?;
    Span::current().record("position", appended.last_position().get());
    Ok(appended)
}

/// Notes the current span in the event: the whole as W3C's `traceparent`, its trace in the column.
fn in_current_trace(event: Event) -> Result<Event, InvalidEvent> {
    let context = Span::current().context();
    let trace_id = context.span().span_context().trace_id();
    let mut carrier = HashMap::new();
    TraceContextPropagator::new().inject_context(&context, &mut carrier);
    event.with_trace_id(trace_id.to_string())?.with_metadata(&carrier)
}

/// A span that goes on where the event was appended.
fn span_after(event: &PersistedEvent, context: &EventContext) -> Result<Span, HandlerError> {
    let span = info_span!(
        parent: None,
        "handle",
        position = context.position.get(),
        attempt = context.attempt,
        replaying = context.replaying,
    );
    if let Some(carrier) = event.metadata_json::<HashMap<String, String>>()? {
        span.set_parent(TraceContextPropagator::new().extract(&carrier))?;
    }
    Ok(span)
}

struct Revenue;

impl Projection for Revenue {
    type Connection = SqliteConnection;

    fn name(&self) -> &ProjectionName {
        static NAME: ProjectionName = ProjectionName::from_static("revenue");
        &NAME
    }

    async fn handle(
        &self,
        conn: &mut SqliteConnection,
        event: &PersistedEvent,
        context: &EventContext,
    ) -> Result<(), HandlerError> {
        let add = async {
            let query = sqlx::query("update revenue set total = total + ?");
            query.bind(event.payload_json::<i64>()?).execute(conn).await?;
            Ok(())
        };
        add.instrument(span_after(event, context)?).await
    }
}

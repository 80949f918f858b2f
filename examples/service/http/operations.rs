//! What an operator asks: whether it works, and how the projections are doing.
//!
//! A service would put these behind a port or a login of their own.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use chrono::{DateTime, Utc};
use es::{HorizonHolder, Position, ProjectionName};
use projection::operator::{PartitionStatus, ProjectionStatus};
use projection::{Health, Operator, OperatorError, Trouble};
use serde::Serialize;

use super::Path;
use crate::backend::Backend;
use crate::error::OrderError;
use crate::orders::Orders;

/// How long what is tried again by itself may fail before the process is unhealthy.
const TROUBLE_TIME_MAX: Duration = Duration::from_secs(30);

pub(crate) fn router<B: Backend>(health: Health) -> Router<Arc<Orders<B>>> {
    Router::new()
        .route("/healthz", get(async move || healthz(&health.troubles())))
        .route("/projections", get(projections::<B>))
        .route("/projections/{name}/pause", post(pause::<B>))
        .route("/projections/{name}/resume", post(resume::<B>))
}

/// What keeps this process's worker from going on. No database is asked, so the answer is there also
/// while it is away; the worker, which asks it all the time, says what it has heard.
fn healthz(troubles: &[Trouble]) -> Response {
    let is_healthy = troubles.iter().all(|one| !one.stands_still && one.since < TROUBLE_TIME_MAX);
    let status = if is_healthy { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let troubles: Vec<_> = troubles.iter().map(ShownTrouble::new).collect();
    (status, Json(ShownHealth { is_healthy, troubles })).into_response()
}

async fn projections<B: Backend>(
    State(orders): State<Arc<Orders<B>>>,
) -> Result<Json<Vec<Shown>>, OrderError> {
    let operator = Operator::new(&**orders.backend().source());
    let all = operator.status().await.map_err(|error| orders.failed(error))?;
    let now = Utc::now();
    Ok(Json(all.iter().map(|one| Shown::new(one, now)).collect()))
}

/// Stops a projection in every process, such as while its table is rebuilt.
async fn pause<B: Backend>(
    State(orders): State<Arc<Orders<B>>>,
    Path(name): Path<String>,
) -> Result<StatusCode, OrderError> {
    set_paused(&orders, &name, true).await
}

async fn resume<B: Backend>(
    State(orders): State<Arc<Orders<B>>>,
    Path(name): Path<String>,
) -> Result<StatusCode, OrderError> {
    set_paused(&orders, &name, false).await
}

async fn set_paused<B: Backend>(
    orders: &Orders<B>,
    name: &str,
    is_paused: bool,
) -> Result<StatusCode, OrderError> {
    let name = ProjectionName::new(name).map_err(|_| OrderError::UnknownProjection)?;
    let operator = Operator::new(&**orders.backend().source());
    let set = if is_paused { operator.pause(&name).await } else { operator.resume(&name).await };
    match set {
        Ok(()) => Ok(StatusCode::NO_CONTENT),
        Err(OperatorError::UnknownProjection { .. }) => Err(OrderError::UnknownProjection),
        Err(error) => Err(orders.failed(error)),
    }
}

#[derive(Debug, Serialize)]
struct ShownHealth {
    is_healthy: bool,
    troubles: Vec<ShownTrouble>,
}

/// What a worker says of itself, or of a partition.
#[derive(Debug, Serialize)]
struct ShownTrouble {
    /// `None` if the worker cannot look at its partitions.
    projection: Option<String>,
    partition: Option<String>,
    since_seconds: f64,
    attempts: u32,
    /// Whether it waits for somebody to do something.
    stands_still: bool,
    reason: String,
}

impl ShownTrouble {
    fn new(trouble: &Trouble) -> Self {
        let (projection, partition) = trouble.partition.clone().unzip();
        ShownTrouble {
            projection: projection.map(|name| name.to_string()),
            partition: partition.map(|partition| partition.to_string()),
            since_seconds: trouble.since.as_secs_f64(),
            attempts: trouble.attempts,
            stands_still: trouble.stands_still,
            reason: trouble.reason.clone(),
        }
    }
}

/// A projection as it is shown.
#[derive(Debug, Serialize)]
struct Shown {
    name: String,
    is_paused: bool,
    /// How far the log can be read now, and where it ends.
    horizon: i64,
    end: i64,
    /// Whose open transactions keep the one from the other.
    held_by: Vec<ShownHolder>,
    workers: Vec<String>,
    dead_letters: u64,
    partitions: Vec<ShownPartition>,
}

/// An open transaction that has appended.
#[derive(Debug, Serialize)]
struct ShownHolder {
    session: String,
    application: Option<String>,
    open_for_seconds: Option<f64>,
}

impl ShownHolder {
    fn new(holder: &HorizonHolder) -> Self {
        ShownHolder {
            session: holder.session.clone(),
            application: holder.application.clone(),
            open_for_seconds: holder.open_for.map(|open_for| open_for.as_secs_f64()),
        }
    }
}

#[derive(Debug, Serialize)]
struct ShownPartition {
    /// Such as `0/4`.
    partition: String,
    checkpoint: i64,
    lag_positions: u64,
    /// How many of them nobody can handle yet, because of `held_by`.
    held_back: u64,
    lag_seconds: f64,
    owner: Option<String>,
    lease_left_seconds: Option<f64>,
    /// The event that was tried and not handled, how often, and what it failed with last.
    failing_position: Option<i64>,
    attempts: u32,
    last_error: Option<String>,
    dead_letters: u64,
}

impl Shown {
    fn new(status: &ProjectionStatus, now: DateTime<Utc>) -> Self {
        Shown {
            name: status.state.name.to_string(),
            is_paused: status.state.is_paused,
            horizon: status.horizon.position.get(),
            end: status.horizon.end.get(),
            held_by: status.horizon.held_by.iter().map(ShownHolder::new).collect(),
            workers: status.workers.iter().map(ToString::to_string).collect(),
            dead_letters: status.dead_letters(),
            partitions: status.partitions.iter().map(|one| ShownPartition::new(one, now)).collect(),
        }
    }
}

impl ShownPartition {
    fn new(status: &PartitionStatus, now: DateTime<Utc>) -> Self {
        let state = &status.state;
        ShownPartition {
            partition: state.partition.to_string(),
            checkpoint: state.position.get(),
            lag_positions: status.lag,
            held_back: status.held_back,
            lag_seconds: status.lag_time(now).as_secs_f64(),
            owner: state.owner.as_ref().map(ToString::to_string),
            lease_left_seconds: state.lease_left.map(|left| left.as_secs_f64()),
            failing_position: state.failing_position.map(Position::get),
            attempts: state.attempts,
            last_error: state.last_error.clone(),
            dead_letters: status.dead_letters,
        }
    }
}

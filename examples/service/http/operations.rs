//! What an operator asks: whether it works, and how the projections are doing.
//!
//! A service would put these behind a port or a login of their own.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use chrono::{DateTime, Utc};
use es::{EventSource, ProjectionName};
use projection::admin::{self, PartitionStatus, ProjectionStatus};
use serde::Serialize;

use super::Path;
use crate::backend::Backend;
use crate::error::OrderError;
use crate::orders::Orders;
use crate::schema;

pub(crate) fn router<B: Backend>() -> Router<Arc<Orders<B>>> {
    Router::new()
        .route("/healthz", get(health::<B>))
        .route("/projections", get(projections::<B>))
        .route("/projections/{name}/pause", post(pause::<B>))
        .route("/projections/{name}/resume", post(resume::<B>))
}

/// The database answers and its schema is the one this program needs. A worker that ends by itself
/// ends the process, so a process that answers has one; how its partitions are doing is said below.
async fn health<B: Backend>(
    State(orders): State<Arc<Orders<B>>>,
) -> Result<&'static str, OrderError> {
    let checked = schema::check(orders.backend()).await;
    checked.map_err(|error| OrderError::Unavailable(error.into()))?;
    Ok("ok\n")
}

async fn projections<B: Backend>(
    State(orders): State<Arc<Orders<B>>>,
) -> Result<axum::Json<Vec<Shown>>, OrderError> {
    let source = orders.backend().source();
    let all = admin::status(&**source).await.map_err(|error| orders.failed(error))?;
    let now = Utc::now();
    Ok(axum::Json(all.iter().map(|one| Shown::new(one, now)).collect()))
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
    let source = orders.backend().source();
    let store = source.store();
    let mut tx = source.begin().await.map_err(|error| orders.failed(error))?;
    let is_known = if is_paused {
        admin::pause(store, &mut tx, &name).await
    } else {
        admin::resume(store, &mut tx, &name).await
    };
    let is_known = is_known.map_err(|error| orders.failed(error))?;
    source.commit(tx).await.map_err(|error| orders.failed(error))?;
    if is_known { Ok(StatusCode::NO_CONTENT) } else { Err(OrderError::UnknownProjection) }
}

/// A projection as it is shown.
#[derive(Debug, Serialize)]
struct Shown {
    name: String,
    is_paused: bool,
    /// How far the log can be read now, and where it ends.
    horizon: i64,
    end: i64,
    /// The sessions whose open transactions keep the one from the other.
    held_by: Vec<String>,
    workers: Vec<String>,
    dead_letters: u64,
    partitions: Vec<ShownPartition>,
}

#[derive(Debug, Serialize)]
struct ShownPartition {
    /// Such as `0/4`.
    partition: String,
    checkpoint: i64,
    lag_positions: u64,
    lag_seconds: f64,
    owner: Option<String>,
    lease_left_seconds: Option<f64>,
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
            held_by: status.horizon.held_by.iter().map(|holder| holder.session.clone()).collect(),
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
            lag_seconds: status.lag_time(now).as_secs_f64(),
            owner: state.owner.as_ref().map(ToString::to_string),
            lease_left_seconds: state.lease_left.map(|left| left.as_secs_f64()),
            attempts: state.attempts,
            last_error: state.last_error.clone(),
            dead_letters: status.dead_letters,
        }
    }
}

//! Routes and handlers: what a request says, and what an answer looks like.

mod operations;
mod problem;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, FromRequest, FromRequestParts, State};
use axum::http::{StatusCode, header};
use axum::middleware::map_response;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use es::Version;
use projection::Health;
use serde::Deserialize;
use tower_http::timeout::TimeoutLayer;
use tower_http::trace::{DefaultMakeSpan, DefaultOnResponse, TraceLayer};
use tracing::Level;

use crate::backend::Backend;
use crate::error::OrderError;
use crate::event_id::EventId;
use crate::order::{Command, ItemAdded, Name, OrderPlaced};
use crate::orders::{Accepted, Orders};
use crate::summaries::Summary;

/// The longest that a request may take, its body included. A request whose time is up is rolled
/// back, unless it was being committed: its client repeats it with the same key.
const REQUEST_TIME_MAX: Duration = Duration::from_secs(30);

/// The largest body, in bytes: ten times what the largest command needs.
const BODY_BYTES_MAX: usize = 64 * 1024;

pub(crate) fn router<B: Backend>(orders: Arc<Orders<B>>, health: Health) -> Router {
    let spans = TraceLayer::new_for_http()
        .make_span_with(DefaultMakeSpan::new().level(Level::INFO))
        .on_response(DefaultOnResponse::new().level(Level::INFO));
    Router::new()
        .route("/orders", post(place_order::<B>))
        .route("/orders/{order_id}", get(show_order::<B>))
        .route("/orders/{order_id}/items", post(add_item::<B>))
        .route("/orders/{order_id}/ship", post(ship_order::<B>))
        .merge(operations::router(health))
        .fallback(async || OrderError::UnknownPath)
        .method_not_allowed_fallback(async || OrderError::UnknownMethod)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(TimeoutLayer::with_status_code(StatusCode::SERVICE_UNAVAILABLE, REQUEST_TIME_MAX))
        .layer(map_response(problem::say_it_took_too_long))
        .layer(spans)
        .with_state(orders)
}

/// [`axum::Json`], with this service's answer to a body that is not what it should be.
#[derive(Debug, FromRequest)]
#[from_request(via(axum::Json), rejection(OrderError))]
struct Json<T>(T);

/// [`axum::extract::Path`], likewise.
#[derive(Debug, FromRequestParts)]
#[from_request(via(axum::extract::Path), rejection(OrderError))]
struct Path<T>(T);

/// [`axum::extract::Query`], likewise.
#[derive(Debug, FromRequestParts)]
#[from_request(via(axum::extract::Query), rejection(OrderError))]
struct Query<T>(T);

/// The body of `POST /orders`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PlaceOrder {
    order_id: String,
    customer: Name,
}

/// What a client may say about the order it has seen.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Seen {
    /// The request is refused if the order is at any other version.
    expected_version: Option<u32>,
}

impl Seen {
    fn version(&self) -> Option<Version> {
        self.expected_version.map(Version::from)
    }
}

async fn place_order<B: Backend>(
    State(orders): State<Arc<Orders<B>>>,
    event_id: EventId,
    Json(PlaceOrder { order_id, customer }): Json<PlaceOrder>,
) -> Result<Response, OrderError> {
    let command = Command::Place(OrderPlaced { customer });
    let accepted = orders.place(&order_id, &command, event_id).await?;
    Ok(answer(&orders, accepted, StatusCode::CREATED).await)
}

async fn add_item<B: Backend>(
    State(orders): State<Arc<Orders<B>>>,
    Path(order_id): Path<String>,
    Query(seen): Query<Seen>,
    event_id: EventId,
    Json(item): Json<ItemAdded>,
) -> Result<Response, OrderError> {
    let command = Command::AddItem(item);
    let accepted = orders.change(&order_id, &command, seen.version(), event_id).await?;
    Ok(answer(&orders, accepted, StatusCode::OK).await)
}

async fn ship_order<B: Backend>(
    State(orders): State<Arc<Orders<B>>>,
    Path(order_id): Path<String>,
    Query(seen): Query<Seen>,
    event_id: EventId,
) -> Result<Response, OrderError> {
    let accepted = orders.change(&order_id, &Command::Ship, seen.version(), event_id).await?;
    Ok(answer(&orders, accepted, StatusCode::OK).await)
}

/// Waits for the read model, so that the client finds in it what it has just written. If that takes
/// too long it is told so: the version in the answer is what to look for in `GET /orders/{id}`.
async fn answer<B: Backend>(
    orders: &Orders<B>,
    accepted: Accepted,
    visible: StatusCode,
) -> Response {
    let is_visible = orders.is_visible(&accepted).await;
    let status = if is_visible { visible } else { StatusCode::ACCEPTED };
    (status, axum::Json(accepted)).into_response()
}

async fn show_order<B: Backend>(
    State(orders): State<Arc<Orders<B>>>,
    Path(order_id): Path<String>,
) -> Result<Response, OrderError> {
    let row = orders.backend().summary(&order_id).await.map_err(|error| orders.failed(error))?;
    match row {
        Some(row) => {
            let fresh = [(header::CACHE_CONTROL, "no-store")];
            Ok((fresh, axum::Json(Summary::new(order_id, row))).into_response())
        }
        None => Err(OrderError::Refused(crate::order::Refusal::NotPlaced)),
    }
}

//! Errors as problem details: <https://www.rfc-editor.org/rfc/rfc9457>.

use std::error::Error;

use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tracing::error;

use crate::error::OrderError;
use crate::order::Refusal;

const CONTENT_TYPE: &str = "application/problem+json";

#[derive(Debug, Serialize)]
struct Problem {
    title: &'static str,
    status: u16,
    detail: String,
    /// The version a conflict was met at.
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<i64>,
}

impl IntoResponse for OrderError {
    fn into_response(self) -> Response {
        let status = status_of(&self);
        if status.is_server_error() {
            // The cause may name tables and servers: it goes to the log, not to the client.
            error!(error = &self as &dyn Error, "a request failed");
        }
        let version = match &self {
            OrderError::Conflict { actual } => Some(actual.get()),
            _ => None,
        };
        answer(status, self.to_string(), version)
    }
}

fn answer(status: StatusCode, detail: String, version: Option<i64>) -> Response {
    let title = status.canonical_reason().unwrap_or_default();
    let problem = Problem { title, status: status.as_u16(), detail, version };
    let mut response = (status, axum::Json(problem)).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
    if status == StatusCode::SERVICE_UNAVAILABLE {
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

/// The answer to a request whose time was up is this service's own too.
pub(super) async fn say_it_took_too_long(response: Response) -> Response {
    let is_ours = response.headers().get(header::CONTENT_TYPE).is_some();
    if response.status() != StatusCode::SERVICE_UNAVAILABLE || is_ours {
        return response;
    }
    let detail = "the request took too long: repeat it with its Idempotency-Key";
    answer(StatusCode::SERVICE_UNAVAILABLE, detail.to_owned(), None)
}

fn status_of(error: &OrderError) -> StatusCode {
    match error {
        OrderError::Conflict { .. } => StatusCode::CONFLICT,
        OrderError::Refused(Refusal::NotPlaced)
        | OrderError::UnknownProjection
        | OrderError::UnknownPath => StatusCode::NOT_FOUND,
        OrderError::UnknownMethod => StatusCode::METHOD_NOT_ALLOWED,
        OrderError::Refused(_) | OrderError::KeyReused => StatusCode::UNPROCESSABLE_ENTITY,
        OrderError::EmptyKey | OrderError::InvalidOrderId(_) => StatusCode::BAD_REQUEST,
        OrderError::Malformed { status, .. } => {
            StatusCode::from_u16(*status).unwrap_or(StatusCode::BAD_REQUEST)
        }
        OrderError::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
        OrderError::Database(_) | OrderError::Unreadable(_) | OrderError::Unwritable(_) => {
            StatusCode::INTERNAL_SERVER_ERROR
        }
    }
}

impl From<JsonRejection> for OrderError {
    fn from(rejection: JsonRejection) -> Self {
        let (status, detail) = (rejection.status().as_u16(), rejection.body_text());
        OrderError::Malformed { status, detail }
    }
}

impl From<PathRejection> for OrderError {
    fn from(rejection: PathRejection) -> Self {
        let (status, detail) = (rejection.status().as_u16(), rejection.body_text());
        OrderError::Malformed { status, detail }
    }
}

impl From<QueryRejection> for OrderError {
    fn from(rejection: QueryRejection) -> Self {
        let (status, detail) = (rejection.status().as_u16(), rejection.body_text());
        OrderError::Malformed { status, detail }
    }
}

//! Accepts connections, and limits what a client can do with one before it is a request.
//!
//! `axum::serve` has none of these limits: a client that never ends the head of its request would
//! keep its connection for ever, and nothing would keep it from opening more.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

/// The largest head of a request, in bytes.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// How long nothing is accepted when the process has no descriptor for another connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// What clients may do with their connections.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// How long the head of a request may take, also that of the next request on a connection.
    pub(crate) head_time_max: Duration,
    /// How many connections may be open. Further clients wait until one of them is closed.
    pub(crate) connections_max: NonZeroUsize,
}

/// Serves until told to stop, then answers the requests that have begun.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    limits: Limits,
    stop: CancellationToken,
) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(limits.head_time_max)
        .max_buf_size(HEAD_BYTES_MAX);
    let permits = Arc::new(Semaphore::new(limits.connections_max.get()));
    let connections = GracefulShutdown::new();
    loop {
        let next = async {
            let permit = Arc::clone(&permits).acquire_owned().await;
            (permit, accept(&listener).await)
        };
        let Some((permit, stream)) = stop.run_until_cancelled(next).await else {
            break;
        };
        let service = TowerToHyperService::new(router.clone());
        let connection = http.serve_connection(TokioIo::new(stream), service);
        let connection = connections.watch(connection);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                debug!(error = &error as &dyn std::error::Error, "a connection failed");
            }
            drop(permit);
        });
    }
    // New clients are told at once that nobody is here.
    drop(listener);
    connections.shutdown().await;
}

async fn accept(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                // An answer is not to wait until the client has confirmed the one before.
                let _ = stream.set_nodelay(true);
                return stream;
            }
            Err(error) => {
                warn!(error = &error as &dyn std::error::Error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

//! What a client cannot do: keep a connection without a request, send more than is read, or get an
//! answer that is no problem in JSON.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::process::{Home, Service, order};

/// Within which everything here happens.
const PATIENCE: Duration = Duration::from_secs(20);

/// The largest body that is read.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// What a client sends that never comes to the end of its head.
const HALF_A_REQUEST: &[u8] = b"GET /healthz HTTP/1.1\r\nHost: x\r\n";

async fn connect(service: &Service) -> TcpStream {
    TcpStream::connect(service.address()).await.unwrap()
}

/// All that the service sends until it closes the connection.
async fn until_closed(mut stream: TcpStream) -> String {
    let mut answer = Vec::new();
    let read = timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
    // A connection that is closed while the client sends is reset.
    let _ = read.expect("the connection stays open");
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn half_a_request_does_not_keep_its_connection() {
    let home = Home::on_sqlite();
    let service = home.start(&["--head-time-max", "0.3"]);
    let mut clients = Vec::new();
    for _ in 0..50 {
        let mut client = connect(&service).await;
        client.write_all(HALF_A_REQUEST).await.unwrap();
        clients.push(client);
    }
    // One that has sent nothing, and one that has been answered and keeps its connection.
    clients.push(connect(&service).await);
    let mut answered = connect(&service).await;
    answered.write_all(&[HALF_A_REQUEST, b"\r\n"].concat()).await.unwrap();
    clients.push(answered);
    for client in clients {
        until_closed(client).await;
    }
}

#[tokio::test]
async fn a_head_that_is_sent_byte_by_byte_is_cut_off() {
    let home = Home::on_sqlite();
    let service = home.start(&["--head-time-max", "0.3"]);
    let mut client = connect(&service).await;
    let started = Instant::now();
    while client.write_all(b"G").await.is_ok() {
        assert!(started.elapsed() < PATIENCE, "it is still read");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn further_clients_wait_until_a_connection_is_closed() {
    let home = Home::on_sqlite();
    let service = home.start(&["--connections-max", "2", "--head-time-max", "20"]);
    let (one, other) = (connect(&service).await, connect(&service).await);
    let mut third = connect(&service).await;
    third.write_all(&[HALF_A_REQUEST, b"\r\n"].concat()).await.unwrap();
    let mut answer = [0; 15];
    let early = timeout(Duration::from_millis(300), third.read_exact(&mut answer)).await;
    assert!(early.is_err(), "{}", String::from_utf8_lossy(&answer));
    drop(one);
    timeout(PATIENCE, third.read_exact(&mut answer)).await.unwrap().unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200 OK");
    drop(other);
}

#[tokio::test]
async fn a_stop_does_not_wait_for_half_a_request() {
    let home = Home::on_sqlite();
    let service = home.start(&["--head-time-max", "0.3"]);
    let mut client = connect(&service).await;
    client.write_all(HALF_A_REQUEST).await.unwrap();
    service.signal("TERM");
    assert_eq!(service.ended().await.code(), Some(0));
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused() {
    let home = Home::on_sqlite();
    let service = home.start(&["--head-time-max", "0.5"]);
    let mut client = connect(&service).await;
    // A byte more than is read, so that none is left over to reset the connection.
    let body = vec![b' '; BODY_BYTES_MAX + 1];
    let length = format!("Content-Length: {}\r\n\r\n", body.len());
    let head = "POST /orders HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n";
    let request = [head.as_bytes(), length.as_bytes(), &body].concat();
    client.write_all(&request).await.unwrap();
    let answer = until_closed(client).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    assert!(answer.contains("application/problem+json"), "{answer}");
    assert!(answer.contains("\"status\":413"), "{answer}");
}

#[tokio::test]
async fn every_refusal_is_a_problem_in_json() {
    let home = Home::on_sqlite();
    let service = home.start(&[]);
    service.post("/orders", &order("1")).await.expect(201);
    let is_problem = |problem: Value, status: u16| {
        assert_eq!(problem["status"], status, "{problem}");
        assert!(problem["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{problem}");
    };
    for path in ["/orders/%ff", "/orders/1/items?expected_version=%ff"] {
        let answer = match path {
            "/orders/%ff" => service.get(path).await,
            path => service.post(path, &json!({})).await,
        };
        is_problem(answer.expect(400), 400);
    }
    for path in ["/orders/%ff/ship", "/orders/%ff/items", "/projections/%ff/pause"] {
        is_problem(service.post(path, &Value::Null).await.expect(400), 400);
    }
    for path in ["/", "/orders/1/nothing", "/orders/"] {
        is_problem(service.get(path).await.expect(404), 404);
    }
    for path in ["/orders", "/orders/1/ship"] {
        is_problem(service.get(path).await.expect(405), 405);
    }
    is_problem(service.post("/healthz", &Value::Null).await.expect(405), 405);
}

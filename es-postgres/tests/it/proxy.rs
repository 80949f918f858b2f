//! A proxy that counts what a client sends: statements and round trips, seen on the wire.
//!
//! It reads the frontend half of the protocol,
//! <https://www.postgresql.org/docs/current/protocol-message-formats.html>.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use es_postgres::sqlx::postgres::PgConnectOptions;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

/// Listens on a free port and passes everything on to the server.
pub(crate) struct Proxy {
    address: SocketAddr,
    counts: Arc<Mutex<Counts>>,
    swallows: Arc<AtomicBool>,
}

/// What clients have sent since the last [`Proxy::take`].
#[derive(Debug, Default, Clone)]
pub(crate) struct Counts {
    /// Each ends a round trip: a `Sync`, or a `Query` of the simple protocol.
    pub(crate) round_trips: usize,
    /// Executions, by the text of the statement.
    pub(crate) executed: HashMap<String, usize>,
}

impl Proxy {
    pub(crate) async fn start(server: &PgConnectOptions) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let server = format!("{}:{}", server.get_host(), server.get_port());
        let counts = Arc::<Mutex<Counts>>::default();
        let shared = Arc::clone(&counts);
        let swallows = Arc::<AtomicBool>::default();
        let swallowing = Arc::clone(&swallows);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(&server).await.expect("the server accepts");
                let (mut from_server, to_server) = server.into_split();
                let (from_client, mut to_client) = client.into_split();
                let (shared, swallowing) = (Arc::clone(&shared), Arc::clone(&swallowing));
                tokio::spawn(count(from_client, to_server, shared, swallowing));
                tokio::spawn(async move { copy(&mut from_server, &mut to_client).await });
            }
        });
        Proxy { address, counts, swallows }
    }

    /// From now on nothing that a client sends arrives, and no connection is closed.
    pub(crate) fn swallow(&self) {
        self.swallows.store(true, Ordering::Relaxed);
    }

    /// The same server and database, through the proxy.
    pub(crate) fn options(&self, server: PgConnectOptions) -> PgConnectOptions {
        let host = self.address.ip().to_string();
        let ssl = es_postgres::sqlx::postgres::PgSslMode::Disable;
        server.host(&host).port(self.address.port()).ssl_mode(ssl)
    }

    /// What was sent since the last call.
    pub(crate) fn take(&self) -> Counts {
        std::mem::take(&mut *self.counts.lock().expect("no panic while it is held"))
    }
}

/// Passes the client's messages on, one by one. Ends when either side does.
async fn count(
    mut client: OwnedReadHalf,
    mut server: OwnedWriteHalf,
    counts: Arc<Mutex<Counts>>,
    swallows: Arc<AtomicBool>,
) -> std::io::Result<()> {
    let mut statements = HashMap::<String, String>::new();
    let startup = client.read_u32().await?;
    pass_on(&mut client, &mut server, None, startup).await?;
    loop {
        let kind = client.read_u8().await?;
        if swallows.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
        let length = client.read_u32().await?;
        let body = pass_on(&mut client, &mut server, Some(kind), length).await?;
        let mut texts = body.split(|byte| *byte == 0).map(String::from_utf8_lossy);
        let (first, second) = (texts.next().unwrap_or_default(), texts.next().unwrap_or_default());
        let mut counts = counts.lock().expect("no panic while it is held");
        match kind {
            b'P' => {
                statements.insert(first.into_owned(), second.into_owned());
            }
            b'B' => {
                let text = statements.get(&*second).cloned().unwrap_or_default();
                *counts.executed.entry(text).or_default() += 1;
            }
            b'Q' => {
                *counts.executed.entry(first.into_owned()).or_default() += 1;
                counts.round_trips += 1;
            }
            b'S' => counts.round_trips += 1,
            _ => {}
        }
    }
}

async fn pass_on(
    client: &mut OwnedReadHalf,
    server: &mut OwnedWriteHalf,
    kind: Option<u8>,
    length: u32,
) -> std::io::Result<Vec<u8>> {
    let mut body = vec![0; usize::try_from(length).expect("a length") - 4];
    client.read_exact(&mut body).await?;
    let mut message: Vec<u8> = kind.into_iter().chain(length.to_be_bytes()).collect();
    message.extend_from_slice(&body);
    server.write_all(&message).await?;
    Ok(body)
}

//! A proxy before a server that counts what the server sends.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// How much is passed on at a time.
const BUFFER_BYTES: usize = 64 * 1024;

/// Listens on a port of its own until the program ends.
pub(crate) struct Proxy {
    /// Where it listens.
    pub(crate) port: u16,
    sent: Arc<AtomicU64>,
}

impl Proxy {
    /// Begins to pass connections on to a server on this machine.
    pub(crate) async fn start(server_port: u16) -> anyhow::Result<Proxy> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let sent = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&sent);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Ok(server) = TcpStream::connect(("127.0.0.1", server_port)).await else {
                    return;
                };
                pass_on(client, server, Arc::clone(&counter));
            }
        });
        Ok(Proxy { port, sent })
    }

    /// The bytes the server has sent since this was last asked.
    pub(crate) fn take(&self) -> u64 {
        self.sent.swap(0, Ordering::Relaxed)
    }
}

fn pass_on(client: TcpStream, server: TcpStream, sent: Arc<AtomicU64>) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_server).await });
    tokio::spawn(async move {
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            let count = from_server.read(&mut buffer).await?;
            if count == 0 {
                return to_client.shutdown().await;
            }
            sent.fetch_add(count as u64, Ordering::Relaxed);
            to_client.write_all(&buffer[..count]).await?;
        }
    });
}

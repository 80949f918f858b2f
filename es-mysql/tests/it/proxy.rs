//! A proxy that counts what a client sends: commands, each of which is a round trip.
//!
//! It reads the client's half of the protocol,
//! <https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_basic_packets.html>.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use es_mysql::sqlx::mysql::{MySqlConnectOptions, MySqlSslMode};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

const COM_QUIT: u8 = 0x01;
const COM_QUERY: u8 = 0x03;
const COM_STMT_PREPARE: u8 = 0x16;
const COM_STMT_EXECUTE: u8 = 0x17;
/// Closes a statement; the server does not answer.
const COM_STMT_CLOSE: u8 = 0x19;

/// Listens on a free port and passes everything on to the server.
pub(crate) struct Proxy {
    address: SocketAddr,
    commands: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    pub(crate) async fn start(server: &MySqlConnectOptions) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let server = format!("{}:{}", server.get_host(), server.get_port());
        let commands = Arc::<Mutex<Vec<String>>>::default();
        let shared = Arc::clone(&commands);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(&server).await.expect("the server accepts");
                let (mut from_server, to_server) = server.into_split();
                let (from_client, mut to_client) = client.into_split();
                tokio::spawn(watch(from_client, to_server, Arc::clone(&shared)));
                tokio::spawn(async move { copy(&mut from_server, &mut to_client).await });
            }
        });
        Proxy { address, commands }
    }

    /// The same server and database, through the proxy.
    pub(crate) fn options(&self, server: MySqlConnectOptions) -> MySqlConnectOptions {
        let host = self.address.ip().to_string();
        server.host(&host).port(self.address.port()).ssl_mode(MySqlSslMode::Disabled)
    }

    /// The commands since the last call.
    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.commands.lock().expect("no panic while it is held"))
    }
}

/// Passes the client's packets on, one by one. Ends when either side does.
async fn watch(
    mut client: OwnedReadHalf,
    mut server: OwnedWriteHalf,
    commands: Arc<Mutex<Vec<String>>>,
) -> std::io::Result<()> {
    loop {
        let mut header = [0; 4];
        client.read_exact(&mut header).await?;
        let [low, middle, high, sequence] = header;
        let mut body =
            vec![0; usize::from(low) | usize::from(middle) << 8 | usize::from(high) << 16];
        client.read_exact(&mut body).await?;
        server.write_all(&header).await?;
        server.write_all(&body).await?;
        // Only a command begins a sequence.
        if let (0, Some((&command, rest))) = (sequence, body.split_first()) {
            let text = String::from_utf8_lossy(rest);
            let name = match command {
                COM_QUIT | COM_STMT_CLOSE => continue,
                COM_QUERY => format!("query: {text}"),
                COM_STMT_PREPARE => format!("prepare: {text}"),
                COM_STMT_EXECUTE => "execute".to_owned(),
                other => format!("command {other}"),
            };
            commands.lock().expect("no panic while it is held").push(name);
        }
    }
}

//! A proxy between a worker and the server that can fall silent, as a network does: nobody is told.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context;
use tokio::io::{AsyncReadExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// How long both sides of a silent connection are kept open: longer than anybody may wait for them.
const SILENCE_MAX: Duration = Duration::from_secs(12);

/// The port of a server of this machine, in front of it a port of our own. Dropped, it closes all.
#[derive(Debug)]
pub(super) struct Proxy {
    port: u16,
    state: Arc<State>,
    _tasks: JoinSet<()>,
}

#[derive(Debug)]
struct State {
    server: SocketAddr,
    /// How many connections there were.
    count: AtomicU64,
    /// The connections up to this one are silent.
    silent: watch::Sender<u64>,
    is_mute: AtomicBool,
}

impl Proxy {
    pub(super) async fn start(server: SocketAddr) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
        let listener = listener.context("no free port for a proxy")?;
        let port = listener.local_addr()?.port();
        let state = Arc::new(State {
            server,
            count: AtomicU64::new(0),
            silent: watch::Sender::new(0),
            is_mute: AtomicBool::new(false),
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, Arc::clone(&state)));
        Ok(Proxy { port, state, _tasks: tasks })
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// From now on, whatever is sent on the connections there are gets lost.
    pub(super) fn silence(&self) {
        self.state.silent.send_replace(self.state.count.load(Ordering::SeqCst));
    }

    /// Whether new connections are accepted and never answered.
    pub(super) fn set_mute(&self, is_mute: bool) {
        self.state.is_mute.store(is_mute, Ordering::SeqCst);
    }
}

async fn accept(listener: TcpListener, state: Arc<State>) {
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((client, _)) => {
                let number = state.count.fetch_add(1, Ordering::SeqCst) + 1;
                connections.spawn(serve(client, number, Arc::clone(&state)));
            }
            Err(error) => {
                tracing::warn!("a proxy cannot accept: {error}");
                sleep(Duration::from_millis(10)).await;
            }
        }
    }
}

async fn serve(mut client: TcpStream, number: u64, state: Arc<State>) {
    if state.is_mute.load(Ordering::SeqCst) {
        return swallow(client).await;
    }
    // A client of a server that is not there is told by the end of its connection.
    let Ok(mut server) = TcpStream::connect(state.server).await else {
        return;
    };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let mut silent = state.silent.subscribe();
    let silenced = async {
        let _ = silent.wait_for(|silent| *silent >= number).await;
    };
    tokio::select! {
        _ = copy_bidirectional(&mut client, &mut server) => {}
        () = silenced => {
            // The server hears nothing, not even that its client gives up.
            swallow(client).await;
            drop(server);
        }
    }
}

/// Reads what a client sends, never answers, and stays for a while although the client leaves.
async fn swallow(mut client: TcpStream) {
    let mut nothing = [0; 4096];
    let read = async { while client.read(&mut nothing).await.is_ok_and(|count| count > 0) {} };
    let both = async {
        read.await;
        std::future::pending::<()>().await;
    };
    let _ = timeout(SILENCE_MAX, both).await;
}

/// Where the server of a URL is.
pub(super) async fn server_of(url: &str) -> anyhow::Result<SocketAddr> {
    let authority = authority(url).context("the URL has no server")?;
    let mut found = tokio::net::lookup_host(authority).await.context("cannot find the server")?;
    found.next().context("the server has no address")
}

/// The URL with another server: `port` on this machine.
pub(super) fn through(url: &str, port: u16) -> anyhow::Result<String> {
    let authority = authority(url).context("the URL has no server")?;
    Ok(url.replacen(authority, &format!("127.0.0.1:{port}"), 1))
}

/// `HOST:PORT` of a URL.
fn authority(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    let rest = rest.split(['/', '?']).next()?;
    let authority = rest.rsplit_once('@').map_or(rest, |(_, authority)| authority);
    Some(authority).filter(|authority| authority.contains(':'))
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    async fn echo() -> SocketAddr {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut read, mut write) = client.split();
                    tokio::io::copy(&mut read, &mut write).await
                });
            }
        });
        address
    }

    async fn answers(stream: &mut TcpStream) -> bool {
        stream.write_all(b"?").await.expect("it is open");
        let mut answer = [0];
        let read = timeout(Duration::from_millis(300), stream.read_exact(&mut answer)).await;
        matches!(read, Ok(Ok(_)))
    }

    async fn connect(proxy: &Proxy) -> TcpStream {
        TcpStream::connect((Ipv4Addr::LOCALHOST, proxy.port())).await.expect("it listens")
    }

    #[tokio::test]
    async fn old_connections_fall_silent_and_new_ones_work() {
        let proxy = Proxy::start(echo().await).await.expect("a free port");
        let mut old = connect(&proxy).await;
        assert!(answers(&mut old).await);
        proxy.silence();
        assert!(!answers(&mut old).await);
        assert!(answers(&mut connect(&proxy).await).await);
    }

    #[tokio::test]
    async fn a_mute_proxy_accepts_and_does_not_answer() {
        let proxy = Proxy::start(echo().await).await.expect("a free port");
        proxy.set_mute(true);
        assert!(!answers(&mut connect(&proxy).await).await);
        proxy.set_mute(false);
        assert!(answers(&mut connect(&proxy).await).await);
    }

    #[test]
    fn a_url_goes_through_a_port() {
        let through = |url| through(url, 7).expect("it has a server");
        assert_eq!(through("postgres://a@127.0.0.1:5432/es"), "postgres://a@127.0.0.1:7/es");
        assert_eq!(through("mysql://root@[::1]:3306/es?x=y"), "mysql://root@127.0.0.1:7/es?x=y");
        assert!(super::through("sqlite://file", 7).is_err());
    }
}

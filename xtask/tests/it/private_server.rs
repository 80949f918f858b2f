//! Servers of our own: they answer, and whatever happens nothing is left of them.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long a server may take to stop.
const STOP_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a server that speaks first may take to do so.
const GREETING_TIMEOUT: Duration = Duration::from_secs(5);

#[test]
fn a_private_postgres_ends_with_the_command_it_was_started_for() {
    end_with_the_command(Server::Postgres);
}

#[test]
fn a_private_mariadb_ends_with_the_command_it_was_started_for() {
    end_with_the_command(Server::MariaDb);
}

fn end_with_the_command(server: Server) {
    let mut run = Run::start(server);
    assert!(run.answers());
    assert!(run.directory.is_dir());
    assert_ne!(run.processes(), 0);

    drop(run.xtask.stdin.take());
    assert!(run.xtask.wait().unwrap().success());
    assert!(!run.answers());
    assert!(!run.directory.exists());
    run.expect_nothing_left();
}

#[test]
fn a_private_postgres_ends_when_its_starter_is_killed() {
    end_when_the_starter_is_killed(Server::Postgres);
}

#[test]
fn a_private_mariadb_ends_when_its_starter_is_killed() {
    end_when_the_starter_is_killed(Server::MariaDb);
}

fn end_when_the_starter_is_killed(server: Server) {
    let mut run = Run::start(server);
    run.xtask.kill().unwrap();
    run.xtask.wait().unwrap();
    run.expect_nothing_left();
}

#[test]
fn a_directory_without_programs_is_an_error_that_names_it() {
    let empty = tempfile::tempdir().unwrap();
    let mut xtask = xtask();
    xtask.args(["db", "run", "--postgres-bin"]).arg(empty.path()).args(["--", "true"]);
    let output = xtask.output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.contains(empty.path().to_str().unwrap()), "{said}");
}

#[test]
fn an_isolation_level_that_nothing_would_use_is_an_error() {
    let mut xtask = xtask();
    xtask.args(["stress", "--database", "postgres", "--isolation", "read-committed"]);
    let output = xtask.output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.starts_with("error: --isolation is for --database mysql"), "{said}");
}

/// The kinds of servers.
#[derive(Debug, Clone, Copy)]
enum Server {
    Postgres,
    MariaDb,
}

impl Server {
    fn database(self) -> &'static str {
        match self {
            Server::Postgres => "postgres",
            Server::MariaDb => "mysql",
        }
    }

    fn variable(self) -> &'static str {
        match self {
            Server::Postgres => "ES_POSTGRES_URL",
            Server::MariaDb => "ES_MYSQL_URL",
        }
    }

    /// Whether it is such a server that answers on `port`.
    fn answers(self, port: u16) -> bool {
        let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else {
            return false;
        };
        match self {
            Server::Postgres => speaks_postgres(&mut stream),
            Server::MariaDb => greets_as_mariadb(&mut stream),
        }
    }
}

/// Asks whether the server speaks TLS.
fn speaks_postgres(stream: &mut TcpStream) -> bool {
    let [length, request] = [8_u32, 80_877_103].map(u32::to_be_bytes);
    let mut answer = [0];
    let asked = stream.write_all(&[length, request].concat());
    asked.and_then(|()| stream.read_exact(&mut answer)).is_ok() && b"SN".contains(&answer[0])
}

/// Reads the version of the protocol, behind the length and number of the packet.
fn greets_as_mariadb(stream: &mut TcpStream) -> bool {
    let mut greeting = [0; 5];
    let patient = stream.set_read_timeout(Some(GREETING_TIMEOUT));
    patient.and_then(|()| stream.read_exact(&mut greeting)).is_ok() && greeting[4] == 10
}

/// `xtask db run`, with a command that lasts until its standard input ends.
struct Run {
    xtask: Child,
    /// Kept, as a program that cannot say something may fail.
    _said: BufReader<ChildStderr>,
    server: Server,
    port: u16,
    directory: PathBuf,
}

impl Run {
    fn start(server: Server) -> Run {
        let mut xtask = xtask()
            .args(["db", "run", "--database", server.database()])
            .args(["--", "sh", "-c", &format!("echo ${} && exec cat", server.variable())])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(xtask.stderr.take().unwrap());
        let (mut url, mut starting) = (String::new(), String::new());
        BufReader::new(xtask.stdout.take().unwrap()).read_line(&mut url).unwrap();
        said.read_line(&mut starting).unwrap();
        let Some((_, authority)) = url.split_once('@') else {
            said.read_to_string(&mut starting).unwrap();
            panic!("no URL; {starting}");
        };
        let (_, port) = authority.split_once(':').unwrap();
        let (port, _) = port.split_once('/').unwrap();
        let (_, directory) = starting.trim().split_once("files in ").unwrap();
        let (port, directory) = (port.parse().unwrap(), PathBuf::from(directory));
        Run { xtask, _said: said, server, port, directory }
    }

    fn expect_nothing_left(&self) {
        let stopped = Instant::now();
        while self.answers() || self.directory.exists() || self.processes() > 0 {
            assert!(
                stopped.elapsed() < STOP_TIMEOUT,
                "{} is still there",
                self.directory.display()
            );
            sleep(Duration::from_millis(20));
        }
    }

    fn answers(&self) -> bool {
        self.server.answers(self.port)
    }

    /// How many processes were started with the server's directory as an argument.
    fn processes(&self) -> usize {
        let Ok(processes) = Path::new("/proc").read_dir() else {
            return usize::from(self.answers());
        };
        let directory = self.directory.to_str().unwrap();
        let commands =
            processes.filter_map(|process| fs::read(process.ok()?.path().join("cmdline")).ok());
        commands.filter(|command| String::from_utf8_lossy(command).contains(directory)).count()
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        self.xtask.kill().ok();
        self.xtask.wait().ok();
    }
}

fn xtask() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    command.env_remove("ES_POSTGRES_URL").env_remove("ES_MYSQL_URL");
    command
}

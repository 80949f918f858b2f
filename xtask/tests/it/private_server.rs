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

#[test]
fn a_server_ends_with_the_command_it_was_started_for() {
    let mut run = Run::start();
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
fn a_server_ends_when_its_starter_is_killed() {
    let mut run = Run::start();
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

/// `xtask db run`, with a command that lasts until its standard input ends.
struct Run {
    xtask: Child,
    /// Kept, as a program that cannot say something may fail.
    _said: BufReader<ChildStderr>,
    port: u16,
    directory: PathBuf,
}

impl Run {
    fn start() -> Run {
        let mut xtask = xtask()
            .args(["db", "run", "--", "sh", "-c", "echo $ES_POSTGRES_URL && exec cat"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(xtask.stderr.take().unwrap());
        let (mut url, mut starting) = (String::new(), String::new());
        BufReader::new(xtask.stdout.take().unwrap()).read_line(&mut url).unwrap();
        said.read_line(&mut starting).unwrap();
        let (_, authority) = url.split_once('@').unwrap_or_else(|| panic!("no URL; {starting}"));
        let (_, port) = authority.split_once(':').unwrap();
        let (port, _) = port.split_once('/').unwrap();
        let (_, directory) = starting.trim().split_once("files in ").unwrap();
        let (port, directory) = (port.parse().unwrap(), PathBuf::from(directory));
        Run { xtask, _said: said, port, directory }
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

    /// Whether PostgreSQL answers, by asking it whether it speaks TLS.
    fn answers(&self) -> bool {
        let Ok(mut stream) = TcpStream::connect(("127.0.0.1", self.port)) else {
            return false;
        };
        let [length, request] = [8_u32, 80_877_103].map(u32::to_be_bytes);
        let mut answer = [0];
        let asked = stream.write_all(&[length, request].concat());
        asked.and_then(|()| stream.read_exact(&mut answer)).is_ok() && b"SN".contains(&answer[0])
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
    command.env_remove("ES_POSTGRES_URL");
    command
}

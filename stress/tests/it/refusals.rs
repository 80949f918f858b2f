//! What the program refuses before it touches a database.

use std::process::Command;

#[test]
fn an_isolation_level_that_nothing_would_use_is_an_error() {
    for url in ["sqlite://stress.db", "postgres://nobody@127.0.0.1:1/none"] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_stress"));
        command.args(["--database-url", url, "--isolation", "repeatable-read"]);
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.starts_with("error: --isolation is for MySQL"), "{said}");
    }
}

//! The README's example, run.

use std::process::Command;

#[test]
fn the_quickstart_runs() {
    let output = Command::new(env!("CARGO_BIN_EXE_quickstart")).output().expect("it starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "revenue: 4200\n");
}

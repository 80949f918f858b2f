//! The programs in `examples/`, run as a reader runs them.

use std::process::Command;

fn printed_by(example: &str) -> String {
    let output = Command::new(env!("CARGO"))
        .args(["run", "--quiet", "--offline", "--example", example])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn the_quickstart_runs() {
    assert_eq!(printed_by("quickstart"), "revenue: 4200\n");
}

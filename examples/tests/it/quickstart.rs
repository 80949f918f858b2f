//! The README's example, run.

use std::process::Command;

#[test]
fn the_quickstart_runs() {
    let output = Command::new(env!("CARGO_BIN_EXE_quickstart")).output().expect("it starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "revenue: 4200\n");
}

/// What the README shows is what is compiled and run.
#[test]
fn the_readme_shows_the_quickstart() {
    let readme = include_str!("../../../README.md");
    let program = squeeze(include_str!("../../quickstart.rs"));
    let block = readme.split("```rust").nth(1).and_then(|rest| rest.split("```").next());
    let shown = block.expect("a block of Rust").lines().filter(|line| !line.trim().is_empty());
    // The README goes on until it is stopped, where the program returns when it has caught up.
    let only_in_the_readme = ["Processor::new(source, Arc::new(Revenue)).run(shutdown).await?;"];
    for line in shown.filter(|line| !only_in_the_readme.contains(&line.trim())) {
        let code = line.split(" //").next().unwrap_or(line);
        assert!(program.contains(&squeeze(code)), "not in quickstart.rs: {line}");
    }
}

fn squeeze(code: &str) -> String {
    code.split_whitespace().collect::<String>().replace(",)", ")")
}

//! Every block of Rust in the documents is a part of a program that is compiled and run here.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What the blocks are parts of.
const PROGRAMS: [&str; 2] =
    [include_str!("../../../es-sqlite/examples/quickstart.rs"), include_str!("snippets.rs")];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The README and the chapters of the guide.
fn documents() -> Vec<(PathBuf, String)> {
    let chapters = fs::read_dir(root().join("docs/guide/src")).expect("the guide's chapters");
    let chapters = chapters.map(|entry| entry.expect("a chapter").path());
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).expect("a text");
        (path, text)
    };
    std::iter::once(root().join("README.md")).chain(chapters).map(read).collect()
}

/// The blocks whose fence names `language`.
fn blocks(text: &str, language: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let Some(found) = line.strip_prefix("```").filter(|found| !found.is_empty()) else {
            continue;
        };
        let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
        if found.split(',').next() == Some(language) {
            blocks.push(block.join("\n"));
        }
    }
    blocks
}

fn squeeze(code: &str) -> String {
    code.split_whitespace().collect()
}

#[test]
fn every_block_of_rust_is_part_of_a_program_that_runs() {
    let mut count = 0;
    for (path, text) in documents() {
        for block in blocks(&text, "rust") {
            let is_shown =
                PROGRAMS.iter().any(|program| squeeze(program).contains(&squeeze(&block)));
            assert!(is_shown, "{}: not compiled anywhere:\n{block}", path.display());
            count += 1;
        }
        // A fence of another spelling would not be looked at.
        assert_eq!(
            blocks(&text, "rs").len() + text.matches("~~~").count(),
            0,
            "{}",
            path.display()
        );
    }
    assert!(count >= 4, "{count} blocks");
}

/// A crate made of the README's lines, in which nothing else of this workspace is.
#[test]
fn the_readmes_lines_and_its_program_make_a_crate_that_runs() {
    let readme = fs::read_to_string(root().join("README.md")).expect("the README");
    let dependencies = blocks(&readme, "toml").remove(0);
    let root = root().canonicalize().expect("the workspace");
    let dependencies = dependencies.replace("../event-store", &root.display().to_string());
    let directory = tempfile::tempdir().expect("a directory");
    let package = "[package]\nname = \"fresh\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n";
    let write = |name: &str, text: &str| {
        fs::write(directory.path().join(name), text).expect("it can be written");
    };
    fs::create_dir(directory.path().join("src")).expect("a directory");
    // With the profile of this workspace, what it has built already need not be built again.
    let shared = "[profile.dev]\ndebug = \"line-tables-only\"\n\n[workspace]\n";
    write("Cargo.toml", &format!("{package}{dependencies}\n\n{shared}"));
    write("src/main.rs", &blocks(&readme, "rust").remove(0));
    fs::copy(root.join("Cargo.lock"), directory.path().join("Cargo.lock")).expect("copied");
    let output = Command::new(env!("CARGO"))
        .args(["run", "--quiet", "--offline", "--target-dir"])
        .args(Path::new(env!("CARGO_BIN_EXE_service")).ancestors().nth(2))
        .current_dir(directory.path())
        .output()
        .expect("cargo starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "revenue: 4200\n");
}

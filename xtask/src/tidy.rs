//! The house rules that rustfmt and clippy do not know.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use crate::{bench, workspace};

/// The longest Rust file, in lines.
const LINES_MAX: usize = 500;

/// What never stands in finished code. Put together so that this file does not contain them.
const UNFINISHED: [&str; 4] = [
    concat!("todo", "!("),
    concat!("unimplemented", "!("),
    concat!("#[", "ignore"),
    concat!("dbg", "!("),
];

/// Words that a reader stumbles over, and what to write instead. Put together likewise.
const STUMBLES: [(&str, &str); 3] = [
    (concat!("an", "ew"), "again"),
    (concat!("dear", "er"), "costs more"),
    (concat!("who", "ever"), "who, or the one that"),
];

/// What the crates that every adapter shares must not know.
const DATABASES: [&str; 5] = ["sqlx", "sqlite", "postgres", "mysql", "mariadb"];

/// Marks SQL that is not a literal as safe.
const ASSERT_SQL_SAFE: &str = concat!("Assert", "SqlSafe");

/// Checks every file of the workspace and lists what is wrong.
pub(crate) fn run() -> anyhow::Result<()> {
    let root = workspace::root()?;
    let mut complaints = Vec::new();
    let mut count = 0;
    let mut code = String::new();
    for path in files(&root)? {
        let Some(check) = check_for(&path) else {
            continue;
        };
        let text = std::fs::read_to_string(root.join(&path))
            .with_context(|| format!("cannot read {}", path.display()))?;
        count += 1;
        if path.extension().is_some_and(|extension| extension == "rs") {
            code.push_str(&text);
        }
        complaints.extend(
            check(&path, &text).iter().map(|complaint| format!("{}: {complaint}", path.display())),
        );
    }
    let architecture = std::fs::read_to_string(root.join("ARCHITECTURE.md"))
        .context("cannot read ARCHITECTURE.md")?;
    let missing = missing_tests(&architecture, &code);
    complaints.extend(missing.map(|test| format!("ARCHITECTURE.md: there is no test `{test}`")));
    if complaints.is_empty() {
        eprintln!("{count} files are tidy");
        return Ok(());
    }
    bail!("{} complaints:\n{}", complaints.len(), complaints.join("\n"));
}

/// The tests that hold the invariants, as the table of the architecture names them, and that are not
/// in the code.
fn missing_tests<'a>(architecture: &'a str, code: &'a str) -> impl Iterator<Item = &'a str> {
    let (_, invariants) = architecture.split_once("## What always holds").unwrap_or_default();
    let rows = invariants.lines().filter(|line| line.starts_with("| "));
    let held_by = rows.filter_map(|row| row.trim_end_matches([' ', '|']).rsplit(" | ").next());
    let names = held_by.flat_map(|cell| cell.split('`').skip(1).step_by(2));
    let is_a_test = |name: &&str| name.chars().all(|char| char.is_ascii_lowercase() || char == '_');
    let is_missing =
        |name: &&str| !["(", "<"].iter().any(|next| code.contains(&format!("fn {name}{next}")));
    names.filter(is_a_test).filter(|name| *name != "tidy").filter(is_missing)
}

type Check = fn(&Path, &str) -> Vec<String>;

fn check_for(path: &Path) -> Option<Check> {
    let extension = path.extension().and_then(|extension| extension.to_str());
    match extension {
        Some("rs") => Some(check_rust),
        Some("sql") if has_component(path, "sql") => Some(check_sql),
        Some("md") => Some(check_prose),
        _ if path.file_name().is_some_and(|name| name == "Cargo.toml") => Some(check_manifest),
        _ => None,
    }
}

fn check_prose(_: &Path, text: &str) -> Vec<String> {
    let complaints = text.lines().zip(1..).flat_map(|(line, number)| {
        let words = line.split(|char: char| !char.is_alphanumeric());
        let found = words.filter_map(|word| {
            STUMBLES.iter().find(|(stumble, _)| word.eq_ignore_ascii_case(stumble))
        });
        found.map(move |(word, instead)| format!("line {number}: not `{word}` but `{instead}`"))
    });
    complaints.collect()
}

fn check_rust(path: &Path, text: &str) -> Vec<String> {
    let mut complaints = check_prose(path, text);
    if path.file_name().is_some_and(|name| name == "mod.rs") {
        complaints.push("name the file after its module, beside the directory".to_owned());
    }
    if !text.starts_with("//! ") {
        complaints.push("begin with a `//!` sentence".to_owned());
    }
    let lines = text.lines().count();
    if lines > LINES_MAX {
        complaints.push(format!("{lines} lines, {LINES_MAX} at most: split it"));
    }
    for (index, line) in text.lines().enumerate() {
        let found = UNFINISHED.iter().filter(|unfinished| line.contains(**unfinished));
        complaints.extend(found.map(|found| format!("line {}: `{found}`", index + 1)));
    }
    let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    if code.clone().any(|line| line.contains(ASSERT_SQL_SAFE)) && !may_assert_sql_safe(path) {
        complaints.push(format!("{ASSERT_SQL_SAFE} belongs in sql.rs"));
    }
    if ["es/src", "projection/src"].iter().any(|generic| path.starts_with(generic)) {
        let code = code.map(str::to_lowercase).collect::<String>();
        let named = DATABASES.iter().filter(|name| code.contains(**name));
        complaints.extend(named.map(|name| format!("it names `{name}`: only adapters may")));
    }
    complaints
}

fn may_assert_sql_safe(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name == "sql.rs")
        || has_component(path, "tests")
        || has_component(path, "examples")
        || ["benchmarks", "stress", "xtask"].iter().any(|top| path.starts_with(top))
}

fn check_sql(path: &Path, text: &str) -> Vec<String> {
    let mut complaints = check_prose(path, text);
    if !text.starts_with("--") {
        complaints.push("begin with a `--` comment that says what it is for".to_owned());
    }
    complaints
}

fn check_manifest(path: &Path, text: &str) -> Vec<String> {
    let mut complaints = Vec::new();
    let mut lines = text.lines().map(str::trim);
    if path == Path::new(bench::MANIFEST) {
        // A workspace of its own inherits nothing.
        for table in ["[lints.rust]", "[lints.clippy]"] {
            if !lines.clone().any(|line| line == table) {
                complaints.push(format!("write the lints of the other workspace: `{table}`"));
            }
        }
        return complaints;
    }
    let is_package = lines.clone().any(|line| line == "[package]");
    let inherits = lines.any(|line| line == "[lints]") && lines.next() == Some("workspace = true");
    if is_package && !inherits {
        complaints.push("inherit the lints: `[lints]`, `workspace = true`".to_owned());
    }
    complaints
}

fn has_component(path: &Path, name: &str) -> bool {
    path.components().any(|component| component.as_os_str() == name)
}

/// Every file below `root` but those cargo or git keep, relative to it and sorted.
fn files(root: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut directories = vec![root.to_owned()];
    while let Some(directory) = directories.pop() {
        let entries =
            directory.read_dir().with_context(|| format!("cannot read {}", directory.display()))?;
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name();
            let is_directory = entry.file_type()?.is_dir();
            if is_directory && name != "target" && !name.as_encoded_bytes().starts_with(b".") {
                directories.push(entry.path());
            } else if !is_directory {
                files.push(entry.path().strip_prefix(root)?.to_owned());
            }
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaints(path: &str, text: &str) -> usize {
        let path = Path::new(path);
        check_for(path).map_or(0, |check| check(path, text).len())
    }

    #[test]
    fn a_tidy_file_has_no_complaints() {
        assert_eq!(complaints("es/src/version.rs", "//! Versions.\n"), 0);
        assert_eq!(complaints("es-sqlite/sql/append.sql", "-- Appends.\nselect 1"), 0);
        assert_eq!(complaints("es/Cargo.toml", "[package]\n\n[lints]\nworkspace = true\n"), 0);
        assert_eq!(complaints("Cargo.toml", "[workspace]\n"), 0);
        assert_eq!(complaints("README.md", "anything"), 0);
    }

    #[test]
    fn a_file_begins_by_saying_what_it_is() {
        assert_eq!(complaints("es/src/version.rs", "use std::fmt;\n"), 1);
        assert_eq!(complaints("es-sqlite/sql/append.sql", "select 1"), 1);
    }

    #[test]
    fn a_file_has_500_lines_at_most() {
        assert_eq!(complaints("es/src/a.rs", &format!("//! A.\n{}", "\n".repeat(499))), 0);
        assert_eq!(complaints("es/src/a.rs", &format!("//! A.\n{}", "\n".repeat(500))), 1);
    }

    #[test]
    fn unfinished_code_is_found() {
        let text = UNFINISHED.map(|unfinished| format!("{unfinished})")).join("\n");
        assert_eq!(complaints("es/src/a.rs", &format!("//! A.\n{text}")), UNFINISHED.len());
    }

    #[test]
    fn words_that_a_reader_stumbles_over_are_found() {
        for (word, _) in STUMBLES {
            let capital = format!("{}{}", word[..1].to_uppercase(), &word[1..]);
            assert_eq!(complaints("README.md", &format!("It is {word}.\n{capital} it is.")), 2);
            assert_eq!(complaints("es/src/a.rs", &format!("//! A.\n/// {word}\n")), 1);
            assert_eq!(complaints("es-sqlite/sql/a.sql", &format!("-- {word}")), 1);
            assert_eq!(complaints("README.md", &format!("un{word}")), 0);
        }
    }

    #[test]
    fn sql_is_asserted_safe_in_few_places() {
        let text = format!("//! A, not {ASSERT_SQL_SAFE}.\n");
        assert_eq!(complaints("es-sqlite/src/lib.rs", &text), 0);
        let text = format!("//! A.\nuse {ASSERT_SQL_SAFE};\n");
        assert_eq!(complaints("es-sqlite/src/store.rs", &text), 1);
        assert_eq!(complaints("es-sqlite/src/sql.rs", &text), 0);
        assert_eq!(complaints("es-sqlite/tests/it/main.rs", &text), 0);
        assert_eq!(complaints("examples/telemetry.rs", &text), 0);
        assert_eq!(complaints("es-sqlite/examples/append.rs", &text), 0);
        assert_eq!(complaints("benchmarks/src/run.rs", &text), 0);
        assert_eq!(complaints("stress/src/run.rs", &text), 0);
    }

    #[test]
    fn the_shared_crates_name_no_database() {
        let code = "//! About MySQL.\nuse sqlx::Error;\n";
        assert_eq!(complaints("es/src/store.rs", code), 1);
        assert_eq!(complaints("es-sqlite/src/store.rs", code), 0);
        assert_eq!(complaints("es/src/store.rs", "//! About MySQL.\n"), 0);
    }

    #[test]
    fn the_tests_that_hold_an_invariant_are_there() {
        let table =
            "`none_here`\n## What always holds\n| it `is_so` | `a_is_b`, `c_is_d` and `x.rs` |\n";
        let missing = |code| missing_tests(table, code).collect::<Vec<_>>();
        assert!(missing("fn a_is_b<T>() {} fn c_is_d() {}").is_empty());
        assert_eq!(missing("fn a_is_bad() {} fn c_is_d() {}"), ["a_is_b"]);
        assert!(!missing("").is_empty());
    }

    #[test]
    fn a_module_is_not_named_mod() {
        assert_eq!(complaints("es/src/memory/mod.rs", "//! A.\n"), 1);
    }

    #[test]
    fn a_crate_inherits_the_lints() {
        assert_eq!(complaints("es/Cargo.toml", "[package]\nname = \"es\"\n"), 1);
    }

    #[test]
    fn the_benchmarks_write_their_lints_themselves() {
        let path = "benchmarks/Cargo.toml";
        assert_eq!(complaints(path, "[package]\n[lints.rust]\n[lints.clippy]\n"), 0);
        assert_eq!(complaints(path, "[package]\n[lints.rust]\n"), 1);
    }
}

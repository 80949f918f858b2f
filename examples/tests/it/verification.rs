//! The database and git agree, on every kind of history; where they don't, the program says so.

use crate::program::Program;
use crate::repository::Change::{Delete, Write};
use crate::repository::Repository;

#[test]
fn every_kind_of_change_is_verified() {
    verify_every_kind_of_change(&Program::new());
}

#[test]
fn every_kind_of_change_is_verified_on_postgres() {
    verify_every_kind_of_change(&Program::on_postgres());
}

#[test]
fn every_kind_of_change_is_verified_on_mysql() {
    verify_every_kind_of_change(&Program::on_mysql());
}

fn verify_every_kind_of_change(program: &Program) {
    let repository = Repository::new();
    repository.commit("Ada", &[Write(b"a.txt", b"1\n2\n"), Write(b"image.png", b"\0\x01")]);
    repository.commit("Bob", &[Write(b"a.txt", b"1\n3\n4\n"), Write(b"dir/\xc5\xbc.rs", b"x\n")]);
    repository.commit("Ada", &[Delete(b"a.txt"), Delete(b"image.png")]);
    repository.commit("Ada", &[]);
    repository.commit("A\tB", &[Write(b"tab in author", b"x"), Write(b" ", b"")]);

    let ended = program.verifies(&repository, 5, 7);
    assert!(ended.stdout.contains("begins or ends with white space"), "{}", ended.stdout);
}

#[tokio::test]
async fn lines_binary_changes_and_authors_are_projected() {
    project_lines_binary_changes_and_authors(&Program::new()).await;
}

#[tokio::test]
async fn lines_binary_changes_and_authors_are_projected_on_postgres() {
    project_lines_binary_changes_and_authors(&Program::on_postgres()).await;
}

#[tokio::test]
async fn lines_binary_changes_and_authors_are_projected_on_mysql() {
    project_lines_binary_changes_and_authors(&Program::on_mysql()).await;
}

async fn project_lines_binary_changes_and_authors(program: &Program) {
    let repository = Repository::new();
    repository.commit("Ada", &[Write(b"a", b"1\n2\n")]);
    repository.commit("Bob", &[Write(b"a", b"1\n3\n4\n")]);
    repository.commit("Ada", &[Write(b"a", b"\0")]);
    program.verifies(&repository, 3, 3);

    for (column, expected) in [("changes", 3), ("added", 4), ("deleted", 1), ("binary_changes", 1)]
    {
        let sql = format!("select {column} from file_stats where path = 'a'");
        assert_eq!(program.database().number(&sql).await, Some(expected), "{column}");
    }
    assert_eq!(program.database().number("select count(*) from file_authors").await, Some(2));
}

#[tokio::test]
async fn paths_no_stream_can_have_are_counted_and_shown() {
    let repository = Repository::new();
    let long = [b'l'; 256];
    let first = [
        Write(b"fine", b"x"),
        Write(b"bytes-\xff", b"x"),
        Write(b"new\nline", b"x"),
        Write(b"space ", b"x"),
        Write(&long, b"x"),
    ];
    repository.commit("Ada", &first);
    repository.commit("Ada", &[Delete(b"space "), Delete(b"fine")]);

    let program = Program::new();
    let ended = program.verifies(&repository, 2, 2);
    let shown = [r#""bytes-\xff""#, r#""new\nline""#, r#""space ""#, "lllll"];
    for said in shown.iter().chain(&["not UTF-8", "control character", "white space", "255"]) {
        assert!(ended.stdout.contains(said), "{said}: {}", ended.stdout);
    }
    assert_eq!(program.database().number("select sum(refused) from commits").await, Some(5));

    // The refused changes of commits that are in the database are still counted.
    let again = program.verifies(&repository, 2, 2);
    assert!(again.stdout.contains("not UTF-8"), "{}", again.stdout);
}

#[test]
fn new_commits_are_appended_and_old_ones_are_not() {
    append_new_commits(&Program::new());
}

#[test]
fn new_commits_are_appended_and_old_ones_are_not_on_postgres() {
    append_new_commits(&Program::on_postgres());
}

#[test]
fn new_commits_are_appended_and_old_ones_are_not_on_mysql() {
    append_new_commits(&Program::on_mysql());
}

fn append_new_commits(program: &Program) {
    let repository = Repository::of_commits(10);
    let first = program.verifies(&repository, 10, 20);
    assert!(first.stdout.contains("appended 10 commits with 20 events"), "{}", first.stdout);

    repository.commit("New", &[Write(b"src/0.rs", b"new")]);
    let second = program.verifies(&repository, 11, 21);
    assert!(second.stdout.contains("appended 1 commits with 1 events"), "{}", second.stdout);

    let third = program.verifies(&repository, 11, 21);
    assert!(!third.stdout.contains("appended"), "{}", third.stdout);
}

#[test]
fn a_branch_merged_later_is_appended_without_its_merge() {
    let repository = Repository::of_commits(3);
    let program = Program::new();
    program.verifies(&repository, 3, 6);

    repository.git(&["branch", "side", "main~1"]);
    repository.git(&["symbolic-ref", "HEAD", "refs/heads/side"]);
    repository.git(&["reset", "--quiet", "--hard"]);
    repository.git(&["commit", "--quiet", "--allow-empty", "--message", "aside"]);
    repository.git(&["merge", "--quiet", "--no-edit", "main"]);
    program.verifies(&repository, 4, 6);
}

#[test]
fn a_shallow_clone_is_a_history_of_its_own() {
    let clone = Repository::of_commits(5).shallow_clone(2);
    Program::new().verifies(&clone, 2, 10);
}

#[test]
fn settings_and_attributes_do_not_change_what_is_read() {
    let repository = Repository::new();
    repository.commit("Ada", &[Write(b"old.txt", b"1\n2\n3\n"), Write(b".mailmap", b"")]);
    repository.commit("Ada", &[Delete(b"old.txt"), Write(b"new.txt", b"1\n2\n3\n")]);
    let program = Program::new();
    program.verifies(&repository, 2, 4);

    let settings = [
        ("diff.renames", "copies"),
        ("diff.algorithm", "patience"),
        ("diff.relative", "true"),
        ("color.ui", "always"),
        ("core.attributesFile", "attributes"),
        ("log.showRoot", "false"),
        ("log.mailmap", "true"),
        ("i18n.logOutputEncoding", "UTF-16"),
    ];
    for (name, value) in settings {
        repository.git(&["config", name, value]);
    }
    for (file, content) in [
        ("attributes", "* -diff\n"),
        (".gitattributes", "* -diff\n"),
        (".mailmap", "Countess <a@example.com>\n"),
    ] {
        std::fs::write(repository.path().join(file), content).unwrap();
    }
    program.verifies(&repository, 2, 4);
}

#[tokio::test]
async fn a_difference_is_listed_and_fails() {
    find_differences(&Program::new()).await;
}

#[tokio::test]
async fn a_difference_is_listed_and_fails_on_postgres() {
    find_differences(&Program::on_postgres()).await;
}

#[tokio::test]
async fn a_difference_is_listed_and_fails_on_mysql() {
    find_differences(&Program::on_mysql()).await;
}

async fn find_differences(program: &Program) {
    let repository = Repository::of_commits(3);
    program.verifies(&repository, 3, 6);
    program
        .database()
        .execute("update file_stats set added = added + 1 where path = 'src/1.rs'")
        .await;
    program.database().execute("delete from file_authors where path = 'src/2.rs'").await;

    let ended = program.run(&repository);
    assert_eq!(ended.code, Some(1));
    assert_eq!(ended.last_line(), "NOT verified: 3 commits, 6 events, 2 differences");
    assert!(ended.stdout.contains("difference: file \"src/1.rs\": git says"), "{}", ended.stdout);
}

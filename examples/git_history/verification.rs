//! Compares the database with what git says.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Debug;
use std::hash::Hash;

use crate::backend::Backend;
use crate::git_count::{CommitCount, FileCount, GitCount};
use crate::refused_paths::{Refusal, RefusedPaths};

/// Every difference, as a sentence; empty if there is none.
pub(crate) async fn compare<B: Backend>(
    backend: &B,
    git: &GitCount,
    refused: &RefusedPaths,
) -> anyhow::Result<Vec<String>> {
    let commits = backend.commit_counts().await?;
    let commits = commits
        .into_iter()
        .map(|(hash, events, refused)| (hash, CommitCount { events, refused }))
        .collect();
    let streams = backend.stream_lengths().await?;
    let streams = streams
        .into_iter()
        .map(|(path, events, version)| (path, StreamLength { events, version }))
        .collect();
    Ok(differences(git, &Database { commits, streams, files: files(backend).await? }, refused))
}

/// What the database says.
struct Database {
    commits: HashMap<String, CommitCount>,
    streams: HashMap<String, StreamLength>,
    files: HashMap<String, FileCount>,
}

/// What the event store says of one file. Without holes the two numbers are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct StreamLength {
    events: i64,
    version: i64,
}

async fn files<B: Backend>(backend: &B) -> anyhow::Result<HashMap<String, FileCount>> {
    let mut files = HashMap::new();
    for row in backend.file_stats().await? {
        let count = FileCount {
            changes: row.changes,
            binary_changes: row.binary_changes,
            added: row.added,
            deleted: row.deleted,
            authors: BTreeSet::new(),
        };
        files.insert(row.path, count);
    }
    for (path, author) in backend.file_authors().await? {
        // An author of a file without statistics makes an entry that git will not have either.
        files.entry(path).or_default().authors.insert(author);
    }
    Ok(files)
}

fn differences(git: &GitCount, database: &Database, refused: &RefusedPaths) -> Vec<String> {
    let streams = git.files.iter().map(|(path, file)| {
        (path.clone(), StreamLength { events: file.changes, version: file.changes })
    });
    let refused = refused.counts();
    let mut differences = compare_maps("commit", &git.commits, &database.commits);
    differences.extend(compare_maps("stream", &streams.collect(), &database.streams));
    differences.extend(compare_maps("file", &git.files, &database.files));
    differences.extend(compare_refused(&git.refused, &refused));
    differences
}

fn compare_maps<K, V>(what: &str, git: &HashMap<K, V>, database: &HashMap<K, V>) -> Vec<String>
where
    K: Ord + Hash + Debug,
    V: PartialEq + Debug,
{
    let keys: BTreeSet<&K> = git.keys().chain(database.keys()).collect();
    let compare = |key: &K| match (git.get(key), database.get(key)) {
        (Some(git), Some(database)) if git == database => None,
        (Some(git), Some(database)) => {
            Some(format!("{what} {key:?}: git says {git:?}, the database {database:?}"))
        }
        (git, _) => {
            let missing_in = if git.is_some() { "the database" } else { "git" };
            Some(format!("{what} {key:?} is missing in {missing_in}"))
        }
    };
    keys.into_iter().filter_map(compare).collect()
}

fn compare_refused(
    git: &BTreeMap<Refusal, i64>,
    import: &BTreeMap<Refusal, i64>,
) -> Option<String> {
    let say = |counts: &BTreeMap<Refusal, i64>| {
        let kinds = counts.iter().map(|(kind, changes)| format!("{changes} × {kind}"));
        kinds.collect::<Vec<_>>().join(", ")
    };
    (git != import)
        .then(|| format!("refused: git says [{}], the import [{}]", say(git), say(import)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn git() -> GitCount {
        let file = FileCount { changes: 1, added: 2, ..FileCount::default() };
        GitCount {
            commits: [("c1".to_owned(), CommitCount { events: 1, refused: 0 })].into(),
            files: [("a".to_owned(), file)].into(),
            ..GitCount::default()
        }
    }

    fn database() -> Database {
        Database {
            commits: git().commits,
            streams: [("a".to_owned(), StreamLength { events: 1, version: 1 })].into(),
            files: git().files,
        }
    }

    #[test]
    fn the_same_numbers_are_no_difference() {
        let found = differences(&git(), &database(), &RefusedPaths::default());
        assert_eq!(found, Vec::<String>::new());
    }

    #[test]
    fn every_wrong_missing_or_foreign_entry_is_a_difference() {
        let mut changed = database();
        changed.commits.clear();
        changed.streams.insert("b".to_owned(), StreamLength { events: 1, version: 1 });
        changed.files.get_mut("a").unwrap().added = 3;
        let mut refused = RefusedPaths::default();
        refused.add(Refusal::TooLong, b"long");
        assert_eq!(differences(&git(), &changed, &refused).len(), 4);
    }

    #[test]
    fn a_hole_in_a_stream_is_a_difference() {
        let mut holed = database();
        holed.streams.insert("a".to_owned(), StreamLength { events: 1, version: 2 });
        assert_eq!(differences(&git(), &holed, &RefusedPaths::default()).len(), 1);
    }
}

//! Appends: one commit of the repository, one transaction of the database.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::Context;
use es::{EventSource, EventStore, ExpectedVersion, StreamId, Version};
use tokio_util::sync::CancellationToken;

use crate::backend::{Backend, CommitRow};
use crate::file_changed::FileChanged;
use crate::git_log::{Commit, GitLog, TouchedFile};
use crate::progress;
use crate::refused_paths::{RefusedPaths, stream_of};
use crate::repository::{CommitParents, Repository};

/// What one run has appended.
#[derive(Debug, Default)]
pub(crate) struct Imported {
    /// Commits this run appended; those an earlier run appended are not among them.
    pub(crate) commits: usize,
    /// Events this run appended.
    pub(crate) events: usize,
    pub(crate) elapsed: Duration,
    /// The changes left out, of earlier runs too.
    pub(crate) refused: RefusedPaths,
}

/// An import under way.
pub(crate) struct Import<'a, B: Backend> {
    backend: &'a B,
    known: CommitParents,
    /// Where each stream is, as far as this run has seen it.
    versions: HashMap<StreamId, Version>,
    imported: Imported,
}

impl<'a, B: Backend> Import<'a, B> {
    /// An import that passes over the commits that are `known` to be in the database.
    pub(crate) fn new(backend: &'a B, known: CommitParents) -> Self {
        Import { backend, known, versions: HashMap::new(), imported: Imported::default() }
    }

    /// Appends until the last commit, or until `stop`.
    pub(crate) async fn run(
        mut self,
        repository: &Repository,
        commits: usize,
        stop: &CancellationToken,
    ) -> anyhow::Result<Imported> {
        let started = Instant::now();
        let bar = progress::bar("appending commits", commits.try_into()?);
        let mut log = GitLog::start(repository)?;
        while let Some(next) = stop.run_until_cancelled(log.next()).await {
            let Some(commit) = next? else { break };
            self.take(&commit)
                .await
                .with_context(|| format!("cannot append commit {}", commit.hash))?;
            bar.inc(1);
        }
        bar.finish_and_clear();
        self.imported.elapsed = started.elapsed();
        Ok(self.imported)
    }

    async fn take(&mut self, commit: &Commit) -> anyhow::Result<()> {
        let mut accepted = Vec::with_capacity(commit.files.len());
        for file in &commit.files {
            match stream_of(&file.path) {
                Ok(stream) => accepted.push((stream, file)),
                Err(refusal) => self.imported.refused.add(refusal, &file.path),
            }
        }
        if self.known.contains_key(&commit.hash) {
            return Ok(());
        }
        self.append(commit, &accepted).await?;
        self.imported.commits += 1;
        self.imported.events += accepted.len();
        Ok(())
    }

    /// The point of the whole library: this program's row and the events commit together.
    async fn append(
        &mut self,
        commit: &Commit,
        accepted: &[(StreamId, &TouchedFile)],
    ) -> anyhow::Result<()> {
        let mut tx = self.backend.begin().await?;
        let row = CommitRow {
            hash: &commit.hash,
            parent: &commit.parent,
            author: &commit.author,
            events: accepted.len().try_into()?,
            refused: (commit.files.len() - accepted.len()).try_into()?,
        };
        B::insert_commit(&mut tx, &row)
            .await
            .context("if another run is appending to this database, wait for it and run again")?;
        for (stream, file) in accepted {
            let event = FileChanged::event(commit, file)?;
            self.append_event(&mut tx, stream, event).await?;
        }
        B::commit(tx).await?;
        Ok(())
    }

    async fn append_event(
        &mut self,
        conn: &mut B::Connection,
        stream: &StreamId,
        event: es::Event,
    ) -> anyhow::Result<()> {
        let store = self.backend.source().store();
        let version = match self.versions.get(stream) {
            Some(version) => *version,
            None => store.stream_version(conn, stream).await?,
        };
        let expected = ExpectedVersion::Exact(version);
        let appended = store.append(conn, stream, expected, &[event]).await?;
        // An error ends the run, so a version noted here is never one that was rolled back.
        self.versions.insert(stream.clone(), appended.to_version());
        Ok(())
    }
}

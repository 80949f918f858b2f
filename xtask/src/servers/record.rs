//! The servers that were left running, one file each.

use std::fs;
use std::path::PathBuf;

use anyhow::Context;
use serde::{Deserialize, Serialize};

use super::directory::SERVERS;
use super::process;
use super::{Database, Lifetime, Options, Source};
use crate::workspace;

/// A server that was left running.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Record {
    /// The database, as superuser.
    pub(crate) url: String,
    /// The server's data and log.
    pub(crate) directory: PathBuf,
}

impl Record {
    /// Starts a server that outlives this process.
    pub(crate) fn start(database: Database, options: &Options) -> anyhow::Result<Record> {
        let source = Source::start(database, options, Lifetime::UntilStopped)?;
        let url = source.url();
        // Written before the server is left to itself, for then nothing else knows of it.
        let path = path(database)?;
        let directory = source.directory().context("the server has no directory")?;
        let record = Record { url, directory };
        fs::write(&path, serde_json::to_string_pretty(&record)?)
            .with_context(|| format!("cannot write {}", path.display()))?;
        source.detach();
        Ok(record)
    }

    /// The server that was left running, if it still does.
    pub(crate) fn find(database: Database) -> anyhow::Result<Option<Record>> {
        let record = Record::read(database)?;
        Ok(record.filter(|record| process::is_running(&record.directory)))
    }

    /// Stops the server and forgets it. Returns `false` if none runs.
    pub(crate) fn stop(database: Database) -> anyhow::Result<bool> {
        let Some(record) = Record::read(database)? else {
            return Ok(false);
        };
        let was_running = process::stop(&record.directory)?;
        let path = path(database)?;
        fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
        Ok(was_running)
    }

    fn read(database: Database) -> anyhow::Result<Option<Record>> {
        let path = path(database)?;
        if !path.exists() {
            return Ok(None);
        }
        let read = || anyhow::Ok(serde_json::from_str(&fs::read_to_string(&path)?)?);
        read().with_context(|| format!("cannot read {}", path.display())).map(Some)
    }
}

fn path(database: Database) -> anyhow::Result<PathBuf> {
    let directory = workspace::root()?.join(SERVERS);
    fs::create_dir_all(&directory)
        .with_context(|| format!("cannot create {}", directory.display()))?;
    Ok(directory.join(format!("{database}.json")))
}

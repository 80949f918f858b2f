//! A schema's SQL as a file, which appears whole or not at all.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use tempfile::{Builder, NamedTempFile};
use thiserror::Error;

use crate::{Schema, SchemaError};

/// What to do about a file that is there already and holds something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExistingFile {
    /// Leave it alone and fail.
    Keep,
    /// Put the schema in its place.
    Replace,
}

/// What became of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// It was not there before.
    Created,
    /// It was there with other content, which is gone.
    Replaced,
    /// It held exactly this schema already and was not touched.
    Unchanged,
}

/// Why the file was not written.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum WriteError {
    /// There is no SQL for the schema.
    #[error(transparent)]
    Schema(#[from] SchemaError),

    /// The file holds something else: write to another one, or ask for [`ExistingFile::Replace`].
    #[error("{} exists and holds something else", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },

    /// The file is there and cannot be read, so its content cannot be compared.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },

    /// The directory of the file cannot be created.
    #[error("cannot create the directory {}", path.display())]
    CreateDirectory {
        /// The directory.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },

    /// The file cannot be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}

impl Schema {
    /// Writes [`Schema::to_sql`] to a file, and creates its directory if need be.
    ///
    /// The file appears whole or not at all: the text goes to a temporary file beside it, which
    /// is then renamed.
    ///
    /// ```
    /// use migrate_gen::{Database, ExistingFile, Schema, Written};
    ///
    /// let directory = tempfile::tempdir()?;
    /// let path = directory.path().join("migrations/0001_event_store.sql");
    /// let schema = Schema::new(Database::Sqlite);
    /// assert_eq!(schema.write_to(&path, ExistingFile::Keep)?, Written::Created);
    /// assert_eq!(schema.write_to(&path, ExistingFile::Keep)?, Written::Unchanged);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn write_to(&self, path: &Path, existing: ExistingFile) -> Result<Written, WriteError> {
        let sql = self.to_sql()?;
        let found = match fs::read(path) {
            Ok(content) if content == sql.as_bytes() => return Ok(Written::Unchanged),
            Ok(_) => Some(existing),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            // A part of the path is a file; creating the directory says which.
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => None,
            Err(source) => {
                return Err(WriteError::Read { path: path.to_owned(), source });
            }
        };
        match found {
            None => create(path, &sql).map(|()| Written::Created),
            Some(ExistingFile::Replace) => replace(path, &sql).map(|()| Written::Replaced),
            Some(ExistingFile::Keep) => Err(WriteError::Exists { path: path.to_owned() }),
        }
    }
}

fn create(path: &Path, sql: &str) -> Result<(), WriteError> {
    let directory = directory_of(path);
    fs::create_dir_all(directory)
        .map_err(|source| WriteError::CreateDirectory { path: directory.to_owned(), source })?;
    let file = temporary_file(path, sql)?;
    match file.persist_noclobber(path) {
        Ok(_) => Ok(()),
        // Somebody else wrote the file since it was looked for.
        Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => {
            Err(WriteError::Exists { path: path.to_owned() })
        }
        Err(error) => Err(WriteError::Write { path: path.to_owned(), source: error.error }),
    }
}

fn replace(path: &Path, sql: &str) -> Result<(), WriteError> {
    let file = temporary_file(path, sql)?;
    file.persist(path)
        .map(|_| ())
        .map_err(|error| WriteError::Write { path: path.to_owned(), source: error.error })
}

/// A file with the text, in the directory of `path`, for only there a rename cannot tear it.
fn temporary_file(path: &Path, sql: &str) -> Result<NamedTempFile, WriteError> {
    let filled = || {
        let mut file = readable_builder().tempfile_in(directory_of(path))?;
        file.write_all(sql.as_bytes())?;
        file.as_file().sync_all()?;
        Ok(file)
    };
    filled().map_err(|source| WriteError::Write { path: path.to_owned(), source })
}

/// Temporary files are for their owner alone; a migration is for whomever the umask allows.
#[cfg(unix)]
fn readable_builder() -> Builder<'static, 'static> {
    use std::os::unix::fs::PermissionsExt;

    let mut builder = Builder::new();
    builder.permissions(fs::Permissions::from_mode(0o666));
    builder
}

#[cfg(not(unix))]
fn readable_builder() -> Builder<'static, 'static> {
    Builder::new()
}

fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

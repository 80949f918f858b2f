//! The command `migrate-gen`: writes the event store's tables as a migration file.

use std::ffi::OsStr;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Parser, ValueEnum};
use migrate_gen::{
    Database, ExistingFile, OptionalIndex, Schema, SchemaError, SqlName, TableNames, WriteError,
    Written,
};

/// Writes the event store's tables as one plain SQL migration.
///
/// The file is run by the migration tool you already have, or by the database's own shell. An
/// existing file is never overwritten unless you say --force.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// The database the SQL is for.
    #[arg(long)]
    database: DatabaseArgument,

    /// The directory of the file; created if need be.
    #[arg(long, value_name = "DIRECTORY", default_value = "migrations")]
    output: PathBuf,

    /// The name of the file, as your migration tool wants it.
    #[arg(long, value_name = "NAME", default_value = "0001_event_store.sql", value_parser = file_name)]
    filename: PathBuf,

    /// The table of the events; the schema's version is kept in this name and `_schema`.
    #[arg(long, value_name = "TABLE", default_value_t = TableNames::default().events().clone())]
    events_table: SqlName,

    /// The table of the projections.
    #[arg(long, value_name = "TABLE", default_value_t = TableNames::default().projections().clone())]
    projections_table: SqlName,

    /// The table of the projections' checkpoints.
    #[arg(long, value_name = "TABLE", default_value_t = TableNames::default().checkpoints().clone())]
    checkpoints_table: SqlName,

    /// The schema the tables are put into, on mysql a database; sqlite has none.
    #[arg(long)]
    schema: Option<SqlName>,

    /// An index for queries of your own; repeat it for several. Every append pays for each.
    #[arg(long, value_name = "INDEX")]
    index: Vec<IndexArgument>,

    /// Overwrite the file if it holds something else.
    #[arg(long)]
    force: bool,

    /// Print the SQL instead of writing a file.
    #[arg(long, conflicts_with_all = ["output", "filename", "force"])]
    stdout: bool,

    #[command(flatten)]
    server: ServerArguments,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Options for mysql and postgres only")]
struct ServerArguments {
    /// Triggers that refuse to update or delete events, and on postgres to truncate them.
    #[arg(long)]
    append_only: bool,

    /// A trigger that notifies listeners of appends, whose commits then wait for each other;
    /// postgres only.
    #[arg(long)]
    notify: bool,

    /// A role that exists, on mysql also a user, for the grants an application needs; repeat it for
    /// several.
    #[arg(long, value_name = "ROLE")]
    role: Vec<SqlName>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum DatabaseArgument {
    Mysql,
    Postgres,
    Sqlite,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum IndexArgument {
    EventType,
    CorrelationId,
    CreatedAt,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            if let Some(tip) = tip(&error) {
                eprintln!("\n  tip: {tip}");
            }
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let schema = arguments.schema();
    if arguments.stdout {
        let sql = schema.to_sql()?;
        return io::stdout().write_all(sql.as_bytes()).context("cannot print the SQL");
    }
    let path = arguments.output.join(&arguments.filename);
    let existing = if arguments.force { ExistingFile::Replace } else { ExistingFile::Keep };
    let verb = match schema.write_to(&path, existing)? {
        Written::Created => "wrote",
        Written::Replaced => "overwrote",
        Written::Unchanged => "left as it is, for it holds the same already:",
    };
    let next = arguments.database.next_step(&path);
    writeln!(io::stdout(), "{verb} {}\nnext: {next}", path.display())
        .context("the file is in place, but its path cannot be printed")
}

/// What to do about an error, in terms of the command's options.
fn tip(error: &anyhow::Error) -> Option<&'static str> {
    let schema_error = match error.downcast_ref() {
        Some(WriteError::Schema(error)) => Some(error),
        Some(WriteError::Exists { .. }) => {
            return Some(
                "choose another --filename, or overwrite it with --force. A migration that has \
                 run already should stay as it is",
            );
        }
        Some(WriteError::CreateDirectory { .. } | WriteError::Write { .. }) => {
            return Some("choose a directory you may write to with --output");
        }
        Some(_) => None,
        None => error.downcast_ref(),
    };
    schema_tip(schema_error?)
}

fn schema_tip(error: &SchemaError) -> Option<&'static str> {
    match error {
        SchemaError::SchemasUnsupported { .. } => Some(
            "leave out --schema. To keep two event stores in one database, give each its own \
             --events-table, --projections-table and --checkpoints-table",
        ),
        SchemaError::AppendOnlyUnsupported { .. } => {
            Some("leave out --append-only. The event store itself never changes an event")
        }
        SchemaError::NotifyUnsupported { .. } => {
            Some("leave out --notify. Projections find new events by polling")
        }
        SchemaError::RolesUnsupported { .. } => Some(
            "leave out --role. Who may use the database is decided by the permissions of its file",
        ),
        SchemaError::DuplicateName { .. } => Some(
            "choose another name with --events-table, --projections-table or \
             --checkpoints-table",
        ),
        SchemaError::ReservedName { .. } => Some(
            "choose another name with --events-table, --projections-table, --checkpoints-table, \
             --schema or --role",
        ),
        _ => None,
    }
}

impl Arguments {
    fn schema(&self) -> Schema {
        let tables = TableNames::default()
            .with_events(self.events_table.clone())
            .with_projections(self.projections_table.clone())
            .with_checkpoints(self.checkpoints_table.clone());
        let tables = match &self.schema {
            Some(schema) => tables.with_schema(schema.clone()),
            None => tables,
        };
        let schema = Schema::new(self.database.into()).with_tables(tables);
        let schema =
            self.index.iter().fold(schema, |schema, index| schema.with_index((*index).into()));
        self.server.add_to(schema)
    }
}

impl ServerArguments {
    fn add_to(&self, schema: Schema) -> Schema {
        let schema = if self.append_only { schema.with_append_only() } else { schema };
        let schema = if self.notify { schema.with_notify() } else { schema };
        self.role.iter().fold(schema, |schema, role| schema.with_role(role.clone()))
    }
}

impl DatabaseArgument {
    fn next_step(self, path: &Path) -> String {
        let path = shell_word(path);
        let command = match self {
            DatabaseArgument::Mysql => format!("mysql app < {path}"),
            DatabaseArgument::Postgres => {
                format!("psql --single-transaction -v ON_ERROR_STOP=1 -f {path} \"$DATABASE_URL\"")
            }
            DatabaseArgument::Sqlite => format!("sqlite3 -bail app.db < {path}"),
        };
        format!("run it once, with your migration tool (`sqlx migrate run`) or with `{command}`")
    }
}

/// The path as a shell reads it back: in single quotes if it holds more than plain characters.
fn shell_word(path: &Path) -> String {
    let path = path.display().to_string();
    // A program would take it for an option.
    let path = if path.starts_with('-') { format!("./{path}") } else { path };
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-./+:=@%,".contains(c);
    if !path.is_empty() && path.chars().all(is_plain) {
        return path;
    }
    format!("'{}'", path.replace('\'', r"'\''"))
}

impl From<DatabaseArgument> for Database {
    fn from(database: DatabaseArgument) -> Self {
        match database {
            DatabaseArgument::Mysql => Database::Mysql,
            DatabaseArgument::Postgres => Database::Postgres,
            DatabaseArgument::Sqlite => Database::Sqlite,
        }
    }
}

impl From<IndexArgument> for OptionalIndex {
    fn from(index: IndexArgument) -> Self {
        match index {
            IndexArgument::EventType => OptionalIndex::EventType,
            IndexArgument::CorrelationId => OptionalIndex::CorrelationId,
            IndexArgument::CreatedAt => OptionalIndex::CreatedAt,
        }
    }
}

fn file_name(value: &str) -> Result<PathBuf, &'static str> {
    let path = Path::new(value);
    if path.file_name() == Some(OsStr::new(value)) {
        return Ok(path.to_owned());
    }
    Err("this is not the name of a file; the directory goes into --output")
}

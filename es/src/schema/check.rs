//! The start check: are the tables what the library needs, and if not, what is to be done?

use super::found::{FoundColumn, FoundSchema, FoundTable, SimilarTable};
use super::needed::{self, ColumnKind, Given, NeededColumn, NeededTable, Use};
use super::{SCHEMA_VERSION, SqlName, TableNames};
use crate::error::StoreError;

/// What an adapter says about its database to [`check_schema`].
#[derive(Debug, Clone)]
pub struct SchemaNeeds {
    /// What `migrate-gen --database` calls the database.
    pub database: &'static str,
    /// The names the store was given.
    pub tables: TableNames,
    /// The types that the adapter reads and writes for each kind of column.
    pub types: fn(ColumnKind) -> &'static [&'static str],
    /// What stands around names in SQL.
    pub quote: char,
    /// Whether there is a table of appenders.
    pub has_appenders: bool,
    /// Whether the positions come from a sequence with a name.
    pub has_sequence: bool,
}

impl SchemaNeeds {
    /// The names of the tables, the events first.
    pub fn table_names(&self) -> Vec<SqlName> {
        self.needed().into_iter().map(|table| table.name).collect()
    }

    fn needed(&self) -> Vec<NeededTable> {
        needed::tables(&self.tables, self.has_appenders, self.has_sequence)
    }

    fn is_of_projections(&self, name: &SqlName) -> bool {
        let tables = &self.tables;
        [tables.projections(), tables.checkpoints(), &tables.workers(), &tables.dead_letters()]
            .contains(&name)
    }

    fn quoted(&self, name: &str) -> String {
        format!("{quote}{name}{quote}", quote = self.quote)
    }

    /// A table as a statement names it from anywhere.
    fn qualified(&self, schema: &str, table: &str) -> String {
        match schema {
            "" => self.quoted(table),
            schema => format!("{}.{}", self.quoted(schema), self.quoted(table)),
        }
    }

    fn missing(&self, found: &FoundSchema) -> StoreError {
        let names: Vec<String> =
            self.table_names().iter().map(|name| self.quoted(name.as_str())).collect();
        StoreError::SchemaMissing {
            database: self.database,
            options: Some(self.tables.migration_options()),
            source: format!("none of {} is in {}", names.join(", "), found.place).into(),
        }
    }
}

/// Decides whether what was found is what the library needs. Looks first whether the tables are
/// there at all, then at their version, at what they consist of, and at the rights to them.
///
/// # Errors
///
/// [`StoreError::SchemaMissing`], [`StoreError::SchemaElsewhere`], [`StoreError::SchemaVersion`],
/// [`StoreError::SchemaIncomplete`] or [`StoreError::SchemaForbidden`].
pub fn check_schema(needs: &SchemaNeeds, found: &FoundSchema) -> Result<(), StoreError> {
    check(needs, &needs.needed(), found)
}

/// As [`check_schema`], and looks only at the tables that appends and reads of the log use.
///
/// # Errors
///
/// As [`check_schema`].
pub fn check_log_schema(needs: &SchemaNeeds, found: &FoundSchema) -> Result<(), StoreError> {
    let mut tables = needs.needed();
    tables.retain(|table| !needs.is_of_projections(&table.name));
    check(needs, &tables, found)
}

fn check(
    needs: &SchemaNeeds,
    tables: &[NeededTable],
    found: &FoundSchema,
) -> Result<(), StoreError> {
    if tables.iter().all(|table| found.find(table.name.as_str()).is_none()) {
        return Err(absent(needs, tables, found));
    }
    if let Some(version) = found.version {
        check_schema_version(needs.database, version)?;
    }
    let lacks: Vec<String> = tables.iter().flat_map(|table| lacks(needs, table, found)).collect();
    if !lacks.is_empty() {
        return Err(StoreError::SchemaIncomplete {
            database: needs.database,
            options: needs.tables.migration_options(),
            lacks: lacks.join("; "),
        });
    }
    let grants: Vec<String> = tables.iter().flat_map(|table| grants(needs, table, found)).collect();
    if !grants.is_empty() {
        return Err(forbidden(found, grants));
    }
    check_schema_version(needs.database, found.version.unwrap_or(0))
}

/// Compares the version recorded in the database with the one this library needs. `database` is
/// what `migrate-gen --database` calls it.
pub fn check_schema_version(database: &'static str, found: i64) -> Result<(), StoreError> {
    if found == SCHEMA_VERSION {
        return Ok(());
    }
    Err(StoreError::SchemaVersion { database, found, needed: SCHEMA_VERSION })
}

/// None of the tables is there. Those of another name or place may be meant.
fn absent(needs: &SchemaNeeds, tables: &[NeededTable], found: &FoundSchema) -> StoreError {
    let own_name = |similar: &&SimilarTable| {
        tables.iter().any(|table| table.name.as_str() == similar.sought && table.named_by.is_some())
    };
    let similar: Vec<&SimilarTable> = found.similar.iter().filter(own_name).collect();
    if similar.is_empty() && found.hides_tables {
        return forbidden(found, tables.iter().flat_map(|table| grants(needs, table, found)));
    }
    if similar.is_empty() {
        return needs.missing(found);
    }
    // A schema on the search path that may not be used is passed over without a word.
    let unusable = similar.iter().find(|similar| {
        let is_passed_over = similar.flags.contains('p') && !similar.flags.contains('u');
        similar.name == similar.sought && is_passed_over
    });
    if let Some(similar) = unusable {
        let schema = needs.quoted(&similar.schema);
        return forbidden(found, [format!("grant usage on schema {schema} to {}", found.user)]);
    }
    let events = needs.tables.events().as_str();
    let has_events = similar.iter().any(|similar| similar.sought == events);
    let hints = similar
        .iter()
        .filter(|similar| !has_events || similar.sought == events)
        .map(|similar| hint(needs, tables, similar));
    StoreError::SchemaElsewhere {
        database: needs.database,
        options: needs.tables.migration_options(),
        place: found.place.clone(),
        found: hints.collect::<Vec<_>>().join("; "),
    }
}

/// A table that may be meant, and how the store is told.
fn hint(needs: &SchemaNeeds, tables: &[NeededTable], similar: &SimilarTable) -> String {
    let table = tables.iter().find(|table| table.name.as_str() == similar.sought);
    let method = table.and_then(|table| table.named_by);
    let mut calls = Vec::new();
    if let Some(method) = method.filter(|_| similar.name != similar.sought) {
        calls.push(format!("{method}({:?}.parse()?)", similar.name));
    }
    let schema = needs.tables.schema().map(SqlName::as_str);
    let is_elsewhere = !similar.schema.is_empty() && schema != Some(similar.schema.as_str());
    if calls.is_empty() && is_elsewhere {
        calls.push(format!("with_schema({:?}.parse()?)", similar.schema));
    }
    let name = needs.qualified(&similar.schema, &similar.name);
    match calls.as_slice() {
        [] => name,
        calls => format!("{name}, which is named by `TableNames::{}`", calls.join(".")),
    }
}

/// What a table lacks, a phrase for each.
fn lacks(needs: &SchemaNeeds, table: &NeededTable, found: &FoundSchema) -> Vec<String> {
    let name = table.name.as_str();
    let Some(is) = found.find(name) else {
        let is_hidden = found.hides_tables;
        return if is_hidden { vec![] } else { vec![missing_table(needs, table, found)] };
    };
    if is.kind != table.kind {
        return vec![format!("{} is no {} but a {}", needs.quoted(name), table.kind, is.kind)];
    }
    let mut lacks = Vec::new();
    if is.flags.contains('h') {
        lacks.push(format!(
            "row-level security hides rows of table {} from {}",
            needs.quoted(name),
            found.user
        ));
    }
    // Of a table that may not be read, the columns that are missing may only be hidden.
    let is_hidden = found.hides_columns && is.columns.values().any(|c| !c.flags.contains('s'));
    let looked_at = |column: &&NeededColumn| !is_hidden || is.columns.contains_key(column.name);
    for column in table.columns.iter().filter(looked_at) {
        lacks.extend(lack_of_column(needs, name, column, is.columns.get(column.name)));
    }
    let unknown = |name: &str| table.columns.iter().all(|column| column.name != name);
    let added = is.columns.iter().filter(|(column, is)| {
        unknown(column) && !is.flags.contains('n') && !is.flags.contains('v')
    });
    // What only the migration writes may have columns of its own.
    lacks.extend(added.filter(|_| table.usage != Use::Read).map(|(column, _)| {
        format!(
            "column {column} was added to table {} and takes no null: give it a default",
            needs.quoted(name)
        )
    }));
    lacks.extend(lack_of_keys(needs, table, is));
    lacks
}

fn missing_table(needs: &SchemaNeeds, table: &NeededTable, found: &FoundSchema) -> String {
    let name = table.name.as_str();
    let missing = format!("{} {} is missing", table.kind, needs.quoted(name));
    let similar = found.similar.iter().find(|similar| similar.sought == name);
    match (similar, table.named_by) {
        (Some(similar), Some(_)) => {
            let tables = std::slice::from_ref(table);
            format!("{missing} (there is {})", hint(needs, tables, similar))
        }
        _ => missing,
    }
}

fn lack_of_column(
    needs: &SchemaNeeds,
    table: &str,
    column: &NeededColumn,
    found: Option<&FoundColumn>,
) -> Option<String> {
    let name = format!("column {} of table {}", column.name, needs.quoted(table));
    let Some(found) = found else { return Some(format!("{name} is missing")) };
    let types = (needs.types)(column.kind);
    if !types.contains(&found.data_type.as_str()) {
        return Some(format!("{name} has the type {} and not {}", found.data_type, types[0]));
    }
    let has = |flag| found.flags.contains(flag);
    match column.given {
        Given::ValueOrNull if !has('n') => Some(format!("{name} must take null")),
        Given::Nothing if !has('n') && !has('v') => Some(format!("{name} has lost its default")),
        _ => None,
    }
}

fn lack_of_keys(needs: &SchemaNeeds, table: &NeededTable, found: &FoundTable) -> Vec<String> {
    let is_there = |key: &[&str]| {
        found.keys.values().any(|is| is.len() == key.len() && key.iter().all(|c| is.contains(*c)))
    };
    let has_columns = |key: &[&str]| key.iter().all(|column| found.columns.contains_key(*column));
    let missing = table.keys.iter().filter(|key| has_columns(key) && !is_there(key));
    missing
        .map(|key| {
            let table = needs.quoted(table.name.as_str());
            format!("table {table} has no unique key on ({})", key.join(", "))
        })
        .collect()
}

/// The grants that are missing for a table, a statement each.
fn grants(needs: &SchemaNeeds, table: &NeededTable, found: &FoundSchema) -> Vec<String> {
    let hidden = FoundTable {
        schema: needs.tables.schema().map(ToString::to_string).unwrap_or_default(),
        flags: "u".to_owned(),
        ..FoundTable::default()
    };
    let is = found.find(table.name.as_str()).unwrap_or(&hidden);
    let mut grants = Vec::new();
    if !is.flags.contains('u') {
        let schema = needs.quoted(&is.schema);
        grants.push(format!("grant usage on schema {schema} to {}", found.user));
    }
    let rights: Vec<String> =
        missing_rights(needs, table, is).into_iter().map(|(_, right)| right).collect();
    if !rights.is_empty() {
        let name = needs.qualified(&is.schema, table.name.as_str());
        let name = if table.kind == "table" { name } else { format!("{} {name}", table.kind) };
        grants.push(format!("grant {} on {name} to {}", rights.join(", "), found.user));
    }
    grants
}

fn missing_rights(
    needs: &SchemaNeeds,
    table: &NeededTable,
    found: &FoundTable,
) -> Vec<(char, String)> {
    let wanted: &[(char, &str)] = match table.usage {
        Use::Read => &[('s', "select")],
        Use::Log => &[('s', "select"), ('i', "insert")],
        Use::Register => &[('s', "select"), ('i', "insert"), ('u', "update")],
        Use::Change => &[('s', "select"), ('i', "insert"), ('u', "update"), ('d', "delete")],
    };
    let lacks = |flag: char| match flag {
        flag if table.columns.is_empty() => !found.flags.contains(flag),
        'd' => !found.flags.contains('d'),
        flag => table.columns.iter().any(|column| {
            // What the database writes in the log is nobody else's to write.
            let is_the_databases =
                (flag, table.usage, column.given) == ('i', Use::Log, Given::Nothing);
            let is_granted =
                found.columns.get(column.name).is_some_and(|is| is.flags.contains(flag));
            !is_the_databases && !is_granted
        }),
    };
    let missing = wanted.iter().filter(|(flag, _)| lacks(*flag));
    missing
        .map(|(flag, right)| match (table.usage, flag) {
            // A position and a time of the database's clock are never written by hand.
            (Use::Log, 'i') => (*flag, format!("insert ({})", written_columns(needs, table))),
            _ => (*flag, (*right).to_owned()),
        })
        .collect()
}

fn written_columns(needs: &SchemaNeeds, table: &NeededTable) -> String {
    let written = table.columns.iter().filter(|column| column.given != Given::Nothing);
    written.map(|column| needs.quoted(column.name)).collect::<Vec<_>>().join(", ")
}

fn forbidden(found: &FoundSchema, grants: impl IntoIterator<Item = String>) -> StoreError {
    let grants: Vec<String> = grants.into_iter().collect();
    StoreError::SchemaForbidden { user: found.user.clone(), grants: grants.join("; ") }
}

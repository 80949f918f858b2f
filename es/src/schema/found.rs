//! What an adapter found in the database's catalog.

use std::collections::{BTreeMap, BTreeSet};

/// What a database's catalog says about a store's tables. An adapter fills it row by row, see
/// [`note`](FoundSchema::note), and [`check_schema`](crate::schema::check_schema) decides.
#[derive(Debug, Clone, Default)]
pub struct FoundSchema {
    pub(super) tables: BTreeMap<String, FoundTable>,
    pub(super) similar: Vec<SimilarTable>,
    /// The user or role, as a grant names it.
    pub(super) user: String,
    /// Where the tables were looked for, in words.
    pub(super) place: String,
    /// Whether columns without any right are not shown.
    pub(super) hides_columns: bool,
    /// Whether tables without any right look as if they were not there.
    pub(super) hides_tables: bool,
    /// What the migration recorded.
    pub(super) version: Option<i64>,
}

#[derive(Debug, Clone, Default)]
pub(super) struct FoundTable {
    pub(super) schema: String,
    pub(super) kind: String,
    pub(super) flags: String,
    pub(super) columns: BTreeMap<String, FoundColumn>,
    /// The columns of each unique key, by its name.
    pub(super) keys: BTreeMap<String, BTreeSet<String>>,
}

#[derive(Debug, Clone, Default)]
pub(super) struct FoundColumn {
    pub(super) data_type: String,
    pub(super) flags: String,
}

#[derive(Debug, Clone)]
pub(super) struct SimilarTable {
    /// The table that was looked for.
    pub(super) sought: String,
    pub(super) schema: String,
    pub(super) name: String,
    pub(super) flags: String,
}

impl FoundSchema {
    /// Notes one row of what an adapter asked the catalog.
    ///
    /// | `what` | `table` | `name` | `value` | `flags` |
    /// |---|---|---|---|---|
    /// | `session` | | the user as a grant names it | where the tables were looked for, in words | `h` columns without any right are not shown |
    /// | `table` | its name | its schema | `table`, or what else it is | `u` its schema may be used, `d` rows may be deleted, `h` rules hide rows, `s` a sequence may be selected |
    /// | `column` | the table's name | its name | its type | `s`, `i`, `u` may be selected, inserted, updated; `n` may be null; `v` the database has a value for it |
    /// | `key` | the table's name | the name of a unique key | a column of it | |
    /// | `hidden` | | | tables without any right look as if they were not there | |
    /// | `undeletable` | a table whose rows may not be deleted after all | | | |
    /// | `similar` | the name looked for | the schema of a table like it | the name of that table | `u` its schema may be used, `p` the tables were to be found there |
    /// | `version` | | | the highest version recorded | |
    ///
    /// Where a database knows no rights, all flags of rights are set. Other rows are ignored.
    pub fn note(&mut self, what: &str, table: &str, name: &str, value: &str, flags: &str) {
        match what {
            "session" => {
                name.clone_into(&mut self.user);
                value.clone_into(&mut self.place);
                self.hides_columns = flags.contains('h');
            }
            "table" => {
                let found = self.table(table);
                name.clone_into(&mut found.schema);
                value.clone_into(&mut found.kind);
                flags.clone_into(&mut found.flags);
            }
            "column" => {
                let column = FoundColumn { data_type: value.to_owned(), flags: flags.to_owned() };
                self.table(table).columns.insert(name.to_owned(), column);
            }
            "key" => {
                let key = self.table(table).keys.entry(name.to_owned()).or_default();
                key.insert(value.to_owned());
            }
            "hidden" => self.hides_tables = true,
            "undeletable" => self.table(table).flags.retain(|flag| flag != 'd'),
            "similar" => self.similar.push(SimilarTable {
                sought: table.to_owned(),
                schema: name.to_owned(),
                name: value.to_owned(),
                flags: flags.to_owned(),
            }),
            "version" => self.version = value.parse().ok(),
            _ => {}
        }
    }

    fn table(&mut self, name: &str) -> &mut FoundTable {
        self.tables.entry(name.to_owned()).or_default()
    }

    /// Some databases keep the case of a table's name and some do not.
    pub(super) fn find(&self, name: &str) -> Option<&FoundTable> {
        let any_case = || self.tables.iter().find(|(found, _)| found.eq_ignore_ascii_case(name));
        self.tables.get(name).or_else(|| any_case().map(|(_, table)| table))
    }
}

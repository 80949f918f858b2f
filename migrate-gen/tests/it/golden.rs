//! The generated text, as files to review.
//!
//! After a change, `UPDATE_EXPECT=1 cargo test -p migrate-gen` rewrites them.

use expect_test::expect_file;
use migrate_gen::{Database, OptionalIndex, Schema, TableNames};

#[test]
fn sqlite_with_defaults() {
    let sql = Schema::new(Database::Sqlite).to_sql().unwrap();
    expect_file!["../golden/sqlite_default.sql"].assert_eq(&sql);
}

#[test]
fn sqlite_with_every_option() {
    let tables = TableNames::default()
        .with_events("order".parse().unwrap())
        .with_projections("shop_projections".parse().unwrap())
        .with_checkpoints("ShopCheckpoints".parse().unwrap());
    let sql = Schema::new(Database::Sqlite)
        .with_tables(tables)
        .with_index(OptionalIndex::CreatedAt)
        .with_index(OptionalIndex::CorrelationId)
        .with_index(OptionalIndex::EventType)
        .to_sql()
        .unwrap();
    expect_file!["../golden/sqlite_all_options.sql"].assert_eq(&sql);
}

#[test]
fn postgres_with_defaults() {
    let sql = Schema::new(Database::Postgres).to_sql().unwrap();
    expect_file!["../golden/postgres_default.sql"].assert_eq(&sql);
}

#[test]
fn postgres_with_every_option() {
    let tables = TableNames::default()
        .with_schema("Shop".parse().unwrap())
        .with_events("order".parse().unwrap())
        .with_projections("shop_projections".parse().unwrap())
        .with_checkpoints("ShopCheckpoints".parse().unwrap());
    let sql = Schema::new(Database::Postgres)
        .with_tables(tables)
        .with_role("shop_app".parse().unwrap())
        .with_role("user".parse().unwrap())
        .with_role("shop_app".parse().unwrap())
        .with_notify()
        .with_append_only()
        .with_index(OptionalIndex::CreatedAt)
        .with_index(OptionalIndex::CorrelationId)
        .with_index(OptionalIndex::EventType)
        .to_sql()
        .unwrap();
    expect_file!["../golden/postgres_all_options.sql"].assert_eq(&sql);
}

#[test]
fn mysql_with_defaults() {
    let sql = Schema::new(Database::Mysql).to_sql().unwrap();
    expect_file!["../golden/mysql_default.sql"].assert_eq(&sql);
}

#[test]
fn mysql_with_every_option() {
    let tables = TableNames::default()
        .with_schema("Shop".parse().unwrap())
        .with_events("order".parse().unwrap())
        .with_projections("shop_projections".parse().unwrap())
        .with_checkpoints("ShopCheckpoints".parse().unwrap());
    let sql = Schema::new(Database::Mysql)
        .with_tables(tables)
        .with_role("shop_app".parse().unwrap())
        .with_role("user".parse().unwrap())
        .with_role("shop_app".parse().unwrap())
        .with_append_only()
        .with_index(OptionalIndex::CreatedAt)
        .with_index(OptionalIndex::CorrelationId)
        .with_index(OptionalIndex::EventType)
        .to_sql()
        .unwrap();
    expect_file!["../golden/mysql_all_options.sql"].assert_eq(&sql);
}

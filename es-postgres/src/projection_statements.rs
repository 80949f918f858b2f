//! The SQL about projections: the files below `sql/`, with the store's table names in them.

use es::TableNames;
use sqlx::SqlStr;

use crate::statements::{quoted, trusted};

/// Every statement about projections, rendered once. Cloning one is cheap.
#[derive(Debug)]
pub(crate) struct ProjectionStatements {
    pub(crate) projections: SqlStr,
    pub(crate) lock_projection: SqlStr,
    pub(crate) save_projection: SqlStr,
    pub(crate) partitions: SqlStr,
    pub(crate) lock_partitions: SqlStr,
    pub(crate) rewrite_partitions: SqlStr,
    pub(crate) delete_partitions: SqlStr,
    pub(crate) delete_workers: SqlStr,
    pub(crate) delete_projection: SqlStr,
    pub(crate) claim: SqlStr,
    pub(crate) renew: SqlStr,
    pub(crate) release: SqlStr,
    pub(crate) heartbeat: SqlStr,
    pub(crate) leave: SqlStr,
    pub(crate) workers: SqlStr,
    pub(crate) record_attempt: SqlStr,
    pub(crate) dead_letters: SqlStr,
    pub(crate) dead_letter_queue: SqlStr,
    pub(crate) dead_letter_counts: SqlStr,
    pub(crate) parked_streams: SqlStr,
    pub(crate) put_dead_letters: SqlStr,
    pub(crate) remove_dead_letters: SqlStr,
    pub(crate) remove_dead_letters_after: SqlStr,
    pub(crate) first_position_since: SqlStr,
    pub(crate) register_projection: SqlStr,
    pub(crate) partition_total: SqlStr,
    pub(crate) register_checkpoints: SqlStr,
    pub(crate) lock_checkpoint: SqlStr,
    pub(crate) checkpoint_settings: SqlStr,
    pub(crate) save_checkpoint: SqlStr,
    pub(crate) checkpoints: SqlStr,
}

/// Renders a file below `sql/`.
macro_rules! statement {
    ($file:literal $(, $name:ident = $value:expr)* $(,)?) => {
        format!(include_str!(concat!("../sql/", $file)) $(, $name = $value)*)
    };
}

impl ProjectionStatements {
    pub(crate) fn new(tables: &TableNames) -> Self {
        let [events, projections, checkpoints, workers, dead_letters] = [
            tables.events().clone(),
            tables.projections().clone(),
            tables.checkpoints().clone(),
            tables.workers(),
            tables.dead_letters(),
        ]
        .map(|name| quoted(tables, name.as_str()));
        ProjectionStatements {
            projections: trusted(statement!("projections.sql", projections = projections)),
            lock_projection: trusted(statement!("lock_projection.sql", projections = projections)),
            save_projection: trusted(statement!("save_projection.sql", projections = projections)),
            partitions: trusted(statement!(
                "partitions.sql",
                checkpoints = checkpoints,
                projections = projections
            )),
            lock_partitions: trusted(statement!(
                "lock_partitions.sql",
                checkpoints = checkpoints,
                projections = projections
            )),
            rewrite_partitions: trusted(statement!(
                "rewrite_partitions.sql",
                checkpoints = checkpoints
            )),
            delete_partitions: trusted(statement!(
                "delete_partitions.sql",
                checkpoints = checkpoints
            )),
            delete_workers: trusted(statement!("delete_workers.sql", workers = workers)),
            delete_projection: trusted(statement!(
                "delete_projection.sql",
                projections = projections
            )),
            claim: trusted(statement!(
                "claim.sql",
                checkpoints = checkpoints,
                projections = projections
            )),
            renew: trusted(statement!("renew.sql", checkpoints = checkpoints)),
            release: trusted(statement!("release.sql", checkpoints = checkpoints)),
            heartbeat: trusted(statement!("heartbeat.sql", workers = workers)),
            leave: trusted(statement!("leave.sql", workers = workers)),
            workers: trusted(statement!("workers.sql", workers = workers)),
            record_attempt: trusted(statement!("record_attempt.sql", checkpoints = checkpoints)),
            dead_letters: trusted(statement!("dead_letters.sql", dead_letters = dead_letters)),
            dead_letter_queue: trusted(statement!(
                "dead_letter_queue.sql",
                dead_letters = dead_letters
            )),
            dead_letter_counts: trusted(statement!(
                "dead_letter_counts.sql",
                dead_letters = dead_letters,
                projections = projections
            )),
            parked_streams: trusted(statement!("parked_streams.sql", dead_letters = dead_letters)),
            put_dead_letters: trusted(statement!(
                "put_dead_letters.sql",
                dead_letters = dead_letters
            )),
            remove_dead_letters: trusted(statement!(
                "remove_dead_letters.sql",
                dead_letters = dead_letters
            )),
            remove_dead_letters_after: trusted(statement!(
                "remove_dead_letters_after.sql",
                dead_letters = dead_letters
            )),
            first_position_since: trusted(statement!("first_position_since.sql", events = events)),
            register_projection: trusted(statement!(
                "register_projection.sql",
                projections = projections
            )),
            partition_total: trusted(statement!("partition_total.sql", projections = projections)),
            register_checkpoints: trusted(statement!(
                "register_checkpoints.sql",
                checkpoints = checkpoints
            )),
            lock_checkpoint: trusted(statement!("lock_checkpoint.sql", checkpoints = checkpoints)),
            checkpoint_settings: trusted(statement!(
                "checkpoint_settings.sql",
                dead_letters = dead_letters,
                projections = projections
            )),
            save_checkpoint: trusted(statement!("save_checkpoint.sql", checkpoints = checkpoints)),
            checkpoints: trusted(statement!(
                "checkpoints.sql",
                checkpoints = checkpoints,
                projections = projections
            )),
        }
    }
}

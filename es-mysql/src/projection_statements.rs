//! The SQL about projections: the files below `sql/`, with the store's table names in them.

use es::{DeadLetter, PartitionSeed, Position, ProjectionName, TableNames};
use sqlx::SqlStr;

use crate::statements::{list, quoted, render, text, trusted, without_comments};

/// Every statement about projections, rendered once. Cloning one is cheap.
#[derive(Debug)]
pub(crate) struct ProjectionStatements {
    pub(crate) projections: SqlStr,
    pub(crate) lock_projection: SqlStr,
    pub(crate) save_projection: SqlStr,
    pub(crate) partitions: SqlStr,
    pub(crate) lock_partitions: SqlStr,
    rewrite_partitions: String,
    pub(crate) delete_partitions: SqlStr,
    pub(crate) delete_workers: SqlStr,
    pub(crate) delete_projection: SqlStr,
    pub(crate) claimable: SqlStr,
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
    parked_streams: String,
    put_dead_letters: String,
    remove_dead_letters: String,
    pub(crate) remove_dead_letters_after: SqlStr,
    pub(crate) first_position_since: SqlStr,
    pub(crate) register_projection: SqlStr,
    pub(crate) partition_total: SqlStr,
    register_checkpoints: String,
    pub(crate) lock_checkpoint: SqlStr,
    pub(crate) checkpoint_settings: SqlStr,
    pub(crate) save_checkpoint: SqlStr,
    pub(crate) checkpoints: SqlStr,
}

/// Renders a file below `sql/`, without its comments: some statements are sent as text each time.
macro_rules! statement {
    ($file:literal $(, $name:ident = $value:expr)* $(,)?) => {
        without_comments(&format!(include_str!(concat!("../sql/", $file)) $(, $name = $value)*))
    };
}

impl ProjectionStatements {
    pub(crate) fn new(tables: &TableNames) -> Self {
        let [events, projections, checkpoints, workers, dead_letters] = names(tables);
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
            rewrite_partitions: statement!(
                "rewrite_partitions.sql",
                checkpoints = checkpoints,
                rows = "<rows>"
            ),
            delete_partitions: trusted(statement!(
                "delete_partitions.sql",
                checkpoints = checkpoints
            )),
            delete_workers: trusted(statement!("delete_workers.sql", workers = workers)),
            delete_projection: trusted(statement!(
                "delete_projection.sql",
                projections = projections
            )),
            claimable: trusted(statement!(
                "claimable.sql",
                checkpoints = checkpoints,
                projections = projections
            )),
            claim: trusted(statement!("claim.sql", checkpoints = checkpoints)),
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
            parked_streams: statement!(
                "parked_streams.sql",
                dead_letters = dead_letters,
                projection = "<projection>",
                ids = "<ids>"
            ),
            put_dead_letters: statement!(
                "put_dead_letters.sql",
                dead_letters = dead_letters,
                rows = "<rows>"
            ),
            remove_dead_letters: statement!(
                "remove_dead_letters.sql",
                dead_letters = dead_letters,
                projection = "<projection>",
                positions = "<positions>"
            ),
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
            register_checkpoints: statement!(
                "register_checkpoints.sql",
                checkpoints = checkpoints,
                rows = "<rows>"
            ),
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

    pub(crate) fn register_checkpoints(&self, projection: &ProjectionName, total: u16) -> SqlStr {
        let name = text(projection.as_str());
        let rows = list((0..total).map(|index| format!("({name}, {index}, 0)")));
        render(&self.register_checkpoints, &[("<rows>", rows)])
    }

    pub(crate) fn rewrite_partitions(
        &self,
        projection: &ProjectionName,
        seeds: &[PartitionSeed],
    ) -> SqlStr {
        let name = text(projection.as_str());
        let row = |(index, seed): (usize, &PartitionSeed)| {
            let PartitionSeed { position, epoch, replay_until, stop_at } = seed;
            let stop_at = stop_at.map_or_else(|| "null".to_owned(), |stop_at| stop_at.to_string());
            let epoch = epoch.get();
            format!("({name}, {index}, {position}, {epoch}, {replay_until}, {stop_at})")
        };
        let rows = list(seeds.iter().enumerate().map(row));
        render(&self.rewrite_partitions, &[("<rows>", rows)])
    }

    pub(crate) fn parked_streams(&self, projection: &ProjectionName, ids: &[&str]) -> SqlStr {
        let ids = list(ids.iter().map(|id| text(id)));
        let name = text(projection.as_str());
        render(&self.parked_streams, &[("<projection>", name), ("<ids>", ids)])
    }

    pub(crate) fn put_dead_letters(
        &self,
        projection: &ProjectionName,
        letters: &[DeadLetter],
    ) -> SqlStr {
        let name = text(projection.as_str());
        let row = |letter: &DeadLetter| {
            let stream = &letter.stream;
            let error = letter.error.as_deref().map_or_else(|| "null".to_owned(), text);
            format!(
                "({name}, {}, {}, {}, {}, {}, {}, {error}, '{}')",
                letter.position,
                text(stream.bounded_context()),
                text(stream.aggregate_type()),
                text(stream.aggregate_id()),
                stream.slot().get(),
                letter.attempts,
                letter.parked_at.format("%Y-%m-%d %H:%M:%S%.6f"),
            )
        };
        render(&self.put_dead_letters, &[("<rows>", list(letters.iter().map(row)))])
    }

    pub(crate) fn remove_dead_letters(
        &self,
        projection: &ProjectionName,
        positions: &[Position],
    ) -> SqlStr {
        let positions = list(positions.iter().map(Position::to_string));
        let name = text(projection.as_str());
        let values = [("<projection>", name), ("<positions>", positions)];
        render(&self.remove_dead_letters, &values)
    }
}

/// The tables of events, projections, checkpoints, workers and dead letters, quoted.
fn names(tables: &TableNames) -> [String; 5] {
    [
        tables.events().clone(),
        tables.projections().clone(),
        tables.checkpoints().clone(),
        tables.workers(),
        tables.dead_letters(),
    ]
    .map(|name| quoted(tables, &name))
}

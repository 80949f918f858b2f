-- Adds one change to the statistics of its file, which may be new.
-- $1 path, $2 whether the file is binary, $3 lines added, $4 lines deleted
insert into file_stats (path, changes, binary_changes, added, deleted)
values ($1, 1, $2::boolean::integer, $3, $4)
on conflict (path) do update set
    changes = file_stats.changes + 1,
    binary_changes = file_stats.binary_changes + excluded.binary_changes,
    added = file_stats.added + excluded.added,
    deleted = file_stats.deleted + excluded.deleted

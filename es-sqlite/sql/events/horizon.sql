-- The last position given out, which is the last committed one: SQLite has one writer at a time
-- and takes the counter back with a rollback.
--
-- ?1 the events table's name, whose case SQLite ignores
select coalesce(max(seq), 0)
from sqlite_sequence
where name = ?1 collate nocase

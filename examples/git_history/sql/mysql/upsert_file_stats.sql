-- Adds one change to the statistics of its file, which may be new.
-- ? path, ? whether the file is binary, ? lines added, ? lines deleted
-- values() is the only name for the row to be inserted that both MySQL and MariaDB know.
insert into file_stats (path, changes, binary_changes, added, deleted)
values (?, 1, ?, ?, ?)
on duplicate key update
    changes = changes + 1,
    binary_changes = binary_changes + values(binary_changes),
    added = added + values(added),
    deleted = deleted + values(deleted)

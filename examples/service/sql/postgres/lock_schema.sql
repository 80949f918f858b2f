-- Makes a second process that starts at the same time wait until this one has made the tables.
-- The number is this program's own; the lock ends with the transaction.
select pg_advisory_xact_lock(5402187003)

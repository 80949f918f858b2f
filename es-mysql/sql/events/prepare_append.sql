-- Everything of an append before its insert, in one round trip: is there a transaction, what is
-- the stream's version, and the announcement that positions are about to be drawn.
--
-- Several statements, sent as text, because prepared ones go one at a time. The values in it are
-- numbers and hexadecimal literals.
--
-- 1. A savepoint can be released only inside a transaction: error 1305 otherwise. Without one the
--    announcement would commit before the positions are drawn, and protect nothing.
-- 2. The highest position there is. Every position this append draws is above it, because the
--    counter only grows. It must be read before the announcement is written, and in a statement
--    of its own: a subquery of the insert would lock the end of the table under REPEATABLE READ,
--    and every other appender with it. And the stream's version, without a lock: the unique key
--    decides a race.
-- 3. The announcement, unless the version is not the expected one. Only its own connection writes
--    the row, so appenders never wait for each other. It is written by every append and not only
--    by a transaction's first, because a rollback to a savepoint takes it back.
-- 4. What the caller needs to know. Names that are bound go through the session's character sets;
--    without unique_checks InnoDB may take a version twice. The isolation level has no name that both servers know, so
--    each gets a comment it executes.
savepoint es_append;
release savepoint es_append;
select
  (
    select coalesce(max(global_position), 0)
    from {events}
  ),
  (
    select coalesce(max(aggregate_version), 0)
    from {events}
    where {stream}
  )
into @es_low, @es_version;
insert into {appenders} (connection_id, seq, low_position, first_low_position, announced_at)
select connection_id(), 1, @es_low, @es_low, utc_timestamp(6)
from dual
where {expectation}
on duplicate key update
  seq = seq + 1,
  low_position = @es_low,
  announced_at = utc_timestamp(6);
select
  cast(@es_version as signed) as version,
  cast(@@auto_increment_increment as signed) as increment,
  cast(@@max_allowed_packet as signed) as packet_bytes_max,
  concat_ws(
    ' ',
    @@character_set_client,
    @@character_set_connection,
    if(@@unique_checks, null, 'unique_checks')
  ) as session,
  /*!80000 @@transaction_isolation *//*M! @@tx_isolation */ as isolation

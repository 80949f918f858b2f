-- How far the log can be read, and who keeps it from being read further.
--
-- $1 a position through which the caller knows the log to be complete
--
-- The order of two reads is everything here: first the sequence's last value, then the locks. A
-- transaction that registers after the locks were read draws positions above that value. The
-- lateral subquery with its `offset 0` cannot run before the row it refers to is there, and is
-- not run at all if no position was drawn since $1: an idle poll is one read of the sequence.
--
-- A lock names the low 32 bits of a position; the other 32 are those that put it nearest to the
-- last value. Several transactions may hold locks: the lowest decides.
--
-- Any role can take an advisory lock. One below position 0 is not the library's, nor is one whose
-- session is in no transaction, which shows as a virtual transaction that ends in 0: the library's
-- end with their transaction. (A transaction that is just ending shows so, too: its events are
-- visible by then to every snapshot taken after.) They are left out, and one of them is named.
with
  log as materialized (
    select last_value - (not is_called)::integer as last_position
    from {sequence}
  ),
  appenders as materialized (
    select
      one.*,
      one.low < 0 or one.virtualtransaction like '%/0' as is_foreign
    from log
    cross join lateral (
      select
        log.last_position
          + ((lock.objid::bigint - log.last_position + 2147483648) & 4294967295)
          - 2147483648 as low,
        lock.pid,
        lock.virtualtransaction
      from pg_locks as lock
      where log.last_position <> $1
        and lock.locktype = 'advisory'
        and lock.classid = {events_oid}
        and lock.objsubid = 2
        and lock.granted
        and lock.database = (select oid from pg_database where datname = current_database())
      offset 0
    ) as one
  )
select
  log.last_position,
  appender.low,
  coalesce('process ' || appender.pid, 'prepared transaction ' || prepared.gid) as session,
  nullif(backend.application_name, '') as application,
  extract(
    epoch from clock_timestamp() - coalesce(backend.xact_start, prepared.prepared)
  )::double precision as open_for,
  current_setting('transaction_isolation') as isolation,
  pg_is_in_recovery() as is_standby,
  (
    select format(
      'process %s, user %s, application %s',
      appenders.pid,
      coalesce(pg_get_userbyid(session.usesysid)::text, 'unknown'),
      coalesce(nullif(session.application_name, ''), 'unknown')
    )
    from appenders
    left join lateral pg_stat_get_activity(coalesce(appenders.pid, 0)) as session on true
    where is_foreign
    limit 1
  ) as foreign_session
from log
left join lateral (
  select
    low,
    pid,
    virtualtransaction
  from appenders
  where not is_foreign
  order by low
  limit 1
) as appender on appender.low < log.last_position
left join lateral pg_stat_get_activity(coalesce(appender.pid, 0)) as backend on true
left join lateral (
  -- A prepared transaction has no process; the lock on its own id leads to its name.
  select pg_prepared_xacts.gid, pg_prepared_xacts.prepared
  from pg_locks as own_id
  join pg_prepared_xacts on pg_prepared_xacts.transaction = own_id.transactionid
  where appender.pid is null
    and own_id.virtualtransaction = appender.virtualtransaction
    and own_id.locktype = 'transactionid'
    and own_id.pid is null
  limit 1
  offset 0
) as prepared on true

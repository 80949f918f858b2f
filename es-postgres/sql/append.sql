-- Appends several events to one stream, all or none, in one statement and one round trip; no row
-- comes back if nothing was written. A single event has append_one.sql.
--
-- $1 bounded context  $2 aggregate type  $3 aggregate id  $4 slot
-- $5 expected version, null for any
-- arrays with one element for each event:
-- $6 event ids  $7 event types  $8 versions of the types  $9 payloads  $10 metadata
-- $11 correlation ids  $12 causation ids  $13 trace ids  $14 times
--
-- Each step reads from the one before, so their order is fixed:
--
-- 1. accepted: the stream's version, if it is the expected one. The ids of all events but the
--    first are looked up here, for a duplicate among them must not be found when the first is
--    already written. They are looked up one by one, in a subquery that cannot become a join: a
--    plan that was made while the table was empty, and is kept, must not scan it when it is large.
-- 2. registered: tells readers that positions above `low` are about to appear. A shared lock, so
--    appenders never wait for each other; it ends with the transaction or the savepoint by
--    itself. It is taken before any position is drawn, so every position drawn is above `low`.
--    A transaction that has an id already (it has written) also notes that it is registered, so
--    that a hundred thousand appends do not take a hundred thousand locks. One that has none yet
--    spares itself the note; giving it an id here already cost 3 % with eight writers. Both the lock and the
--    note are undone by a rollback to an earlier savepoint.
-- 3. first: another writer may come first. Then the insert waits for it and writes nothing, and
--    there is no error that would abort the caller's transaction.
-- 4. rest: only if the first event was written.
with
  incoming as (
    select *
    from unnest(
      $6::uuid[], $7::text[], $8::integer[], $9::bytea[], $10::text[],
      $11::uuid[], $12::uuid[], $13::uuid[], $14::timestamptz[]
    ) with ordinality as event (
      event_id, event_type, event_version, payload, metadata,
      correlation_id, causation_id, trace_id, created_at, ordinal
    )
  ),
  accepted as materialized (
    select stream.version
    from (
      select coalesce(
        (
          select aggregate_version
          from {events}
          where bounded_context = $1
            and aggregate_type = $2
            and aggregate_id = $3
          order by aggregate_version desc
          limit 1
        ),
        0
      ) as version
    ) as stream
    where ($5::bigint is null or stream.version = $5)
      and not exists (
        select
        from unnest(($6::uuid[])[2:]) as other (id)
        where (select true from {events} where event_id = other.id)
      )
  ),
  registered as materialized (
    select
      accepted.version,
      case
        when coalesce(current_setting({registered_setting}, true), '') = ''
        then
          pg_advisory_xact_lock_shared(
            {lock_class},
            (last_value - (not is_called)::integer)::bit(32)::integer
          )::text
          || case
            when pg_current_xact_id_if_assigned() is not null
            then set_config({registered_setting}, 'yes', true)
            else ''
          end
      end as lock
    from accepted, {sequence}
  ),
  first as (
    insert into {events} (
      bounded_context, aggregate_type, aggregate_id, aggregate_version, slot,
      event_id, event_type, event_version, payload, metadata,
      correlation_id, causation_id, trace_id, created_at
    )
    select
      $1, $2, $3, registered.version + 1, $4,
      event_id, event_type, event_version, payload, metadata::json,
      correlation_id, causation_id, trace_id, created_at
    from registered, incoming
    where incoming.ordinal = 1
    on conflict do nothing
    returning aggregate_version, global_position
  ),
  rest as (
    insert into {events} (
      bounded_context, aggregate_type, aggregate_id, aggregate_version, slot,
      event_id, event_type, event_version, payload, metadata,
      correlation_id, causation_id, trace_id, created_at
    )
    select
      $1, $2, $3, first.aggregate_version + incoming.ordinal - 1, $4,
      event_id, event_type, event_version, payload, metadata::json,
      correlation_id, causation_id, trace_id, created_at
    from first, incoming
    where incoming.ordinal > 1
    order by incoming.ordinal
    returning aggregate_version, global_position
  )
select aggregate_version, global_position
from first
union all
select aggregate_version, global_position
from rest

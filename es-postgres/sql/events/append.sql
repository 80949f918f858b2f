-- Appends several events to one stream, all or none, in one statement and one round trip; no row
-- comes back if nothing was written. A single event has append_one.sql.
--
-- $1 bounded context  $2 aggregate type  $3 aggregate id  $4 slot
-- $5 expected version, null for any
-- the first event:
-- $6 event id  $7 event type  $8 version of the type  $9 payload  $10 metadata
-- $11 correlation id  $12 causation id  $13 trace id  $14 time
-- the others, as arrays with one element for each, or null for nothing but nulls:
-- $15 event ids  $16 event types  $17 versions of the types  $18 payloads  $19 metadata
-- $20 correlation ids  $21 causation ids  $22 trace ids  $23 times
-- $24 least of the others' ids  $25 greatest of them, or null if they lie far apart
--
-- Each step reads from the one before, so their order is fixed:
--
-- 1. stream: its version, and `low`, the last position drawn. A function tells it without a scan of
--    the sequence, which pays for the look above it; it says null while nothing was drawn from
--    where the sequence was set. The `where` below accepts the version if it is the expected one
--    and no id of the others is taken: a duplicate among them must not be found when the first is
--    already written. One step down the index tells whether any id between the least and the
--    greatest is taken. Usually none is, if the ids ascend with time and were drawn for this
--    append. Otherwise they are looked up one by one, in a subquery that cannot become a join: a
--    plan that was made while the table was empty, and is kept, must not scan it when it is large;
--    the step down the index says `order by … limit 1` for the same reason.
--    Nothing may be visible above `low`: if something is, the sequence has gone back, and the
--    append would land where readers have been. Usually that is a step down the index to its end,
--    where there is nothing but what others have drawn since.
-- 2. registered: tells readers that positions above `low` are about to appear. A shared lock, so
--    appenders never wait for each other; it ends with the transaction or the savepoint by
--    itself. It is taken before any position is drawn, so every position drawn is above `low`.
--    A transaction that has an id already (it has written) also notes that it is registered, so
--    that a hundred thousand appends do not take a hundred thousand locks. One that has none yet
--    spares itself the note; giving it an id here already cost 3 % with eight writers. Both the
--    lock and the note are undone by a rollback to an earlier savepoint.
-- 3. first: another writer may come first. Then the insert waits for it and writes nothing, and
--    there is no error that would abort the caller's transaction.
-- 4. the others: only if the first event was written.
--
-- Subqueries that end with `offset 0` are not merged with what is around them, so each is done
-- once, and before its row is used.
with
  first as (
    insert into {events} (
      bounded_context, aggregate_type, aggregate_id, aggregate_version, slot,
      event_id, event_type, event_version, payload, metadata,
      correlation_id, causation_id, trace_id, created_at
    )
    select
      $1, $2, $3, registered.version + 1, $4::smallint,
      $6::uuid, $7, $8::integer, $9::bytea, $10::text::json,
      $11, $12, $13, $14::timestamptz
    from (
      select
        stream.version,
        case
          when coalesce(current_setting({registered_setting}, true), '') = ''
          then
            pg_advisory_xact_lock_shared(
              {lock_class},
              stream.low::bit(32)::integer
            )::text
            || case
              when pg_current_xact_id_if_assigned() is not null
              then set_config({registered_setting}, 'yes', true)
              else ''
            end
        end as lock
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
        ) as version,
        coalesce(
          pg_sequence_last_value({sequence_name}::regclass),
          (select last_value - 1 from {sequence})
        ) as low
        offset 0
      ) as stream
      where ($5::bigint is null or stream.version = $5)
        and (
          select global_position
          from {events}
          where global_position > stream.low
          order by global_position
          limit 1
        ) is null
        and (
          (
            $24::uuid is not null
            and (
              select event_id
              from {events}
              where event_id between $24 and $25::uuid
              order by event_id
              limit 1
            ) is null
          )
          or not exists (
            select
            from unnest($15::uuid[]) as other (id)
            where (select true from {events} where event_id = other.id)
          )
        )
      offset 0
    ) as registered
    on conflict do nothing
    returning aggregate_version, global_position
  )
insert into {events} (
  bounded_context, aggregate_type, aggregate_id, aggregate_version, slot,
  event_id, event_type, event_version, payload, metadata,
  correlation_id, causation_id, trace_id, created_at
)
select
  $1, $2, $3, first.aggregate_version + other.ordinal, $4,
  event_id, event_type, event_version, payload, metadata::json,
  correlation_id, causation_id, trace_id, created_at
from first, unnest(
  $15::uuid[], $16::text[], $17::integer[], $18::bytea[], $19::text[],
  $20::text[], $21::text[], $22::text[], $23::timestamptz[]
) with ordinality as other (
  event_id, event_type, event_version, payload, metadata,
  correlation_id, causation_id, trace_id, created_at, ordinal
)
order by other.ordinal
returning aggregate_version, global_position, (select global_position from first)

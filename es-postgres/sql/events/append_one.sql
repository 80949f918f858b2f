-- Appends one event to a stream; no row comes back if nothing was written.
--
-- $1 bounded context  $2 aggregate type  $3 aggregate id  $4 slot
-- $5 expected version, null for any
-- $6 event id  $7 event type  $8 version of the type  $9 payload  $10 metadata
-- $11 correlation id  $12 causation id  $13 trace id  $14 time
--
-- The steps are those of append.sql, which see: the version is accepted, the appender registered,
-- the event inserted. Most appends are of one event, and without arrays and a second insert they
-- are faster. Subqueries that end with `offset 0` are not merged with what is around them, so each
-- is done before its row is used.
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
    accepted.version,
    case
      when coalesce(current_setting({registered_setting}, true), '') = ''
      then
        pg_advisory_xact_lock_shared(
          {lock_class},
          accepted.low::bit(32)::integer
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
  ) as accepted
  where ($5::bigint is null or accepted.version = $5)
    and (
      select global_position
      from {events}
      where global_position > accepted.low
      order by global_position
      limit 1
    ) is null
  offset 0
) as registered
on conflict do nothing
returning aggregate_version, global_position

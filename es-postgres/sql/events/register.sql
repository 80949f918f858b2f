-- Tells readers that positions above `low` are about to appear, before an import draws any.
--
-- The same registration as in append.sql, which see. A transaction that imports has a long way to
-- go, so it is noted always.
select
  case
    when coalesce(current_setting({registered_setting}, true), '') = ''
    then
      pg_advisory_xact_lock_shared(
        {lock_class},
        (last_value - (not is_called)::integer)::bit(32)::integer
      )::text
      || set_config({registered_setting}, 'yes', true)
  end as lock,
  last_value - (not is_called)::integer as last_position,
  (
    select global_position
    from {events}
    where global_position > last_value - (not is_called)::integer
    order by global_position desc
    limit 1
  ) as position_above
from {sequence}

-- Counts an event for its aggregate.
--
-- ?1 aggregate id  ?2 aggregate version
insert into totals (aggregate_id, events, last_version)
values (?1, 1, ?2)
on conflict (aggregate_id) do update
set
  events = totals.events + 1,
  last_version = excluded.last_version

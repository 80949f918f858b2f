-- Counts an event for its aggregate.
--
-- ? aggregate id  ? aggregate version
insert into totals (aggregate_id, events, last_version)
values (?, 1, ?)
on duplicate key update
  events = events + 1,
  last_version = values(last_version)

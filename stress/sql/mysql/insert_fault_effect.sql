-- Notes that a projection was given an event.
--
-- ? projection  ? event id  ? aggregate id  ? aggregate version  ? global position
insert into fault_effects (
  projection, event_id, aggregate_id, aggregate_version, global_position
)
values (?, ?, ?, ?, ?)

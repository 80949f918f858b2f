-- Notes that the projection was given an event.
--
-- ? event id  ? aggregate id  ? aggregate version  ? global position
insert into effects (event_id, aggregate_id, aggregate_version, global_position)
values (?, ?, ?, ?)

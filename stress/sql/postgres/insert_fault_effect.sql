-- Notes that a projection was given an event.
--
-- $1 projection  $2 event id  $3 aggregate id  $4 aggregate version  $5 global position
insert into fault_effects (
  projection, event_id, aggregate_id, aggregate_version, global_position
)
values ($1, $2, $3, $4, $5)

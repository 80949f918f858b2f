-- Notes that the projection was given an event.
--
-- ?1 event id  ?2 aggregate id  ?3 aggregate version  ?4 global position
insert into effects (event_id, aggregate_id, aggregate_version, global_position)
values (?1, ?2, ?3, ?4)

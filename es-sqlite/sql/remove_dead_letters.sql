-- Removes the dead letters at some positions.
--
-- ?1 projection  ?2 positions, a JSON array
delete from {dead_letters}
where projection = ?1
  and position in (select value from json_each(?2))

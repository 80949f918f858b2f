-- Removes the dead letters at some positions.
--
-- ?1 projection  ?2 positions, a JSON array of arrays
delete from {dead_letters}
where projection = ?1
  and position in (select value ->> 0 from json_each(?2))

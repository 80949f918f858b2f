-- Removes the dead letters at some positions.
--
-- ?1 projection  ?2 positions, a JSON array of arrays
delete from {dead_letters}
where projection = ?1
  and position in (
    select position
    from json_table(?2, '$[*]' columns (position bigint path '$[0]')) as wanted
  )

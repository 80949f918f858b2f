-- Removes the dead letters at some positions.
--
-- $1 projection  $2 positions
delete from {dead_letters}
where projection = $1
  and position = any($2)

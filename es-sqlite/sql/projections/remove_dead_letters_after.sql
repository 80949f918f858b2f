-- Removes the dead letters of a projection after a position.
--
-- ?1 projection  ?2 after
delete from {dead_letters}
where projection = ?1
  and position > ?2

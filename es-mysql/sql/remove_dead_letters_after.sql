-- Removes the dead letters of a projection after a position.
--
-- ? projection  ? after
delete from {dead_letters}
where projection = ?
  and position > ?

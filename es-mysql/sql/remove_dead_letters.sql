-- Removes the dead letters at some positions. Sent as text.
delete from {dead_letters}
where projection = {projection}
  and position in ({positions})

-- The survival program's own tables.

-- What a writer writes beside each event, in the same transaction.
create table own_rows (
  event_id blob primary key
) strict, without rowid;

-- One row for each event a projection was given. There is no unique key, so that an event handled
-- twice has two rows; ordinal keeps the order.
create table fault_effects (
  ordinal integer primary key,
  projection text not null,
  event_id blob not null,
  aggregate_id text not null,
  aggregate_version integer not null,
  global_position integer not null
) strict;

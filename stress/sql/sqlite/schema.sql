-- The stress's own tables, beside the event store's.

-- What a caller writes in the transaction that appends.
create table caller_rows (
  id integer primary key,
  written_at integer not null default (unixepoch())
) strict;

-- One row for each event the projection was given. There is no unique key, so that an event
-- handled twice has two rows; ordinal keeps the order.
create table effects (
  ordinal integer primary key,
  event_id blob not null,
  aggregate_id text not null,
  aggregate_version integer not null,
  global_position integer not null
) strict;

-- One row for each aggregate, counted up with each event.
create table totals (
  aggregate_id text primary key,
  events integer not null,
  last_version integer not null
) strict;

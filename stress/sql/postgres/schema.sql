-- The stress's own tables, beside the event store's.

-- What a caller writes in the transaction that appends, and the unrelated transaction in its own.
create table caller_rows (
  id bigint generated always as identity primary key,
  written_at timestamptz not null default now()
);

-- One row for each event the projection was given. There is no unique key, so that an event
-- handled twice has two rows; ordinal keeps the order.
create table effects (
  ordinal bigint generated always as identity primary key,
  event_id uuid not null,
  aggregate_id text not null,
  aggregate_version bigint not null,
  global_position bigint not null
);

-- One row for each aggregate, counted up with each event.
create table totals (
  aggregate_id text primary key,
  events bigint not null,
  last_version bigint not null
);

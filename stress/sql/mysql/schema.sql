-- The stress's own tables, beside the event store's.

-- What a caller writes in the transaction that appends, and the unrelated transaction in its own.
create table caller_rows (
  id bigint not null auto_increment primary key,
  written_at datetime(6) not null default current_timestamp(6)
) engine = InnoDB default charset = utf8mb4 collate = utf8mb4_bin;

-- One row for each event the projection was given. There is no unique key, so that an event
-- handled twice has two rows; ordinal keeps the order.
create table effects (
  ordinal bigint not null auto_increment primary key,
  event_id binary(16) not null,
  aggregate_id varchar(255) not null,
  aggregate_version bigint not null,
  global_position bigint not null
) engine = InnoDB default charset = utf8mb4 collate = utf8mb4_bin;

-- One row for each aggregate, counted up with each event.
create table totals (
  aggregate_id varchar(255) not null primary key,
  events bigint not null,
  last_version bigint not null
) engine = InnoDB default charset = utf8mb4 collate = utf8mb4_bin;

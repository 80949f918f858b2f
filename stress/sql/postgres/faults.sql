-- The survival program's own tables, and a disk that can be full.

-- What a writer writes beside each event, in the same transaction.
create table own_rows (
  event_id uuid primary key
);

-- One row for each event a projection was given. There is no unique key, so that an event handled
-- twice has two rows; ordinal keeps the order.
create table fault_effects (
  ordinal bigint generated always as identity primary key,
  projection text not null,
  event_id uuid not null,
  aggregate_id text not null,
  aggregate_version bigint not null,
  global_position bigint not null
);

-- One row while the disk is full.
create table full_disk (
  is_full boolean primary key
);

create function refuse_on_full_disk() returns trigger
language plpgsql
as $$
begin
  if exists (select from full_disk) then
    raise exception 'could not extend file: No space left on device' using errcode = 'disk_full';
  end if;
  return new;
end
$$;

create trigger full_disk before insert on events
for each row execute function refuse_on_full_disk();

create trigger full_disk before insert on fault_effects
for each row execute function refuse_on_full_disk();

create trigger full_disk before update on projection_checkpoints
for each row execute function refuse_on_full_disk();

create trigger full_disk before insert on projection_dead_letters
for each row execute function refuse_on_full_disk();

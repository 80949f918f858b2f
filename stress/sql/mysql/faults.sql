-- The survival program's own tables, and a disk that can be full.

-- What a writer writes beside each event, in the same transaction.
create table own_rows (
  event_id binary(16) not null primary key
) engine = InnoDB;

-- One row for each event a projection was given. There is no unique key, so that an event handled
-- twice has two rows; ordinal keeps the order.
create table fault_effects (
  ordinal bigint not null auto_increment primary key,
  projection varchar(255) not null,
  event_id binary(16) not null,
  aggregate_id varchar(255) not null,
  aggregate_version bigint not null,
  global_position bigint not null
) engine = InnoDB default charset = utf8mb4 collate = utf8mb4_bin;

-- One row while the disk is full.
create table full_disk (
  is_full boolean not null primary key
) engine = InnoDB;

-- 1114: the table is full.
create trigger full_disk_events before insert on events
for each row
  if exists (select 1 from full_disk) then
    signal sqlstate 'HY000' set mysql_errno = 1114, message_text = 'The table is full';
  end if;

create trigger full_disk_effects before insert on fault_effects
for each row
  if exists (select 1 from full_disk) then
    signal sqlstate 'HY000' set mysql_errno = 1114, message_text = 'The table is full';
  end if;

-- 1021: the disk is full.
create trigger full_disk_checkpoints before update on projection_checkpoints
for each row
  if exists (select 1 from full_disk) then
    signal sqlstate 'HY000' set mysql_errno = 1021, message_text = 'Disk full';
  end if;

create trigger full_disk_letters before insert on projection_dead_letters
for each row
  if exists (select 1 from full_disk) then
    signal sqlstate 'HY000' set mysql_errno = 1021, message_text = 'Disk full';
  end if;

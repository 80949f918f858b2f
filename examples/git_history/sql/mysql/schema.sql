-- This program's own tables, beside the event store's. Runs at every start.
--
-- utf8mb4_bin compares byte for byte, as git does, but ignores spaces at the end; no path here
-- ends with one.
create table if not exists commits (
    hash varchar(64) not null primary key,
    -- The commit before it, empty for a root: tells a deepened or rewritten history.
    parent varchar(64) not null,
    author longtext not null,
    -- How many events were appended in the same transaction.
    events bigint not null,
    -- How many changed paths no stream can have the name of.
    refused bigint not null
) engine = InnoDB default charset = utf8mb4 collate = utf8mb4_bin;

-- A path is as long as an aggregate id: 255 bytes at most.
create table if not exists file_stats (
    path varchar(255) not null primary key,
    changes bigint not null,
    -- Those of the changes that git took for binary, which count no lines.
    binary_changes bigint not null,
    added bigint not null,
    deleted bigint not null
) engine = InnoDB default charset = utf8mb4 collate = utf8mb4_bin;

-- The key holds the SHA-256 of the author's name, for a name may be longer than InnoDB allows a
-- key to be, and may end with a space.
create table if not exists file_authors (
    path varchar(255) not null,
    author_hash binary(32) not null,
    author longtext not null,
    primary key (path, author_hash)
) engine = InnoDB default charset = utf8mb4 collate = utf8mb4_bin;

-- This program's own tables, beside the event store's. Runs at every start.
--
-- collate "C" compares byte for byte, as git does.
create table if not exists commits (
    hash text collate "C" not null primary key,
    -- The commit before it, empty for a root: tells a deepened or rewritten history.
    parent text not null,
    author text not null,
    -- How many events were appended in the same transaction.
    events bigint not null,
    -- How many changed paths no stream can have the name of.
    refused bigint not null
);

create table if not exists file_stats (
    path text collate "C" not null primary key,
    changes bigint not null,
    -- Those of the changes that git took for binary, which count no lines.
    binary_changes bigint not null,
    added bigint not null,
    deleted bigint not null
) with (
    -- Every change of a file updates its row; no index holds a column that changes, so with room
    -- left in its page the new version of a row needs no index entry.
    fillfactor = 50
);

-- The key does not hold an author's name of more than some 2,000 bytes, which nobody has.
create table if not exists file_authors (
    path text collate "C" not null,
    author text collate "C" not null,
    primary key (path, author)
);

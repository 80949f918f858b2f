-- This program's own tables, beside the event store's. Runs at every start.
create table if not exists commits (
    hash text not null primary key,
    -- The commit before it, empty for a root: tells a deepened or rewritten history.
    parent text not null,
    author text not null,
    -- How many events were appended in the same transaction.
    events integer not null,
    -- How many changed paths no stream can have the name of.
    refused integer not null
) strict, without rowid;

create table if not exists file_stats (
    path text not null primary key,
    changes integer not null,
    -- Those of the changes that git took for binary, which count no lines.
    binary_changes integer not null,
    added integer not null,
    deleted integer not null
) strict, without rowid;

create table if not exists file_authors (
    path text not null,
    author text not null,
    primary key (path, author)
) strict, without rowid;

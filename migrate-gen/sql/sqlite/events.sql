-- Every event of every stream. Rows are added and never changed.
-- "strict" makes SQLite hold every column to its type.
create table "{events}" (
    -- The order of the whole log. "autoincrement" never gives a number twice, not even that of a
    -- deleted row, so a reader that has passed a position never finds another event there.
    global_position integer primary key autoincrement,

    -- The stream: the events of one aggregate. SQLite compares these byte for byte.
    bounded_context text not null,
    aggregate_type text not null,
    aggregate_id text not null,

    -- The event's place in its stream: 1, 2, 3 and so on, without holes.
    aggregate_version integer not null check (aggregate_version > 0),

    -- The hash of aggregate_id, by which projections share the streams among their partitions.
    slot integer not null check (slot between 0 and 16383),

    -- The event's own id, a UUID as 16 bytes. The writer chooses it, so that an append can be
    -- repeated without storing the event twice.
    event_id blob not null check (length(event_id) = 16),

    -- What happened, and the version of the payload's format.
    event_type text not null,
    event_version integer not null,

    -- The event as the application encoded it; the store does not look inside.
    payload blob not null,

    -- What the application notes beside the payload, as JSON.
    metadata text null,

    -- The conversation the event belongs to, the event or command that caused it, and the
    -- distributed trace it was written in.
    correlation_id text null,
    causation_id text null,
    trace_id text null,

    -- When the event happened by the clock of its writer, in microseconds since 1970-01-01
    -- 00:00:00 UTC. For people to read: the order of the log is global_position.
    created_at integer not null,

    -- When the event was written, by the clock of SQLite, in the same unit. Nobody sets it.
    recorded_at integer not null
        default (cast((julianday('now') - 2440587.5) * 86400000000 as integer))
) strict;

-- Every event of every stream. Rows are added and never changed.
--
-- There are no check constraints, because every append would pay for them: the event store writes
-- nothing else, and checks what it reads. collate "C" compares byte for byte, which is also the
-- fastest way. Columns of a fixed width come first, so that no row is padded between them.
create table {events} (
    -- The order of the whole log. The event store needs the sequence as it is here: "cache 1",
    -- for a session that took several numbers at once would write low ones after other sessions
    -- wrote higher ones, and "no cycle", for no number may be given twice.
    global_position bigint generated always as identity (
        sequence name {sequence}
        cache 1
        no cycle
    ) primary key,

    -- The event's place in its stream: 1, 2, 3 and so on, without holes.
    aggregate_version bigint not null,

    -- When the event happened, by the clock of its writer. For people to read: the order of the log
    -- is global_position.
    created_at timestamptz not null,

    -- When the event was written, by the clock of the database. Nobody sets it.
    recorded_at timestamptz not null default clock_timestamp(),

    -- The version of the payload's format.
    event_version integer not null,

    -- The hash of aggregate_id, 0 to 16383, by which projections share the streams among their
    -- partitions.
    slot smallint not null,

    -- The event's own id. The writer chooses it, so that an append can be repeated without storing
    -- the event twice.
    event_id uuid not null,

    -- The stream: the events of one aggregate.
    bounded_context text collate "C" not null,
    aggregate_type text collate "C" not null,
    aggregate_id text collate "C" not null,

    -- What happened.
    event_type text collate "C" not null,

    -- The event as the application encoded it; the store does not look inside.
    payload bytea not null,

    -- What the application notes beside the payload.
    metadata json null,

    -- The conversation the event belongs to, the event or command that caused it, and the
    -- distributed trace it was written in.
    correlation_id text collate "C" null,
    causation_id text collate "C" null,
    trace_id text collate "C" null,

    -- One event for each version of a stream: of two writers who expect the same version, one
    -- fails. Also the index by which a stream is read.
    constraint "{events_name}_stream_key"
        unique (bounded_context, aggregate_type, aggregate_id, aggregate_version),

    -- An event id is stored once: a repeated append finds its events here.
    constraint "{events_name}_event_id_key"
        unique (event_id)
) with (
    -- By default autovacuum waits until the table has grown by a fifth, which is ever longer. It
    -- then has ever more pages to mark as visible to all, and in the end a huge table to freeze at
    -- once. Here it comes every 100,000 events, looks at the new pages only and freezes them right
    -- away: an event never changes, so the work is never wasted.
    autovacuum_vacuum_insert_threshold = 100000,
    autovacuum_vacuum_insert_scale_factor = 0,
    autovacuum_freeze_min_age = 0,

    -- The planner's statistics, likewise sooner than after a tenth. They are a sample of the whole
    -- table, so this one keeps a scale.
    autovacuum_analyze_threshold = 10000,
    autovacuum_analyze_scale_factor = 0.02
);

-- This service's own tables, beside the event store's. Runs at every start.

-- What was asked for and how it was answered, written in the transaction that appends the event.
create table if not exists requests (
    request_number bigint generated always as identity primary key,
    order_id text not null,
    command text not null,
    outcome text not null,
    -- The version the order was at afterwards.
    order_version bigint not null
);

-- The read model: what the projection makes of the events, one row for each order.
create table if not exists order_summaries (
    order_id text collate "C" not null primary key,
    customer text not null,
    is_shipped boolean not null,
    items bigint not null,
    total_cents bigint not null,
    -- The version of the last event that is in the row.
    order_version bigint not null
);

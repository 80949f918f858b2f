-- The version of these tables, by which the application sees on start that they are the ones it
-- was built for.
create table {schema_versions} (
    version integer primary key not null,

    -- When this file was run.
    applied_at timestamptz not null default now()
);

-- To save how far they have come, to share the work, to park events; and to remove what is no longer
-- needed, such as the rows of partitions when a projection is given fewer.
grant select, insert, update, delete on {checkpoints}, {workers}, {dead_letters} to {roles};

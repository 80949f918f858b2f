-- To save how far they have come, and to remove rows when a projection is given fewer partitions.
grant select, insert, update, delete on {checkpoints} to {roles};

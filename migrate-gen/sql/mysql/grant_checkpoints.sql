-- To save how far they have come.
grant select, insert, update on {checkpoints} to {roles};

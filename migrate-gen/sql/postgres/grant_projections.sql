-- To register projections and to save how far they have come; not to forget them.
grant select, insert, update on {projections}, {checkpoints} to {roles};

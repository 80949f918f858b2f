-- To register projections; not to forget them.
grant select, insert, update on {projections} to {roles};

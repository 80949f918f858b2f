-- To share the work.
grant select, insert, update, delete on {workers} to {roles};

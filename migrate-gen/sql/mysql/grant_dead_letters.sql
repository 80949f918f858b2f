-- To park events, and to handle them after all.
grant select, insert, update, delete on {dead_letters} to {roles};

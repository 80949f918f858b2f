-- To announce appends, to see those of others, and to remove rows that are not used any more.
grant select, insert, update, delete on {appenders} to {roles};

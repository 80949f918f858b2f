-- To append and to read; not to change, remove or truncate.
grant select, insert on {events} to {roles};

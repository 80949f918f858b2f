-- To append and to read; not to change, remove or truncate. Positions are drawn without a right to
-- the sequence.
grant select, insert on {events} to {roles};

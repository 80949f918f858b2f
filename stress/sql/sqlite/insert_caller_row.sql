-- A row of the caller's own.
insert into caller_rows default values

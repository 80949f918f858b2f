-- Removes an announcement that was just locked. One statement for each: with a list of ids, the
-- server may scan the table instead, and wait for the rows of those who are appending.
delete from {appenders}
where connection_id = {connection}

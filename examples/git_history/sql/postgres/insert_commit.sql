-- Records a commit in the transaction that appends its events.
-- $1 hash, $2 parent or an empty string, $3 author, $4 number of events, $5 of refused changes
-- A second run that appends the same commit waits for the first and fails on the primary key.
insert into commits (hash, parent, author, events, refused)
values ($1, $2, $3, $4, $5)

-- Records a commit in the transaction that appends its events.
-- ? hash, ? parent or an empty string, ? author, ? number of events, ? of refused changes
-- A second run that appends the same commit waits for the first and fails on the primary key.
insert into commits (hash, parent, author, events, refused)
values (?, ?, ?, ?, ?)

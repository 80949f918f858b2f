-- Announcements of connections that have not appended for an hour and are not appending now;
-- locked, so that a connection that wakes up waits until its row is gone and makes another.
select connection_id
from {appenders}
where announced_at < utc_timestamp(6) - interval 1 hour
limit 1000
for update skip locked

-- How many transactions others have open in this database.
select count(*)
from pg_stat_activity
where datname = current_database()
  and backend_type = 'client backend'
  and pid <> pg_backend_pid()
  and xact_start is not null

-- Ends about half of the sessions of this database but this one.
select pg_terminate_backend(pid)
from pg_stat_activity
where datname = current_database()
  and backend_type = 'client backend'
  and pid <> pg_backend_pid()
  and random() < 0.5

-- About half of the sessions in this database but this one.
select cast(id as signed)
from information_schema.processlist
where db = database()
  and id <> connection_id()
  and rand() < 0.5

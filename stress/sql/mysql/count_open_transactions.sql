-- How many transactions others have open.
select cast(count(*) as signed)
from information_schema.innodb_trx
where trx_mysql_thread_id <> connection_id()

-- How many events every file's stream has, and its highest version: equal unless there is a hole.
select aggregate_id, count(*), max(aggregate_version)
from events
where bounded_context = 'Git'
    and aggregate_type = 'File'
group by aggregate_id

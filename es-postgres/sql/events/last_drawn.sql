-- The position this session has drawn last.
select currval({sequence_name})

-- Optional: nor can events be removed one by one. MySQL has no trigger that could refuse "truncate"
-- or "drop table": who has the right "drop" to the table can run both, so do not grant it.
create trigger {trigger}
    before delete on {events}
    for each row
    signal sqlstate '45000'
        set message_text = 'delete refused: the table {events_name} is append-only';

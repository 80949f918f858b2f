-- Optional: events cannot be changed, not by the table's owner either, unless somebody drops this
-- trigger. An insert does not fire it. The body is one statement, so that no client needs another
-- delimiter.
--
-- Where the server writes a binary log, creating a trigger takes the right "super", or
-- log_bin_trust_function_creators = 1.
create trigger {trigger}
    before update on {events}
    for each row
    signal sqlstate '45000'
        set message_text = 'update refused: the table {events_name} is append-only';

-- Optional: events cannot be changed or removed, not by the table's owner either, unless somebody
-- drops or disables this trigger. An insert does not fire it.
create trigger "{events_name}_append_only"
    before update or delete or truncate on {events}
    for each statement
    execute function {function}();

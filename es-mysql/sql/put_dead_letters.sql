-- Parks events, or notes that they have failed again. Sent as text.
insert into {dead_letters} (
  projection, position, bounded_context, aggregate_type, aggregate_id, slot,
  attempts, error, parked_at
)
values {rows}
on duplicate key update
  attempts = values(attempts),
  error = values(error)

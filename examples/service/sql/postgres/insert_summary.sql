-- Begins the summary of an order.
-- $1 order id, $2 customer, $3 version of the event
insert into order_summaries (order_id, customer, is_shipped, items, total_cents, order_version)
values ($1, $2, false, 0, 0, $3)
